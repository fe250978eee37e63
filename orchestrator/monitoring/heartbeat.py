"""What the driver says of itself while it trains: `progress.json`, for `polarmap status` in another terminal.

A thread of its own writes it, because a candidate of a large network takes longer than anybody waits for a sign of
life. A driver that is killed leaves its last word behind; the lock on the run directory tells that it is gone.
"""

import datetime
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Final

from mpi_model.errors import RunDirectoryError
from orchestrator.ledger.files import write_json
from orchestrator.ledger.paths import RunPaths
from orchestrator.monitoring.counters import RunCounters

SECONDS_BETWEEN_BEATS: Final = 3.0


@contextmanager
def heartbeat_thread(paths: RunPaths, counters: RunCounters, seconds: float = SECONDS_BETWEEN_BEATS) -> Iterator[None]:
    """Write the heartbeat now, every few seconds, and when the work ends, however it ends."""
    begun = _now()
    over = threading.Event()

    def beat(*, last: bool = False) -> None:
        # A beat that cannot be written loses nothing; a ledger that cannot be written ends the run in its own thread.
        with suppress(RunDirectoryError):
            write_json(paths.progress, heartbeat(counters, begun, over=last))

    def keep_beating() -> None:
        while not over.wait(seconds):
            beat()

    beat()
    thread = threading.Thread(target=keep_beating, name="polarmap-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        beat(last=True)


def heartbeat(counters: RunCounters, begun: str, *, over: bool) -> dict[str, object]:
    """The driver's word: who it is, since when, and how far it is."""
    now = counters.clock()
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "begun": begun,
        "written": _now(),
        "running": [
            {
                "cell": key.name,
                "attempt": cell.attempt,
                "candidates": cell.candidates,
                "seconds": round(now - cell.since, 1),
            }
            for key, cell in counters.under_way().items()
        ],
        "over": over,
        "progress": asdict(counters.progress()),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
