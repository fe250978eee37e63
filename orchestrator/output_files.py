"""Writes files that a user names on the command line; their folder has to exist."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpi_model.errors import ExperimentError


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


def write_named_file(path: Path, content: bytes) -> None:
    """Write a file, and replace an existing one.

    Raises:
        ExperimentError: The file cannot be written.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise _unwritable(path, error) from error


def new_named_file(path: Path, content: bytes = b"") -> None:
    """Write a new file.

    Raises:
        ExperimentError: The file exists, or cannot be written.
    """
    try:
        # Mode x refuses an existing file in the same step, without a race between a check and the write.
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise ExperimentError(f"{path} exists already and was not changed; name another file") from None
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> ExperimentError:
    return ExperimentError(f"cannot write {path} ({error.strerror}); name a file in a folder you can write")
