"""The driver's state while it trains, written to `progress.json` for `polarmap status` in another terminal."""

import datetime
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Final

from mpi_model.errors import RunDirectoryError
from orchestrator.experiment.reading import read_record
from orchestrator.hashing import digest_as_stored
from orchestrator.ledger.files import json_bytes, json_object
from orchestrator.ledger.paths import RunPaths
from orchestrator.monitoring.counters import RunCounters
from orchestrator.monitoring.progress import RunProgress
from orchestrator.monitoring.prometheus import metrics_text
from orchestrator.storage.local import LocalStorage

_SECONDS_BETWEEN_BEATS: Final = 3.0
_LAST_BEAT: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A driver's last sign of life; the fields are the keys of `progress.json`."""

    host: str
    pid: int
    begun: str
    written: str
    over: bool
    """Whether it ended by itself: finished, interrupted or stopped by an error."""
    progress: RunProgress


@contextmanager
def heartbeat_thread(paths: RunPaths, counters: RunCounters, seconds: float = _SECONDS_BETWEEN_BEATS) -> Iterator[None]:
    """Write the heartbeat now, every few seconds, and when the work ends, however it ends.

    On object storage each is a request: it is written when a cell begins or ends, and otherwise every half minute.

    A thread of its own writes it, because a candidate of a large network takes longer than anybody waits for a sign of
    life. A driver that is killed leaves its last heartbeat behind; the lock on the run directory shows it.
    """
    begun = _now()
    over = threading.Event()

    def beat(progress: RunProgress) -> None:
        last = over.is_set()
        heartbeat = Heartbeat(
            host=platform.node(), pid=os.getpid(), begun=begun, written=_now(), over=last, progress=progress
        )
        # A beat that cannot be written loses nothing; a ledger that cannot be written ends the run in its own thread.
        with suppress(RunDirectoryError):
            content = asdict(heartbeat)
            paths.progress.write_bytes(json_bytes(content | {"digest": digest_as_stored(content)}))
            # A collector reads files of its own machine.
            if isinstance(paths.storage, LocalStorage):
                since = counters.since_result()
                text = metrics_text(paths.name, progress, since_result=since, now=time.time(), over=last)
                paths.metrics.write_bytes(text.encode("utf-8"))

    def keep_beating() -> None:
        told, when = _news(first), time.monotonic()
        while not over.wait(seconds):
            now = counters.progress()
            if _news(now) != told or time.monotonic() - when >= paths.storage.seconds_that_wait:
                told, when = _news(now), time.monotonic()
                beat(now)

    # At once, so that `polarmap status` sees the driver before its first interval has passed.
    first = counters.progress()
    beat(first)
    # A daemon: a storage that hangs must not keep an interrupted driver alive.
    thread = threading.Thread(target=keep_beating, name="polarmap-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        # In this order: the thread may not write again after the last beat, which says that the work is over.
        over.set()
        thread.join(_LAST_BEAT)
        # Storage that hangs holds the thread: a run that ends does not wait for it.
        if not thread.is_alive():
            beat(counters.progress())


def _news(progress: RunProgress) -> tuple[object, ...]:
    """What is told at once: the cells under way, those that have ended, and what is waited for."""
    return progress.complete, progress.failed, progress.waiting, [(one.cell, one.attempt) for one in progress.running]


def read_heartbeat(paths: RunPaths) -> Heartbeat | None:
    """The driver's last heartbeat; None where there is none that can be read.

    A disk that fills up may leave half a file; the ledger still holds the state of the run.
    """
    found = paths.storage.find(paths.progress.name)
    problems: list[str] = []
    stored = json_object(found.content) if found else None
    content = {key: value for key, value in (stored or {}).items() if key != "digest"}
    # A beat with a flipped bit is none: the next one comes soon, or the ledger tells.
    is_whole = stored is not None and stored.get("digest") == digest_as_stored(content)
    heartbeat = read_record(Heartbeat, content, "", problems) if is_whole else None
    return heartbeat if isinstance(heartbeat, Heartbeat) and not problems and _is_moment(heartbeat.written) else None


def _is_moment(text: str) -> bool:
    """Whether a text is a time of which everybody knows how long ago it was."""
    try:
        return datetime.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
