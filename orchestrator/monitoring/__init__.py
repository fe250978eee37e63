"""How a run tells that it goes on: progress, counters, heartbeat, status and log."""
