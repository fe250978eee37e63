"""How far a run is: progress, counters, heartbeat, status and log."""
