"""The one seam of a run: who calls `run_cell`, here or on Ray."""
