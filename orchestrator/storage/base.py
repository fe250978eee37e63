"""Storage of named blobs, in a local folder or in object storage, with the same names and bytes.

A name is a relative path with forward slashes, such as `cells/stress-r00-f0/COMMIT.json`; its folder is the part
before the last slash. A blob is written whole or not at all.
"""

import datetime
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import IO, Final, Protocol

from orchestrator.storage.holder import Holder

MOST_BYTES: Final = 2**31
"""Of a blob that is read; the largest are tables of predictions."""
READERS: Final = 16
"""Blobs read at a time; object storage answers in tens of milliseconds, whatever the size."""
_WINDOW: Final = 64
"""Results held at most while their order is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One state of a blob."""

    content: bytes
    tag: str
    """Changes with the content; what `Storage.replace` compares."""
    modified: datetime.datetime
    """When it was written, by the clock of the storage."""


class Storage(Protocol):
    """Where blobs are kept. Every method raises `RunDirectoryError` where the storage refuses or cannot be reached."""

    @property
    def location(self) -> str:
        """The folder's path, or the URL."""

    @property
    def seconds_that_wait(self) -> float:
        """Seconds of training whose results may wait in memory for one blob; 0 where blobs cost next to nothing."""

    def describe(self, name: str) -> str:
        """A blob's name for a message."""

    def exists(self, name: str) -> bool:
        """Whether the blob is there."""

    def read(self, name: str) -> bytes:
        """A blob that has to be there."""

    def find(self, name: str) -> Version | None:
        """A blob with its version, or None where there is none."""

    def names(self, folder: str) -> Mapping[str, int]:
        """Every blob in a folder and the folders below, with its size, sorted."""

    def write(self, name: str, content: bytes) -> None:
        """Write a blob, whatever was there."""

    def writing(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """A file to fill; it becomes the blob when the block ends, and nothing where the block fails."""

    def create(self, name: str, content: bytes) -> str | None:
        """Write a blob that is not there yet; its tag, or None where it is there."""

    def replace(self, name: str, content: bytes, tag: str) -> str | None:
        """Write a blob if it still has this tag; its new tag, or None where it has changed or gone."""

    def delete(self, *names: str) -> None:
        """Delete blobs; they may be missing."""

    def move(self, name: str, target: str) -> None:
        """Give a blob, or a folder with all that is in it, another name."""

    def sweep(self) -> None:
        """Delete what a killed driver left half written; only for who holds the storage."""

    def hold(self) -> AbstractContextManager[None]:
        """Hold the storage for one driver, or refuse with the name of the one that does."""

    def holder(self) -> Holder | None:
        """The driver that holds the storage, as far as it can be seen from here; otherwise None."""

    def free(self) -> int | None:
        """Bytes that can still be written; None where nobody knows."""

    def log_handler(self, name: str) -> logging.Handler:
        """A handler that appends to a log."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A name in a storage."""

    storage: Storage
    name: str

    def __str__(self) -> str:
        return self.storage.describe(self.name)

    def exists(self) -> bool:
        """Whether it is there."""
        return self.storage.exists(self.name)

    def read_bytes(self) -> bytes:
        """Its content."""
        return self.storage.read(self.name)

    def write_bytes(self, content: bytes) -> None:
        """Write it whole, whatever was there."""
        self.storage.write(self.name, content)

    def unlink(self) -> None:
        """Delete it; it may be missing."""
        self.storage.delete(self.name)


def read_many(blobs: Iterator[Blob]) -> Iterator[bytes]:
    """The contents of many blobs in their order, read side by side, few of them in memory at a time."""
    with ThreadPoolExecutor(READERS) as pool:
        # Windows bound the memory: pool.map alone would read every blob at once and keep it.
        while window := list(islice(blobs, _WINDOW)):
            yield from pool.map(Blob.read_bytes, window)
