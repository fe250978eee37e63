"""Files that a person names on a command line; their folder has to be there."""

from pathlib import Path

from mpi_model.errors import ExperimentError


def write_named_file(path: Path, content: bytes) -> None:
    """Write a file, whatever was there.

    Raises:
        ExperimentError: It cannot be written.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise _unwritable(path, error) from error


def new_named_file(path: Path, content: bytes = b"") -> None:
    """Write a file where there is none yet.

    Raises:
        ExperimentError: There is one already, or it cannot be written.
    """
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise ExperimentError(f"{path} exists already and is left as it is; name another file") from None
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> ExperimentError:
    return ExperimentError(f"cannot write {path} ({error.strerror}); name a file in a folder you can write")
