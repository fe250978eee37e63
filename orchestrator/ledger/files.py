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


def json_object(content: bytes) -> dict[str, object] | None:
    """A JSON object; None where it is none, or damaged."""
    try:
        value = json.loads(content)
        # Half a letter (`\ud800`) can be neither hashed, nor written, nor said; only an escape can make one.
        if b"\\u" in content:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    # Brackets nested by the thousand are no JSON of ours.
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def table_bytes(rows: pa.Table | pd.DataFrame, metadata: Mapping[str, str] | None = None) -> bytes:
    """Rows as the bytes of a Parquet file, with no metadata but these; of a data frame without its index."""
    table = pa.Table.from_pandas(rows, preserve_index=False) if isinstance(rows, pd.DataFrame) else rows
    sink = pa.BufferOutputStream()
    # Pandas would add its version to the metadata, and so make other bytes of the same rows.
    pq.write_table(table.replace_schema_metadata(metadata), sink, compression=COMPRESSION)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def table_from(content: bytes) -> pa.Table | None:
    """The table in the bytes of a Parquet file; None where they are damaged."""
    try:
        return pq.ParquetFile(pa.BufferReader(content)).read()
    except (OSError, ValueError, pa.ArrowException):
        return None


def read_frame(blob: Blob) -> pd.DataFrame:
    """Read a Parquet file as a data frame.

    Raises:
        RunDirectoryError: The blob is missing or damaged.
    """
    table = table_from(blob.read_bytes())
    if table is None:
        raise RunDirectoryError(f"{blob} is damaged; restore it, or delete it and run again: it is made anew")
    frame: pd.DataFrame = table.to_pandas()
    return frame
