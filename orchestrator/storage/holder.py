"""The driver that holds a run directory, as written into its lock file."""

import datetime
import getpass
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from mpi_model.errors import RunDirectoryError
from orchestrator.experiment.reading import read_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A driver, as its lock describes it."""

    user: str
    host: str
    pid: int
    since: str
    machine: str = ""
    """This boot of this machine, and its table of processes; empty where the system does not provide it."""
    process: str = ""
    """When the process began, in the kernel's ticks: a number used again is another process."""

    def __str__(self) -> str:
        return f"{self.user}@{self.host}, pid {self.pid}, since {self.since}"


def this_process() -> Holder:
    """The driver that asks."""
    return Holder(
        user=user_name(),
        host=socket.gethostname(),
        pid=os.getpid(),
        since=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine=_machine(),
        process=_began(os.getpid()),
    )


def holder_text(holder: Holder, **more: object) -> bytes:
    """A holder as it is written down, with what the lock needs besides."""
    return (json.dumps(asdict(holder) | more, sort_keys=True) + "\n").encode("utf-8")


def holder_in(content: bytes) -> Holder | None:
    """The holder that is written down; None where the record is not whole."""
    try:
        stored = json.loads(content)
    except (ValueError, RecursionError):
        return None
    names = Holder.__dataclass_fields__.keys()
    if not isinstance(stored, dict) or not names <= stored.keys():
        return None
    problems: list[str] = []
    # Other keys are left out: a lease adds its token and beat.
    found = read_record(Holder, {name: stored[name] for name in names}, "", problems)
    return found if isinstance(found, Holder) else None


def has_died(holder: Holder) -> bool:
    """Whether a holder is known to be gone; of processes of other machines that is not known."""
    # A process number alone is not enough: after a restart or 2^22 processes it is used again.
    return is_here(holder) and _began(holder.pid) != holder.process and not _is_hidden(holder.pid)


def is_here(holder: Holder) -> bool:
    """Whether a holder's process would be seen from this one."""
    return bool(holder.machine) and holder.machine == _machine()


def refusal(name: str, holder: Holder | None) -> RunDirectoryError:
    """The error of a driver that finds another one writing."""
    who = f" ({holder})" if holder else ""
    return RunDirectoryError(f"another `polarmap run`{who} is writing {name}; wait for it, or stop it")


def user_name() -> str:
    """The name of the user, or the number where there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _machine() -> str:
    try:
        # The namespace too: in another container of this machine the same number is another process.
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _is_hidden(pid: int) -> bool:
    """Whether a process is there that this user may not see: /proc mounted with `hidepid` shows others' to nobody."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return not Path(f"/proc/{pid}").exists()
    except (OSError, OverflowError):
        pass
    return False


def _began(pid: int) -> str:
    """Field 22 of proc_pid_stat(5), counted after the command's bracket; empty where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The command in brackets may hold spaces and brackets itself, so the last bracket counts.
    state, *fields = text.rpartition(")")[2].split()
    # A zombie has ended, although its entry is still there.
    return "" if state == "Z" else fields[18]
