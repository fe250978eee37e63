"""The stacks of a worker that gives no sign, and its end; run on its own machine, and without Ray.

A worker that hangs inside a library holds Python's lock: nothing in it can be asked. faulthandler's handler of a signal
is C and needs no lock. It writes into a file without a name, which only processes of the same user can read.
"""

import faulthandler
import os
import signal
import time
from functools import lru_cache
from pathlib import Path
from typing import Final

_FILE: Final = "polarmap-stacks"
_SIGNAL: Final = signal.SIGUSR2
_SECONDS: Final = 5.0
"""For a process to answer the signal."""
_LONGEST: Final = 20_000


@lru_cache(maxsize=1)
def let_stacks_be_read() -> None:
    """Let a signal write the stacks of this process's threads: names of functions and lines, no values."""
    if hasattr(os, "memfd_create"):  # Linux
        faulthandler.register(_SIGNAL, file=os.memfd_create(_FILE), all_threads=True)


def end_hung_worker(process: int) -> str:
    """End a worker of this machine at once.

    Args:
        process: Its process id.

    Returns:
        The stacks of its threads, or why there are none.
    """
    file = _stacks_file(process)
    if file is None:
        # Another process has the number by now: it is not ours to end.
        return "its process is gone"
    state = _state(process)
    # A stopped process would answer only once it goes on, and then also go on with its work.
    stacks = f"its process is stopped (state {state})" if state in ("T", "t") else _asked(process, file)
    os.kill(process, signal.SIGKILL)
    return stacks


def _stacks_file(process: int) -> Path | None:
    """The file that `let_stacks_be_read` opened in a process; None where there is no such process."""
    try:
        for entry in Path(f"/proc/{process}/fd").iterdir():
            if os.readlink(entry).startswith(f"/memfd:{_FILE}"):
                return entry
    except OSError:
        pass
    return None


def _state(process: int) -> str:
    """Field 3 of proc_pid_stat(5): `R` running, `S` sleeping, `D` waiting for a device, `T` stopped."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "?"


def _asked(process: int, file: Path) -> str:
    """What the process writes when it is asked for its stacks."""
    os.kill(process, _SIGNAL)
    found, deadline = b"", time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        before, found = found, _content(file)
        # Twice the same: it is no longer being written.
        if found and found == before:
            return found.decode("utf-8", "replace")[:_LONGEST]
        time.sleep(0.05)
    return f"it did not answer (state {_state(process)})"


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
