"""The processes below a driver, found by the kernel's own table: nothing is ever chosen by name alone."""

import os
import signal
from pathlib import Path


def descendants(root: int) -> dict[int, str]:
    """Process ids below a process, each with its command line."""
    parents, commands = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                status = (entry / "stat").read_text()
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            commands[int(entry.name)] = b" ".join(words).decode(errors="replace")
            parents[int(entry.name)] = int(status.rpartition(")")[2].split()[1])
    return {process: commands[process] for process in parents if _below(process, root, parents)}


def _below(process: int, root: int, parents: dict[int, int]) -> bool:
    seen = set()
    while process in parents and process not in seen:
        seen.add(process)
        process = parents[process]
        if process == root:
            return True
    return False


def kill(process: int) -> bool:
    """End a process at once; False where it was gone already."""
    return _sent(process, signal.SIGKILL)


def stop(process: int) -> bool:
    """Let a process do nothing any more; False where it was gone already."""
    return _sent(process, signal.SIGSTOP)


def _sent(process: int, number: signal.Signals) -> bool:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True


def holds(process: int, name: str) -> bool:
    """Whether a process has a file open whose name holds a word."""
    try:
        return any(name in os.readlink(entry) for entry in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return False


def matching(root: int, word: str) -> list[int]:
    """Processes below a driver whose command line holds a word."""
    return sorted(process for process, command in descendants(root).items() if word in command)
