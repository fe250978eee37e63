"""Sends a machine's logs to storage that outlives it: `python -m orchestrator.storage.ship_logs FOLDER DESTINATION`.

A rented machine that ends takes Ray's logs with it, and they are wanted when it ended for no known reason. Every
minute, and once more on SIGTERM, which a shutdown sends, what has changed is written below `DESTINATION/HOST/`.
Bounded: the end of each file, the newest files first. Links are not followed; only regular files are read.
"""

import argparse
import logging
import os
import platform
import signal
import stat
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mpi_model.errors import RunDirectoryError
from mpi_model.regular_files import open_regular
from orchestrator.storage.base import Storage
from orchestrator.storage.locations import open_storage

_SECONDS: Final = 60.0
_MOST_OF_A_FILE: Final = 2**20
"""Bytes, from its end: a log's last lines say why something ended."""
_MOST_FILES: Final = 200
_MOST_TOGETHER: Final = 50 * 2**20
_MOST_SEEN: Final = 10_000
_DEEPEST: Final = 3
_LARGEST: Final = 2**40

_LOG: Final = logging.getLogger("polarmap.ship_logs")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A log file as it was seen."""

    name: str
    """Relative to the folder, with forward slashes."""
    size: int
    changed: int
    """Nanoseconds since 1970."""


class _Shipment:
    """The logs of one folder on their way, with what was sent of each."""

    def __init__(self, folder: Path, storage: Storage, host: str) -> None:
        self.folder = folder
        self.storage = storage
        self.host = host
        self._sent: dict[str, _Found] = {}

    def send(self) -> int:
        """Send what has changed since the last time.

        Returns:
            The number of files sent.

        Raises:
            RunDirectoryError: The storage refuses or is away; the next call sends what is missing.
        """
        count = room = 0
        for found in sorted(_logs_in(self.folder), key=lambda one: -one.changed)[:_MOST_FILES]:
            room += min(found.size, _MOST_OF_A_FILE)
            if room > _MOST_TOGETHER:
                break
            if self._sent.get(found.name) == found:
                continue
            try:
                content = _end_of(self.folder / found.name)
            except OSError:  # it was deleted or replaced since
                continue
            self.storage.write(f"{self.host}/{found.name}", content)
            self._sent[found.name] = found
            count += 1
        return count


def _logs_in(folder: Path) -> Iterator[_Found]:
    """The regular files of a folder and those below it."""
    waiting, seen = [(folder, 0)], 0
    while waiting:
        here, depth = waiting.pop()
        try:
            entries = list(os.scandir(here))
        except OSError:  # Ray makes its folder while it starts
            continue
        for entry in entries:
            seen += 1
            if seen > _MOST_SEEN:
                return
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            path = Path(entry.path)
            if stat.S_ISDIR(status.st_mode) and depth < _DEEPEST:
                waiting.append((path, depth + 1))
            elif stat.S_ISREG(status.st_mode) and status.st_size:
                name = path.relative_to(folder).as_posix()
                yield _Found(name=name, size=status.st_size, changed=status.st_mtime_ns)


def _end_of(path: Path) -> bytes:
    """The last bytes of a file, from the beginning of a line on where something is left out."""
    with open_regular(path, _LARGEST) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _MOST_OF_A_FILE))
        content = file.read(_MOST_OF_A_FILE)
    return content if size <= _MOST_OF_A_FILE else content[content.find(b"\n") + 1 :]


def _ship(shipment: _Shipment, seconds: float, over: threading.Event) -> None:
    """Send at intervals, and once more when it is over."""
    is_last = False
    while not is_last:
        is_last = over.wait(seconds)
        try:
            shipment.send()
        except RunDirectoryError as error:
            _LOG.warning("logs are not sent: %s", error)


def _main(argv: Sequence[str] | None = None) -> int:
    """Ship logs until SIGTERM or SIGINT."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.storage.ship_logs", description="send a machine's logs to storage that outlives it"
    )
    parser.add_argument("folder", type=Path, help="such as /tmp/ray/session_latest/logs")
    parser.add_argument("destination", help="a folder, or s3://bucket/prefix")
    parser.add_argument("--seconds", type=float, default=_SECONDS, metavar="S", help="between two sendings")
    arguments = parser.parse_args(argv)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    shipment = _Shipment(arguments.folder, open_storage(arguments.destination), platform.node())
    _ship(shipment, arguments.seconds, over)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
