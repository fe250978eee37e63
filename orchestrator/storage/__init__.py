"""Where a run directory lies: a local folder or object storage, its lock and its appended files."""
