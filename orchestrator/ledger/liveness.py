"""Whether a driver holds a run directory, asked from outside."""

import fcntl
import os

from orchestrator.ledger.paths import RunPaths


def driver_holds(paths: RunPaths) -> bool:
    """Whether a driver of this machine holds the run's lock, which ends with its process however that ends."""
    try:
        handle = os.open(paths.lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(handle)
