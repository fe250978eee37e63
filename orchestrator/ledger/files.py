"""JSON objects and Parquet tables: the same bytes for the same content."""

import json
from collections.abc import Mapping
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mpi_model.errors import RunDirectoryError
from orchestrator.storage.base import Blob

COMPRESSION: Final = "zstd"


def json_bytes(value: object) -> bytes:
    """Plain values as indented JSON with sorted keys."""
    # Sorted keys and a last line feed: equal content gives equal bytes, and a diff is readable.
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8")


def write_json(blob: Blob, value: object) -> None:
    """Write plain values as indented JSON."""
    blob.write_bytes(json_bytes(value))


def json_object(content: bytes) -> dict[str, object] | None:
    """A JSON object; None where it is none, or damaged."""
    try:
        value = json.loads(content)
    # Brackets nested by the thousand are no JSON of ours.
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def table_bytes(table: pa.Table, metadata: Mapping[str, str] | None = None) -> bytes:
    """A table as the bytes of a Parquet file, with no metadata but these."""
    sink = pa.BufferOutputStream()
    # Pandas would add its version to the metadata, and so make other bytes of the same rows.
    pq.write_table(table.replace_schema_metadata(metadata), sink, compression=COMPRESSION)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    """A data frame as the bytes of a Parquet file, without its index."""
    return table_bytes(pa.Table.from_pandas(frame, preserve_index=False))


def table_from(content: bytes) -> pa.Table | None:
    """The table in the bytes of a Parquet file; None where they are damaged."""
    try:
        return pq.ParquetFile(pa.BufferReader(content)).read()
    except (OSError, ValueError, pa.ArrowException):
        return None


def read_table(blob: Blob) -> pa.Table:
    """Read a Parquet file.

    Raises:
        RunDirectoryError: The blob is missing or damaged.
    """
    table = table_from(blob.read_bytes())
    if table is None:
        raise RunDirectoryError(f"{blob} is damaged; restore it, or delete it and run again: it is made anew")
    return table


def read_frame(blob: Blob) -> pd.DataFrame:
    """Read a Parquet file as a data frame."""
    frame: pd.DataFrame = read_table(blob).to_pandas()
    return frame
