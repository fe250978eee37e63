"""Files below one folder, reached through descriptors: neither links nor what takes the folder's place are followed.

A path is walked name by name, each opened below the one before (openat(2)). A run directory that is moved, deleted or
replaced while a driver works in it is therefore still the driver's own, or is noticed.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from orchestrator.storage.base import MOST_BYTES

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OWN: Final = 0o700
"""Results hold patients' ids, which other users of the machine must not read."""


@contextmanager
def parent_of(root: int, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """The descriptor of the folder that holds a file, and the file's own name.

    Args:
        root: The descriptor of the upper folder.
        name: A relative path with forward slashes.
        make: Whether missing folders are made.

    Raises:
        OSError: A folder is missing, or something on the way is a link or no folder.
    """
    *folders, last = name.split("/")
    handle = os.dup(root)
    try:
        for folder in folders:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(folder, _OWN, dir_fd=handle)
            below = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = below
        yield handle, last
    finally:
        os.close(handle)


def open_folder(folder: Path) -> int:
    """The descriptor of a folder that a person named; links to it are the person's own and are followed.

    Raises:
        OSError: It is missing, or no folder.
    """
    try:
        return os.open(folder, _FOLDER)
    except ValueError as error:
        raise OSError(errno.EINVAL, "its name holds a null character") from error


def read_file(root: int, name: str) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: It is missing, a link, or no regular file.
    """
    with parent_of(root, name) as (folder, last):
        # Without O_NONBLOCK a named pipe in its place would be waited for.
        handle = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            if os.fstat(handle).st_size > MOST_BYTES:
                raise OSError(errno.EFBIG, f"it has more than the {MOST_BYTES} bytes that are read")
            return file.read()


def status_of(root: int, name: str) -> os.stat_result | None:
    """The status of a file itself, not of what a link leads to; None where there is none."""
    try:
        with parent_of(root, name) as (folder, last):
            return os.stat(last, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_same(handle: int, path: Path) -> bool:
    """Whether a path still names what a descriptor holds."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def files_below(folder: Path, prefix: str) -> Iterator[tuple[str, int]]:
    """Every file below a folder with its size, named from there; links are not followed, temporary files not named."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    # Links are not followed: a link to a parent folder would never end.
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(Path(entry.path), f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False) and not (entry.name.startswith(".") and entry.name.endswith(".tmp")):
            yield f"{prefix}{entry.name}", entry.stat(follow_symlinks=False).st_size


def temporary_files(folder: Path) -> Iterator[Path]:
    """What a killed driver left half written, anywhere below a folder; links are not followed."""
    for place, _, names in os.walk(folder, followlinks=False):
        yield from (Path(place, name) for name in names if name.startswith(".") and name.endswith(".tmp"))


def reason_of(error: OSError) -> str:
    """What the system says; a link inside a run, which is not followed, in plain words."""
    if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR):
        return "a link, or no folder, is in its place; links inside a run are not followed"
    return error.strerror or type(error).__name__
