"""A log file that causes no error of its own where the disk is full."""

import logging
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path


class AppendedLog(logging.FileHandler):
    """Appends to a file, a line at a time; lines that the disk does not take are lost.

    The ledger raises an error with a remedy when it cannot be written; a second error from the log would hide it.
    """

    def _open(self) -> TextIOWrapper:
        """The file, after the line that a full disk or a killed driver may have left half written."""
        stream = super()._open()
        if stream.tell():
            with Path(self.baseFilename).open("rb") as file:
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
