"""Blobs as files of a local folder: to a temporary name, flushed, then renamed, so that none is ever half there."""

import datetime
import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from mpi_model.errors import RunDirectoryError
from orchestrator.storage.base import Version
from orchestrator.storage.holder import Holder, has_died, holder_in, holder_text, refusal, this_process
from orchestrator.storage.log_files import AppendedLog

_LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True)
class LocalStorage:
    """A folder, private to its user. See `Storage` for what the methods do."""

    folder: Path

    @property
    def location(self) -> str:
        """The folder's path."""
        return str(self.folder)

    def describe(self, name: str) -> str:
        """The name, and whose it is."""
        return f"{name} of the run directory {self.folder.name}"

    def exists(self, name: str) -> bool:
        """Whether the file is there."""
        return (self.folder / name).is_file()

    def read(self, name: str) -> bytes:
        """A file that has to be there."""
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise RunDirectoryError(f"cannot read {self.describe(name)} ({error.strerror}); restore it") from error

    def find(self, name: str) -> Version | None:
        """A file with its digest, or None where there is none."""
        path = self.folder / name
        if not path.is_file():
            return None
        content = self.read(name)
        # The time is for messages; `replace` compares the digest.
        modified = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
        return Version(content=content, tag=_tag(content), modified=modified)

    def names(self, folder: str) -> Mapping[str, int]:
        """Every file in a folder and the folders below; temporary files are not named."""
        return dict(sorted(_files(self.folder / folder, f"{folder}/" if folder else "")))

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole, with no access for others."""
        with self.writing(name) as file:
            file.write(content)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A temporary file that is renamed when the block ends; the old file, if any, stands until then."""
        path = self.folder / name
        # In the same folder: a rename is atomic only within a file system.
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            # 0o700 and 0o600: results hold patients' ids, which other users of the machine must not read.
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                yield file
                # Without fsync a power cut could leave the new name with an empty file behind it.
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise RunDirectoryError(
                f"cannot write {self.describe(name)} ({error.strerror}); what was finished before is kept: "
                "make room or give access, then run the same command again"
            ) from error
        finally:
            with suppress(OSError):
                temporary.unlink()

    def create(self, name: str, content: bytes) -> str | None:
        """Write a file that is not there yet."""
        with self._alone():
            return None if self.exists(name) else self._written(name, content)

    def replace(self, name: str, content: bytes, tag: str) -> str | None:
        """Write a file if it still has this digest."""
        with self._alone():
            found = self.find(name)
            return self._written(name, content) if found and found.tag == tag else None

    def delete(self, name: str) -> None:
        """Delete a file; it may be missing."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise RunDirectoryError(f"cannot delete {self.describe(name)} ({error.strerror}); give access") from error

    def move(self, name: str, target: str) -> None:
        """Rename a file or a folder."""
        try:
            (self.folder / name).rename(self.folder / target)
        except OSError as error:
            raise RunDirectoryError(f"cannot rename {self.describe(name)} ({error.strerror}); give access") from error

    def sweep(self) -> None:
        """Delete the temporary files of a killed driver."""
        for path in [*self.folder.glob(".*.tmp"), *self.folder.glob("*/**/.*.tmp")]:
            path.unlink(missing_ok=True)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Make the folder, private to the user, and hold it by flock(2), which ends with the process."""
        # Without waiting: a second driver should be refused at once.
        with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield

    def holder(self) -> Holder | None:
        """Who wrote the lock file, unless it is known to be gone."""
        try:
            holder = holder_in((self.folder / _LOCK).read_bytes())
        except OSError:
            return None
        return None if holder is None or has_died(holder) else holder

    def log_handler(self, name: str) -> logging.Handler:
        """Append to a file, a line at a time; like the folder, it is private to its user."""
        path = self.folder / name
        if not path.exists():
            path.touch(mode=0o600)
        return AppendedLog(path, encoding="utf-8", delay=True)

    def _written(self, name: str, content: bytes) -> str:
        self.write(name, content)
        return _tag(content)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other processes out between a read and the write that follows it."""
        with self._locked(fcntl.LOCK_EX):
            yield

    @contextmanager
    def _locked(self, operation: int) -> Iterator[None]:
        path = self.folder / _LOCK
        handle = self._lock_file(path, operation)
        try:
            with suppress(OSError):  # on a full disk the lock still holds, but its record is empty
                os.ftruncate(handle, 0)
                os.write(handle, holder_text(this_process()))
            yield
        finally:
            # Deleted while still locked, so that nobody can lock the name between.
            with suppress(OSError):
                path.unlink()
            os.close(handle)

    def _lock_file(self, path: Path, operation: int) -> int:
        """The locked file; a former holder may delete it between our opening and our locking it, so look again."""
        while True:
            try:
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self.folder.chmod(0o700)
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            except OSError as error:
                raise RunDirectoryError(
                    f"cannot write the run directory {self.folder} ({error.strerror}); "
                    "give access, or set `storage.runs` elsewhere"
                ) from error
            try:
                fcntl.flock(handle, operation)
                if _is(path, handle):
                    return handle
                os.close(handle)
            except BlockingIOError as error:
                # Read through the handle: the path may name another file by now.
                record = os.pread(handle, 4096, 0)
                os.close(handle)
                raise refusal(self.folder.name, holder_in(record)) from error
            except OSError as error:
                os.close(handle)
                raise RunDirectoryError(
                    f"cannot lock the run directory {self.folder} ({error.strerror}); "
                    "keep it on a file system with flock, or set `storage.runs` to an s3:// location"
                ) from error


def _tag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _files(folder: Path, prefix: str) -> Iterator[tuple[str, int]]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    # Links are not followed: a link to a parent folder would never end.
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path), f"{prefix}{entry.name}/")
        elif not (entry.name.startswith(".") and entry.name.endswith(".tmp")):
            yield f"{prefix}{entry.name}", entry.stat().st_size
