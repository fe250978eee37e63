"""A log for a storage that cannot append: kept in memory, sent whole now and then and at the end."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from mpi_model.errors import RunDirectoryError

_INTERVAL: Final = 30.0


class UploadedLog(logging.Handler):
    """Sends a log by a thread of its own, so that no record waits for the network."""

    def __init__(self, send: Callable[[bytes], None], earlier: bytes) -> None:
        super().__init__()
        self.send = send
        self.content = earlier
        self.sent = earlier
        self._closed_now = threading.Event()
        self._sender = threading.Thread(target=self._send_until_closed, name="polarmap-log", daemon=True)
        self._sender.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.content += (self.format(record) + "\n").encode("utf-8")

    def flush(self) -> None:
        """Send the log where it has grown."""
        content = self.content
        if content != self.sent:
            self.send(content)
            self.sent = content

    def close(self) -> None:
        """Send what is left."""
        self._closed_now.set()
        self._sender.join()
        super().close()

    def _send_until_closed(self) -> None:
        closed = False
        while not closed:
            closed = self._closed_now.wait(_INTERVAL)
            try:
                self.flush()
            except RunDirectoryError:
                continue  # whoever writes a result raises this error; the next sending brings the same lines
