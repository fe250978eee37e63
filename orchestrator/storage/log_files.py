"""The run's log file: appended to in a local folder, sent whole to object storage, which cannot append."""

import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from mpi_model.errors import RunDirectoryError

_INTERVAL: Final = 30.0
"""Seconds between two sendings."""
_LAST_SENDING: Final = 10.0


class AppendedLog(logging.FileHandler):
    """Appends to a file, a line at a time; lines that the disk does not take are lost.

    The ledger raises an error with a remedy when it cannot be written; a second error from the log would hide it.
    """

    def _open(self) -> TextIOWrapper:
        """The file, after the line that a full disk or a killed driver may have left half written."""
        stream = super()._open()
        if stream.tell():
            with Path(self.baseFilename).open("rb") as file:
                # A new line begins after a broken one; readers of JSON lines lose that one only.
                file.seek(-1, os.SEEK_END)
                stream.write("" if file.read() == b"\n" else "\n")
        return stream

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore a disk that is full or away; anything else is a bug and is reported as logging does."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)

    def close(self) -> None:
        """Close the file, with or without its last lines."""
        with suppress(OSError):
            super().close()


class UploadedLog(logging.Handler):
    """Sends a log by a thread of its own, so that no record waits for the network."""

    def __init__(self, send: Callable[[bytes], None], earlier: bytes) -> None:
        super().__init__()
        self.send = send
        self.content = earlier
        self.sent = earlier
        self._closed_now = threading.Event()
        # A daemon: a network that hangs must not keep a process that has ended alive.
        self._sender = threading.Thread(target=self._send_until_closed, name="polarmap-log", daemon=True)
        self._sender.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.content += (self.format(record) + "\n").encode("utf-8")

    def flush(self) -> None:
        """Send the log where it has grown."""
        # Taken once: another thread may add lines while this content is sent.
        content = self.content
        if content != self.sent:
            self.send(content)
            self.sent = content

    def close(self) -> None:
        """Send what is left."""
        self._closed_now.set()
        # Not for ever: a storage that is away would hold up the end of a run once more.
        self._sender.join(_LAST_SENDING)
        super().close()

    def _send_until_closed(self) -> None:
        closed = False
        while not closed:
            closed = self._closed_now.wait(_INTERVAL)
            try:
                self.flush()
            except RunDirectoryError:
                continue  # writing a result raises the same error; the next sending repeats these lines
