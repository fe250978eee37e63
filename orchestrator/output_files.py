"""Writes files and folders that a user names on the command line; what holds them has to exist."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mpi_model.errors import ExperimentError
from mpi_model.regular_files import is_regular, open_regular

_MOST_LOOKED_AT: Final = 256 * 2**20


@contextmanager
def private_files() -> Iterator[None]:
    """Files made inside are private to their user: what a run writes, Ray's files included, may contain patients' data.

    The mask belongs to the whole process, so other threads' files are private meanwhile, too.
    """
    mask = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(mask)


def write_named_file(
    path: Path, content: bytes, ending: str = "", is_alike: Callable[[bytes], bool] | None = None
) -> None:
    """Write a file whole, and replace an existing one of its kind.

    Args:
        path: The file.
        content: Its bytes.
        ending: Of the names of such files, `.html`; an existing file with another one may be somebody's manifest.
        is_alike: Whether the content of an existing file is of this kind, where its ending alone does not tell.

    Raises:
        ExperimentError: The file cannot be written, exists and is of another kind, or is no file.
    """
    if ending and is_regular(path) and path.suffix.lower() != ending:
        raise ExperimentError(f"{str(path)[:200]} exists and is no {ending} file; name another file")
    if is_alike is not None and is_regular(path) and not is_alike(_beginning(path)):
        raise ExperimentError(f"{str(path)[:200]} exists and holds something else; name another file")
    # Where a link leads: a person may keep results elsewhere, and the link itself should stay.
    target = Path(os.path.realpath(path))
    try:
        with _temporary(target, content) as temporary:
            temporary.replace(target)
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


def new_named_file(path: Path, content: bytes = b"") -> None:
    """Write a new file whole.

    Raises:
        ExperimentError: The file exists, or cannot be written.
    """
    try:
        with _temporary(path, content) as temporary:
            # A second name for it, which is refused where the name is taken: no race between a check and the write.
            os.link(temporary, path)
    except FileExistsError:
        raise ExperimentError(f"{path} exists already and was not changed; name another file") from None
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


def _beginning(path: Path) -> bytes:
    try:
        with open_regular(path, _MOST_LOOKED_AT) as file:
            return file.read()
    except OSError as error:
        raise _unwritable(path, error) from error


def make_parents(folder: Path) -> None:
    """Make the folders above a named one.

    Raises:
        ExperimentError: They cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExperimentError(
            f"cannot write {str(folder)[:200]} ({error.strerror}); name a folder you can write"
        ) from error


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, beside the named one; it takes the name when the block ends, and is deleted on an error.

    Args:
        folder: Missing or empty; the folder that holds it is there.

    Raises:
        ExperimentError: The folder cannot be written.
    """
    if folder.is_symlink() and not folder.exists():
        raise ExperimentError(f"{str(folder)[:200]} is a link that leads nowhere; name a new folder")
    if folder.exists() and (os.path.samefile(folder, os.curdir) or os.path.ismount(folder)):
        # The finished folder takes its place, which no system does under the feet of a process or a disk.
        raise ExperimentError(f"{str(folder)[:200]} is the current folder, or a disk of its own; name a new one in it")
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.unfinished-", dir=folder.absolute().parent))
    except OSError as error:
        raise ExperimentError(f"cannot write {folder} ({error.strerror}); name a folder you can write") from error
    try:
        yield work
        if folder.exists():
            folder.rmdir()
        # Beside the named folder, so on the same file system: renaming is one step that cannot stop halfway.
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    """A file beside `path` with the whole content, deleted at the end if it still has its name."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is a folder, a device or a pipe, not a file")
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError | ValueError) -> ExperimentError:
    why = error.strerror if isinstance(error, OSError) else "its name holds a null character"
    return ExperimentError(f"cannot write {str(path)[:200]} ({why}); name a file in a folder you can write")
