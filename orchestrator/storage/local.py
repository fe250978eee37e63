"""Blobs as files of a local folder: to a temporary name, flushed, then renamed, so that none is ever half there."""

import datetime
import errno
import fcntl
import hashlib
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from mpi_model.errors import RunDirectoryError
from orchestrator.storage.base import Version
from orchestrator.storage.folders import (
    files_below,
    is_same,
    open_folder,
    parent_of,
    read_file,
    reason_of,
    status_of,
    temporary_files,
)
from orchestrator.storage.holder import Holder, has_died, holder_in, holder_text, refusal, this_process
from orchestrator.storage.log_files import AppendedLog

_LOCK: Final = ".lock"


@dataclass(slots=True)
class _Held:
    """What this process holds of a folder; empty where it holds nothing."""

    folder: int | None = None
    """The descriptor of the folder that was locked, wherever its path leads by now."""
    lock: int | None = None


@dataclass(frozen=True, slots=True)
class LocalStorage:
    """A folder, private to its user. See `Storage` for what the methods do."""

    folder: Path
    seconds_that_wait: float = 0.0
    _held: _Held = field(default_factory=_Held, compare=False, repr=False)

    @property
    def location(self) -> str:
        """The folder's path."""
        return str(self.folder)

    def describe(self, name: str) -> str:
        """The name, and whose it is."""
        return f"{name} of the run directory {self.folder.name[:200]}"

    def exists(self, name: str) -> bool:
        """Whether the file is there."""
        try:
            with self._root() as root:
                found = status_of(root, name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise RunDirectoryError(f"cannot look for {self.describe(name)} ({error.strerror}); give access") from error
        return found is not None and stat.S_ISREG(found.st_mode)

    def read(self, name: str) -> bytes:
        """A file that has to be there."""
        try:
            with self._root() as root:
                return read_file(root, name)
        except OSError as error:
            raise RunDirectoryError(f"cannot read {self.describe(name)} ({reason_of(error)}); restore it") from error

    def find(self, name: str) -> Version | None:
        """A file with its digest, or None where there is none."""
        if not self.exists(name):
            return None
        content = self.read(name)
        with self._root() as root:
            status = status_of(root, name)
        # The time is for messages; `replace` compares the digest. Python's dates end with that second of the year 9999.
        modified = datetime.datetime.fromtimestamp(min(status.st_mtime, 253_402_300_799) if status else 0, datetime.UTC)
        return Version(content=content, tag=_tag(content), modified=modified)

    def names(self, folder: str) -> Mapping[str, int]:
        """Every file in a folder and the folders below; temporary files are not named."""
        try:
            return dict(sorted(files_below(self.folder / folder, f"{folder}/" if folder else "")))
        except OSError as error:
            raise RunDirectoryError(
                f"cannot list the run directory {self.folder.name} ({reason_of(error)}); give access"
            ) from error

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole, with no access for others."""
        with self.writing(name) as file:
            file.write(content)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """A temporary file that is renamed when the block ends; the old file, if any, stands until then."""
        try:
            with self._root(make=True) as root, parent_of(root, name, make=True) as (folder, last):
                # In the same folder: a rename is atomic only within a file system.
                temporary = f".{last}.{os.getpid()}.tmp"
                try:
                    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
                    # 0o600: results hold patients' ids, which other users of the machine must not read.
                    with open(os.open(temporary, flags, 0o600, dir_fd=folder), "wb") as file:
                        yield file
                        # Without fsync a power cut could leave the new name with an empty file behind it.
                        file.flush()
                        os.fsync(file.fileno())
                    # Once more: the block may have taken long, and the folder may be another's by now.
                    self._check()
                    os.rename(temporary, last, src_dir_fd=folder, dst_dir_fd=folder)
                finally:
                    with suppress(OSError):
                        os.unlink(temporary, dir_fd=folder)
        except OSError as error:
            raise RunDirectoryError(
                f"cannot write {self.describe(name)} ({reason_of(error)}); what was finished before is kept: "
                "make room or give access, then run the same command again"
            ) from error

    def create(self, name: str, content: bytes) -> str | None:
        """Write a file that is not there yet."""
        with nullcontext() if self._held.lock is not None else self._locked(fcntl.LOCK_EX):
            if self.exists(name):
                return None
            tag = self._written(name, content)
            # The name, too, is on the disk before anything is deleted that a marker makes superfluous.
            with self._root() as root, parent_of(root, name) as (folder, _):
                os.fsync(folder)
            return tag

    def replace(self, name: str, content: bytes, tag: str) -> str | None:
        """Write a file if it still has this digest."""
        with nullcontext() if self._held.lock is not None else self._locked(fcntl.LOCK_EX):
            found = self.find(name)
            return self._written(name, content) if found and found.tag == tag else None

    def delete(self, *names: str) -> None:
        """Delete files; they may be missing."""
        for name in names:
            try:
                with self._root() as root, parent_of(root, name) as (folder, last):
                    os.unlink(last, dir_fd=folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise RunDirectoryError(
                    f"cannot delete {self.describe(name)} ({error.strerror}); give access"
                ) from error

    def move(self, name: str, target: str) -> None:
        """Rename a file or a folder."""
        try:
            with self._root() as root, parent_of(root, name) as old, parent_of(root, target) as new:
                os.rename(old[1], new[1], src_dir_fd=old[0], dst_dir_fd=new[0])
        except OSError as error:
            raise RunDirectoryError(f"cannot rename {self.describe(name)} ({error.strerror}); give access") from error

    def sweep(self) -> None:
        """Delete the temporary files of a killed driver."""
        self._check()
        for path in temporary_files(self.folder):
            path.unlink(missing_ok=True)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Make the folder, private to the user, and hold it by flock(2), which ends with the process."""
        # Without waiting: a second driver should be refused at once.
        with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB) as lock:
            self._held.lock, self._held.folder = lock, open_folder(self.folder)
            try:
                yield
            finally:
                os.close(self._held.folder)
                self._held.lock = self._held.folder = None

    def _check(self) -> None:
        """Let a write pass while the locked folder is the one at its path; nothing to check where none is held.

        Raises:
            RunDirectoryError: The folder or its lock was moved, deleted or replaced.
        """
        if self._held.lock is None or self._held.folder is None:
            return
        if not is_same(self._held.folder, self.folder) or not is_same(self._held.lock, self.folder / _LOCK):
            raise RunDirectoryError(
                f"the run directory {self.folder.name} or its lock was moved, deleted or replaced while this driver "
                "was writing; it stops, and what it had finished is where the directory is now"
            )

    @contextmanager
    def _root(self, *, make: bool = False) -> Iterator[int]:
        """The descriptor of the folder: the locked one where it is held, otherwise the one at the path."""
        if self._held.folder is not None:
            # Reading, too: another run's files in the folder's place are not this run's results.
            self._check()
            yield self._held.folder
            return
        if make:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = open_folder(self.folder)
        try:
            yield handle
        finally:
            os.close(handle)

    def holder(self) -> Holder | None:
        """Who wrote the lock file, unless it is known to be gone."""
        try:
            with self._root() as root:
                holder = holder_in(read_file(root, _LOCK))
        except OSError:
            return None
        return None if holder is None or has_died(holder) else holder

    def free(self) -> int | None:
        """What the file system leaves to this user."""
        try:
            found = os.statvfs(self.folder)
        except OSError:
            return None
        return found.f_bavail * found.f_frsize

    def log_handler(self, name: str) -> logging.Handler:
        """Append to a file, a line at a time; like the folder, it is private to its user."""
        path = self.folder / name
        # Neither a link, which may lead anywhere, nor a pipe, which would be waited for.
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise RunDirectoryError(f"{self.describe(name)} is a link, a folder or a pipe, not a file: remove it")
        if not path.exists():
            path.touch(mode=0o600)
        return AppendedLog(path, encoding="utf-8", delay=True)

    def _written(self, name: str, content: bytes) -> str:
        self.write(name, content)
        return _tag(content)

    @contextmanager
    def _locked(self, operation: int) -> Iterator[int]:
        path = self.folder / _LOCK
        handle = self._lock_file(path, operation)
        try:
            with suppress(OSError):  # on a full disk the lock still holds, but its record is empty
                os.ftruncate(handle, 0)
                os.write(handle, holder_text(this_process()))
            yield handle
        finally:
            # Deleted while still locked, so that nobody can lock the name between. Only if it is ours still: another
            # driver's lock may lie at the path of a folder that was replaced.
            with suppress(OSError):
                if is_same(handle, path):
                    path.unlink()
            os.close(handle)

    def _lock_file(self, path: Path, operation: int) -> int:
        """The locked file; a former holder may delete it between our opening and our locking it, so look again."""
        while True:
            try:
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self.folder.chmod(0o700)
                # Neither a link, whose target would be emptied, nor a pipe, which would be waited for.
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    os.close(handle)
                    raise OSError(errno.EINVAL, f"its {_LOCK} is no regular file")
            except OSError as error:
                raise RunDirectoryError(
                    f"cannot write the run directory {self.folder} ({reason_of(error)}); "
                    "give access, or set `storage.runs` elsewhere"
                ) from error
            try:
                fcntl.flock(handle, operation)
                if is_same(handle, path):
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
