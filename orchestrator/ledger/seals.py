"""Parquet files that carry the digest of their own rows, and the hash of the experiment they belong to.

Read back, a file is believed only if both are right: a flipped bit, an edited value, a file of another run is refused.
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


def sealed_bytes(table: pa.Table, experiment: str, more: Mapping[str, str] | None = None) -> bytes:
    """A table as the bytes of a Parquet file that says what it is.

    Args:
        table: The rows.
        experiment: The experiment's hash.
        more: What else the file says of itself, under its digest, too.
    """
    said = {"experiment": experiment, **(more or {})}
    return table_bytes(table, said | {"digest": _digest(table, said)})


def sealed_frame(frame: pd.DataFrame, experiment: str, more: Mapping[str, str] | None = None) -> bytes:
    """A data frame likewise, without its index."""
    return sealed_bytes(pa.Table.from_pandas(frame, preserve_index=False), experiment, more)


def opened(content: bytes, experiment: str) -> tuple[pa.Table, Mapping[str, str]] | None:
    """The rows and what the file says of itself; None where it is damaged, changed or of another experiment."""
    table = table_from(content)
    if table is None:
        return None
    try:
        said = {name.decode(): text.decode() for name, text in (table.schema.metadata or {}).items()}
    except UnicodeDecodeError:
        return None
    digest = said.pop("digest", "")
    rows = table.replace_schema_metadata(None)
    if said.get("experiment") != experiment or digest != _digest(rows, said):
        return None
    return rows, said


def read_sealed(blob: Blob, experiment: str, remedy: str) -> pa.Table:
    """The rows of a sealed file.

    Args:
        blob: The file.
        experiment: The experiment's hash.
        remedy: What to do where it cannot be believed.

    Raises:
        RunDirectoryError: It is missing, damaged, changed after it was written, or of another experiment.
    """
    found = opened(blob.read_bytes(), experiment)
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
