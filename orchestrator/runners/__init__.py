"""Who calls `run_cell` and where: this process, or workers of Ray."""
