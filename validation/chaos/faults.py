"""What goes wrong: each fault is a function that hits a running driver and says whether there was anything to hit."""

import random
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from validation.chaos.processes import holds, kill, matching, stop
from validation.chaos.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """A run under way."""

    driver: subprocess.Popen[str]
    stage: Stage
    dice: random.Random


def kill_worker(victim: Victim) -> bool:
    """SIGKILL to the process of a trial, as the kernel does when memory runs out."""
    workers = trial_workers(victim.driver.pid)
    return bool(workers) and kill(victim.dice.choice(workers))


def kill_raylet(victim: Victim) -> bool:
    """SIGKILL to Ray's node: every worker goes with it."""
    raylets = matching(victim.driver.pid, "/raylet/raylet ")
    return bool(raylets) and kill(raylets[0])


def kill_store(victim: Victim) -> bool:
    """SIGKILL to Ray's control store: the cluster is lost."""
    stores = matching(victim.driver.pid, "gcs_server ")
    return bool(stores) and kill(stores[0])


def kill_driver(victim: Victim) -> bool:
    """SIGKILL to the driver."""
    return kill(victim.driver.pid)


def terminate_driver(victim: Victim) -> bool:
    """SIGTERM to the driver, as a scheduler sends when time is up."""
    victim.driver.send_signal(signal.SIGTERM)
    return True


def interrupt_driver(victim: Victim) -> bool:
    """SIGINT to the driver: Ctrl-C."""
    victim.driver.send_signal(signal.SIGINT)
    return True


def pause_driver(victim: Victim) -> bool:
    """SIGSTOP to the driver, and SIGCONT some seconds later: a laptop's lid, a virtual machine that is moved."""
    victim.driver.send_signal(signal.SIGSTOP)
    threading.Timer(victim.dice.uniform(3, 20), victim.driver.send_signal, [signal.SIGCONT]).start()
    return True


def hang_worker(victim: Victim) -> bool:
    """SIGSTOP to the process of a trial, for good: a worker that gives no sign until its deadline.

    To one that has begun with a cell: while its libraries are imported a worker is given 15 minutes.
    """
    workers = [worker for worker in trial_workers(victim.driver.pid) if holds(worker, "memfd:polarmap-stacks")]
    return bool(workers) and stop(victim.dice.choice(workers))


def fill_disk(victim: Victim) -> bool:
    """Not a byte left on the run's file system until the driver has ended."""
    victim.stage.fill_disk()
    return True


def corrupt_tune(victim: Victim) -> bool:
    """Cut every file that Tune has written of its own state in half."""
    cut = [_cut_in_half(path) for path in victim.stage.temporary.glob("polarmap-*/cells-*/*.*") if path.is_file()]
    return any(cut)


def damage_part(victim: Victim) -> bool:
    """Cut a committed part of the ledger in half, then SIGKILL to the driver: a disk that lied."""
    parts = sorted(victim.stage.committed_parts())
    if not parts or not kill(victim.driver.pid):
        return False
    victim.driver.wait()
    return _cut_in_half(victim.dice.choice(parts))


def cut_storage(victim: Victim) -> bool:
    """SIGKILL to the way to the object storage, which comes back some seconds later."""
    return victim.stage.cut_storage(seconds=victim.dice.uniform(1, 8))


def _cut_in_half(path: Path) -> bool:
    try:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    except OSError:
        return False
    return len(content) > 1


Fault = Callable[[Victim], bool]

ANYWHERE: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        "worker killed (SIGKILL)": kill_worker,
        "raylet killed (SIGKILL)": kill_raylet,
        "Ray's control store killed (SIGKILL)": kill_store,
        "driver killed (SIGKILL)": kill_driver,
        "driver terminated (SIGTERM)": terminate_driver,
        "driver interrupted (SIGINT)": interrupt_driver,
        "driver stopped for 3-20 s (SIGSTOP)": pause_driver,
        "worker stopped for good (SIGSTOP)": hang_worker,
        "Tune's state cut in half": corrupt_tune,
    }
)
LOCAL: Final[Mapping[str, Fault]] = MappingProxyType(
    {**ANYWHERE, "disk full": fill_disk, "a committed part cut in half": damage_part}
)
REMOTE: Final[Mapping[str, Fault]] = MappingProxyType({**ANYWHERE, "object storage away for 1-8 s": cut_storage})


def trial_workers(driver: int) -> list[int]:
    """The processes of a driver's trials; Ray's own agents have other names."""
    return matching(driver, "ray::ImplicitFunc")
