"""A folder for Ray's and Tune's own files, private to the user; it is deleted after its driver, even a killed one."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PREFIX: Final = "polarmap-"
_ALIVE: Final = "alive"
"""A file of the folder that its driver holds locked; the lock ends with the process."""
_LONGEST_TEMPORARY: Final = 16


@contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder; those that killed drivers left behind, with logs of their workers, are deleted first."""
    parent = _short_folder()
    _sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    handle = os.open(folder / "new", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    os.write(handle, _proof(folder))
    (folder / "new").rename(folder / _ALIVE)  # found by its name only once it is locked
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _sweep(parent: Path) -> None:
    """Delete the folders whose drivers are gone; those of other users cannot be opened and stay."""
    for alive in parent.glob(f"{_PREFIX}*/{_ALIVE}"):
        try:
            # Neither a link, which would lead elsewhere, nor a pipe, which would be waited for.
            handle = os.open(alive, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_ours(alive.parent, handle):
                shutil.rmtree(alive.parent, ignore_errors=True)
        # Another driver holds it (it is alive), or has swept it between our opening and our locking.
        except OSError:
            pass
        finally:
            os.close(handle)


def _proof(folder: Path) -> bytes:
    """What only the maker of a folder writes into its file: a folder that was copied or renamed is not believed."""
    return f"a private folder of polarmap: {folder.name}\n".encode()


def _is_ours(folder: Path, handle: int) -> bool:
    """Whether this program made a folder for this user; anything else of that name is left alone."""
    status = folder.lstat()
    private = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == stat.S_IRWXU
    return private and status.st_uid == os.getuid() and os.pread(handle, 4096, 0) == _proof(folder)


def _short_folder() -> Path:
    """Where sockets fit: their paths hold 107 characters, of which Ray's session takes about 70."""
    temporary = Path(tempfile.gettempdir())
    return Path("/tmp") if len(str(temporary)) > _LONGEST_TEMPORARY and Path("/tmp").is_dir() else temporary
