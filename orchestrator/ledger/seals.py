"""Parquet files that carry their own name, the digest of their rows, and the hash of the experiment they belong to.

Read back, a file is believed only if all are right: a flipped bit, an edited value, a file of another run, or another
file of this one, is refused.
Whoever computes the digest anew is not kept out; the whole directory is private to its user.
"""

import hashlib
import json
from collections.abc import Mapping

import pandas as pd
import pyarrow as pa

from mpi_model.errors import RunDirectoryError
from orchestrator.ledger.files import table_bytes, table_from
from orchestrator.storage.base import Blob


def write_sealed(
    blob: Blob, rows: pa.Table | pd.DataFrame, experiment: str, more: Mapping[str, str] | None = None
) -> None:
    """Write rows as a Parquet file that says what it is.

    Args:
        blob: The file.
        rows: What is written; of a data frame without its index.
        experiment: The experiment's hash.
        more: What else the file says of itself, under its digest, too.
    """
    table = pa.Table.from_pandas(rows, preserve_index=False) if isinstance(rows, pd.DataFrame) else rows
    said = {"experiment": experiment, "file": blob.name, **(more or {})}
    blob.write_bytes(table_bytes(table, said | {"digest": _digest(table, said)}))


def opened(content: bytes, experiment: str, name: str) -> tuple[pa.Table, Mapping[str, str]] | None:
    """The rows and what the file says of itself; None where it is damaged, changed, or another file.

    Args:
        content: The file.
        experiment: The experiment's hash.
        name: The file's name in its run directory.
    """
    table = table_from(content)
    if table is None:
        return None
    try:
        said = {name.decode(): text.decode() for name, text in (table.schema.metadata or {}).items()}
    except UnicodeDecodeError:
        return None
    digest = said.pop("digest", "")
    rows = table.replace_schema_metadata(None)
    # Files that were written until 26 November 2026 do not say their name.
    if (said.get("experiment"), said.get("file", name)) != (experiment, name) or digest != _digest(rows, said):
        return None
    return rows, said


def read_sealed(blob: Blob, experiment: str, remedy: str) -> pa.Table:
    """The rows of a sealed file.

    Args:
        blob: The file.
        experiment: The experiment's hash.
        remedy: What to do where it cannot be believed.

    Raises:
        RunDirectoryError: It is missing, damaged, changed after it was written, another file, or of another experiment.
    """
    found = opened(blob.read_bytes(), experiment, blob.name)
    if found is None:
        raise RunDirectoryError(f"{blob} is not what was written (damaged, edited, or of another run); {remedy}")
    return found[0]


def _digest(table: pa.Table, said: Mapping[str, str]) -> str:
    """Of names, types, values and what the file says: what pandas or Parquet add does not count."""
    sha = hashlib.sha256(json.dumps([table.num_rows, sorted(said.items())]).encode("ascii"))
    for field in table.schema:
        sha.update(f"{field.name}\n{field.type}\n".encode())
        # A column at a time: one text of a whole table of 100,000 exams would take a gigabyte.
        sha.update(json.dumps(table[field.name].to_pylist(), default=str).encode("ascii"))
    return sha.hexdigest()
