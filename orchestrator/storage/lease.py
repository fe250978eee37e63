"""A lock in object storage: an object that only one driver can create, and that goes stale without a heartbeat.

The holder replaces the object every `_BEAT` seconds, on condition that nobody else has. Another driver may take it over
once it is `_STALE` seconds old by the storage's own clock, or its process has died on this machine. A holder writes
only within `_CONFIRMED` seconds of a heartbeat that the storage took. A request ends within 30 seconds, so no write of
an old holder lands after a new one began. The exception is a large blob, which is complete in itself.
"""

import datetime
import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from mpi_model.errors import RunDirectoryError
from orchestrator.storage.base import Version
from orchestrator.storage.holder import Holder, has_died, holder_in, holder_text, refusal, this_process

_BEAT: Final = 30.0
_PAUSE: Final = 0.25
_CONFIRMED: Final = 45.0
_STALE: Final = 90.0


def _now() -> float:
    """Seconds since the machine began, those in suspend included (CLOCK_BOOTTIME); elsewhere without them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class LeaseStorage(Protocol):
    """What a lease needs of a storage."""

    @property
    def location(self) -> str:
        """Named in messages."""

    def find(self, name: str) -> Version | None:
        """The object with its tag."""

    def create(self, name: str, content: bytes) -> str | None:
        """Write it if it is not there."""

    def replace(self, name: str, content: bytes, tag: str) -> str | None:
        """Write it if it has this tag."""

    def delete(self, *names: str) -> None:
        """Delete it."""

    def now(self) -> datetime.datetime:
        """The storage's clock."""


class Lease:
    """A lock that is held, until another driver is found to hold it."""

    def __init__(self, storage: LeaseStorage, name: str, holder: Holder, token: str, tag: str, timeout: float) -> None:
        self.storage = storage
        self.timeout = timeout
        self.name = name
        self.holder = holder
        self.token = token
        self.tag = tag
        self.lost: Holder | bool | None = False
        # Not the wall clock, which is corrected; nor one that stands still while a laptop sleeps.
        self.confirmed = _now()
        self.beats = 0
        self._one_at_a_time = threading.Lock()

    def check(self) -> None:
        """Let a write pass.

        Raises:
            RunDirectoryError: The lock is lost, or cannot be confirmed.
        """
        # The heartbeat thread may hang in a request; the writing thread then confirms by itself.
        while _now() - self.confirmed > _CONFIRMED and self.lost is False:
            try:
                self.beat()
            except RunDirectoryError:
                # Since the last heartbeat that was taken: an outage is waited for once, not once a write.
                if _now() - self.confirmed > self.timeout:
                    raise
                time.sleep(_PAUSE)
        if self.lost is not False:
            who = f" by another driver ({self.lost})" if isinstance(self.lost, Holder) else ""
            raise RunDirectoryError(
                f"the lock of {self.storage.location} was taken over{who} while this driver could not be seen; "
                "it stops writing, and what it had finished is kept"
            )

    def beat(self) -> None:
        """Confirm the lock, or learn that it is lost.

        Raises:
            RunDirectoryError: The storage is away.
        """
        with self._one_at_a_time:
            # The time before the request: the storage may have taken the beat any time after it.
            begun = _now()
            self.beats += 1
            content = holder_text(self.holder, token=self.token, beat=self.beats)
            tag = None if self.lost is not False else self.storage.replace(self.name, content, self.tag)
            if tag is not None:
                self.tag, self.confirmed = tag, begun
            # The object has changed or gone, so another driver judged this one dead.
            elif self.lost is False:
                found = self.storage.find(self.name)
                if found is not None and _token_in(found.content) == self.token:
                    # An earlier beat whose answer was lost: it is this driver's still. The next beat confirms it.
                    self.tag = found.tag
                else:
                    self.lost = holder_in(found.content) if found else None

    def beat_until(self, released: threading.Event) -> None:
        """Keep the lock fresh; while the storage is away, keep trying."""
        while not released.wait(_BEAT) and self.lost is False:
            try:
                self.beat()
            except RunDirectoryError:
                continue


@contextmanager
def hold_lease(storage: LeaseStorage, name: str, timeout: float) -> Iterator[Lease]:
    """Take the lock, keep it by a heartbeat, give it back.

    Args:
        storage: Where it is written.
        name: The object.
        timeout: Seconds since the last heartbeat for which a write waits for a storage that is away.

    Raises:
        RunDirectoryError: Another driver holds it.
    """
    lease = _take(storage, name, timeout)
    released = threading.Event()
    heart = threading.Thread(target=lease.beat_until, args=(released,), name="polarmap-lock", daemon=True)
    heart.start()
    try:
        yield lease
    finally:
        released.set()
        # A heartbeat in a request that hangs, and a lock that could not be confirmed, are not waited for once more.
        heart.join(_PAUSE)
        if _now() - lease.confirmed < _CONFIRMED:
            _give_back(lease)


def _take(storage: LeaseStorage, name: str, timeout: float) -> Lease:
    """Create the lock's object, or take over one whose holder is gone.

    Raises:
        RunDirectoryError: Another driver holds it.
    """
    # A token, because one process may take the same lock again after it lost it.
    holder, token = this_process(), uuid.uuid4().hex
    content = holder_text(holder, token=token, beat=0)
    tag = storage.create(name, content)
    if tag is None:
        found = storage.find(name)
        if found is None:
            tag = storage.create(name, content)
        # Replaced by tag, not deleted and created: of two drivers that take over, one wins.
        elif _is_free(storage, found):
            tag = storage.replace(name, content, found.tag)
        if tag is None:  # somebody else was faster
            there = storage.find(name)
            raise refusal(storage.location, holder_in(there.content) if there else None)
    return Lease(storage, name, holder, token, tag, timeout)


def _is_free(storage: LeaseStorage, found: Version) -> bool:
    holder = holder_in(found.content)
    # Both times come from the storage, so that clocks of two machines are never compared.
    return bool(holder and has_died(holder)) or storage.now() - found.modified > datetime.timedelta(seconds=_STALE)


def _token_in(content: bytes) -> str:
    """The token of a lock's record; empty where the record is not whole."""
    return str(json.loads(content).get("token", "")) if holder_in(content) else ""


def _give_back(lease: Lease) -> None:
    """Delete the lock's object if it is still ours: just confirmed, nobody may take it over now."""
    try:
        lease.beat()
        if lease.lost is False:
            lease.storage.delete(lease.name)
    except RunDirectoryError:
        return  # the storage is away: the lock goes stale by itself
