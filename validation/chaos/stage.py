"""Where a chaotic run takes place: its experiment, its storage, and what can be done to them from outside."""

import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

BUCKET: Final = "chaos"
DISK: Final = 48 << 20
"""Bytes of the small file system that is filled."""


@dataclass(slots=True, kw_only=True)
class Stage:
    """One round's folder, storage and environment."""

    experiment: Path
    runs: str
    """`storage.runs` of the round: a folder, or a URL."""
    temporary: Path
    """TMPDIR of the driver: Ray's and Tune's files lie below."""
    environment: dict[str, str]
    disk: Path | None
    """The small file system, where there is one."""
    relay: "Relay | None" = None
    ballast: list[Path] = field(default_factory=list)

    def committed_parts(self) -> list[Path]:
        """Parquet parts of finished cells, in a local run."""
        root = Path(self.runs) / "chaos" / "cells"
        return [part for marker in root.glob("*/COMMIT.json") for part in marker.parent.glob("*.parquet")]

    def fill_disk(self) -> None:
        """Write until nothing more goes in."""
        assert self.disk is not None
        ballast = self.disk / "ballast"
        self.ballast.append(ballast)
        with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free_disk(self) -> None:
        """Make room again."""
        while self.ballast:
            self.ballast.pop().unlink(missing_ok=True)

    def cut_storage(self, seconds: float) -> bool:
        """Kill the relay, and start another one later."""
        assert self.relay is not None
        self.relay.kill()
        threading.Timer(seconds, self.relay.start).start()
        return True


class Relay:
    """The killable way to an S3 server; see `endpoint.py`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None
        self.over = False
        self.start()

    def start(self) -> None:
        """Listen; returns when it does. A round that is over needs no relay any more."""
        if self.over:
            return
        command = [sys.executable, "-m", "validation.chaos.endpoint", str(self.port), str(self.target)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def end(self) -> None:
        """For good."""
        self.over = True
        self.kill()

    def kill(self) -> None:
        """Break every connection."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@cache
def may_mount() -> bool:
    """Whether this user may mount a file system here; tried, because root may not everywhere."""
    try:
        with tempfile.TemporaryDirectory() as folder, small_disk(Path(folder) / "disk"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of a few megabytes in memory.

    Raises:
        CalledProcessError: This user may not mount one.
    """
    folder.mkdir(parents=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)], capture_output=True, check=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


@contextmanager
def s3_server() -> Iterator[int]:
    """A real S3 server on the loopback interface with one bucket; its port."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with ExitStack() as stack:
        stack.callback(server.wait)
        stack.callback(server.kill)
        _wait_for(port, server)
        yield port


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.1):
            return
        if server.poll() is not None:
            break
        threading.Event().wait(0.1)
    raise RuntimeError("the S3 server did not start")
