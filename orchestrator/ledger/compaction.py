"""Writes the tables of a run from its committed cells: the same bytes whatever runner did the cells."""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.hashing import digest
from orchestrator.ledger.description import read_description
from orchestrator.ledger.files import COMPRESSION, json_bytes, json_object, table_from
from orchestrator.ledger.joining import committed_pieces, join, read_cohort
from orchestrator.ledger.paths import RunPaths
from orchestrator.ledger.schemas import TABLES
from orchestrator.ledger.state import RunState
from orchestrator.storage.base import Blob


def compact(state: RunState) -> None:
    """Write `tables/*.parquet` from the committed cells.

    Raises:
        RunDirectoryError: A part is not what was committed.
    """
    experiment = read_description(state.paths).hash
    pieces, exams = committed_pieces(state), read_cohort(state.paths, experiment)
    # Without its record no table counts as current, so it goes first and comes last.
    state.paths.compaction.unlink()
    with ExitStack() as stack:
        # All tables at a time, because each cell's file has rows of every one of them and is read once.
        files = {name: _Hashed(stack.enter_context(_writing(state.paths.table(name)))) for name in TABLES}
        with ExitStack() as writing:
            writers = {
                name: writing.enter_context(
                    pq.ParquetWriter(pa.PythonFile(file, mode="w"), TABLES[name][0], compression=COMPRESSION)
                )
                for name, file in files.items()
            }
            join(pieces, exams, {name: writer.write_table for name, writer in writers.items()})
    seals = {name: file.sha.hexdigest() for name, file in files.items()}
    record = {"experiment": experiment, "markers": _markers_of(state), "tables": seals}
    state.paths.compaction.write_bytes(json_bytes(record | {"digest": digest(record)}))


def _writing(blob: Blob) -> AbstractContextManager[IO[bytes]]:
    return blob.storage.writing(blob.name)


class _Hashed:
    """A file that is written once from its beginning, and the digest of what was written."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.sha = hashlib.sha256()

    def write(self, content: bytes) -> int:
        """Write and count."""
        self.sha.update(content)
        return self.file.write(content)

    def tell(self) -> int:
        """Bytes so far."""
        return self.file.tell()

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """The storage closes its own file."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """What the compacted tables were made of, and their digests."""

    markers: Mapping[str, str]
    """The digest of every commit marker, by the cell's name and, for test predictions, with `/test`."""
    tables: Mapping[str, str]
    """SHA-256 of every table."""

    def is_of(self, state: RunState) -> bool:
        """Whether the ledger holds just these cells."""
        return dict(self.markers) == _markers_of(state)


def read_compaction(paths: RunPaths, experiment: str) -> Compaction | None:
    """The record of the tables; None where there is none that can be believed.

    Args:
        paths: The run.
        experiment: Its hash.
    """
    found = paths.storage.find(paths.compaction.name)
    stored = json_object(found.content) if found else None
    if stored is None or set(stored) != {"experiment", "markers", "tables", "digest"}:
        return None
    content = {name: value for name, value in stored.items() if name != "digest"}
    kinds_are_right = isinstance(stored["markers"], dict) and isinstance(stored["tables"], dict)
    if not kinds_are_right or digest(content) != stored["digest"] or stored["experiment"] != experiment:
        return None
    return Compaction(markers=content["markers"], tables=content["tables"])  # type: ignore[arg-type] # by the digest


def current_table(paths: RunPaths, record: Compaction, name: str) -> pa.Table | None:
    """A compacted table; None where it is missing or not what was compacted."""
    found = paths.storage.find(paths.table(name).name)
    if found is None or hashlib.sha256(found.content).hexdigest() != record.tables.get(name):
        return None
    return table_from(found.content)


def _markers_of(state: RunState) -> dict[str, str]:
    both = {**state.cells, **{f"{cell}/test": marker for cell, marker in state.tests.items()}}
    return {name: "" if marker is None else marker.digest for name, marker in sorted(both.items())}
