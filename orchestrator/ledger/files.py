"""Writes and reads whole files: to a temporary name, flushed, then renamed, so that none is ever half there."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mpi_model.errors import ExperimentError, RunDirectoryError


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole, with no access for others.

    Raises:
        RunDirectoryError: The disk is full, or the folder cannot be written; the old file, if any, stands.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunDirectoryError(
            f"cannot write {path.name} in the run directory ({error.strerror}); what was finished before is kept: "
            "make room or give access, then run the same command again"
        ) from error


def write_named_file(path: Path, content: bytes) -> None:
    """Write a file that a person named on the command line; its folder has to be there.

    Raises:
        ExperimentError: It cannot be written.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ExperimentError(
            f"cannot write {path} ({error.strerror}); name a file in a folder you can write"
        ) from error


def write_json(path: Path, value: object) -> None:
    """Write plain values as indented JSON."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8"))


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object.

    Raises:
        RunDirectoryError: The file is missing or damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"cannot read {path.name} of the run directory: {error.__class__.__name__}") from error
    if not isinstance(value, dict):
        raise RunDirectoryError(f"{path.name} of the run directory does not hold a JSON object")
    return value


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet: the same rows give the same bytes."""
    write_bytes(path, _parquet(table))


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(None), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """A data frame as the bytes of a Parquet file, without its index."""
    return _parquet(pa.Table.from_pandas(frame, preserve_index=False))


def write_rows(path: Path, rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> None:
    """Write rows as Parquet."""
    write_table(path, pa.Table.from_pylist(list(rows), schema=schema))


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a data frame as Parquet, without its index."""
    write_table(path, pa.Table.from_pandas(frame, preserve_index=False))


def read_table(path: Path) -> pa.Table:
    """Read a Parquet file.

    Raises:
        RunDirectoryError: The file is missing or damaged.
    """
    try:
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise RunDirectoryError(
            f"{path.parent.name}/{path.name} of the run directory is missing or damaged ({error.__class__.__name__}); "
            "restore it, or move that folder away and run again: what it held is made anew"
        ) from error


def read_frame(path: Path) -> pd.DataFrame:
    """Read a Parquet file as a data frame."""
    frame: pd.DataFrame = read_table(path).to_pandas()
    return frame
