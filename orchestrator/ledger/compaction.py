"""Joins the committed parts into the run's tables: sorted, with labels, the same bytes whatever runner did the cells.

Cells are read in the order of the tables, so only the rows of one group have to be sorted: memory holds one row group a
table, however large the run.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mpi_model.errors import RunDirectoryError
from mpi_model.vocabulary import INPUTS
from orchestrator.hashing import digest
from orchestrator.ledger.description import read_description
from orchestrator.ledger.files import COMPRESSION, json_object, table_from, write_json
from orchestrator.ledger.integrity import matches, rows_in
from orchestrator.ledger.parts import Marker, fields_of
from orchestrator.ledger.paths import (
    ATTRIBUTIONS,
    ATTRIBUTIONS_COMMIT,
    CELL,
    COMMIT,
    RESULTS_FILE,
    TEST_COMMIT,
    TEST_PREDICTIONS,
    RunPaths,
)
from orchestrator.ledger.schemas import ATTRIBUTION_PART, EXAM_ATTRIBUTIONS, PARTS, TABLES
from orchestrator.ledger.seals import read_sealed
from orchestrator.ledger.state import RunState
from orchestrator.storage.base import Blob, read_many

MADE_ANEW: Final = "restore it, or delete it and give `polarmap run` its experiment file: it is made anew"
_ORDER: Final = "_order"
_INPUTS_ORDER: Final[dict[str, int]] = {name: place for place, name in enumerate(INPUTS)}
_ROW_GROUP: Final = 128 * 1024
"""A row group ends with the cell that fills it."""
_PIECES: Final = 256
"""As many tables are joined into one, because each costs memory of its own, however few rows it has."""


def compact(state: RunState) -> None:
    """Write `tables/*.parquet` from the committed cells.

    Raises:
        RunDirectoryError: A part is not what was committed.
    """
    experiment = read_description(state.paths).hash
    pieces, exams = _committed_pieces(state), read_cohort(state.paths, experiment)
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
            _join(pieces, exams, {name: writer.write_table for name, writer in writers.items()})
    seals = {name: file.sha.hexdigest() for name, file in files.items()}
    record = {"experiment": experiment, "markers": _markers_of(state), "tables": seals}
    write_json(state.paths.compaction, record | {"digest": digest(record)})


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
    return {name: "" if marker is None else digest(fields_of(marker)) for name, marker in sorted(both.items())}


def read_cohort(paths: RunPaths, experiment: str) -> pa.Table:
    """`cohort.parquet`, verified.

    Raises:
        RunDirectoryError: It is not what was written.
    """
    return read_sealed(paths.cohort, experiment, MADE_ANEW)


def joined(state: RunState, *names: str) -> dict[str, pa.Table]:
    """Some tables, from the parts of every committed cell, whether or not the run is finished.

    Args:
        state: The run.
        names: Names from `orchestrator.ledger.schemas.TABLES`.

    Raises:
        RunDirectoryError: A part is not what was committed.
    """
    pieces, exams = _committed_pieces(state), read_cohort(state.paths, read_description(state.paths).hash)
    groups: dict[str, list[pa.Table]] = {name: [] for name in names}
    _join(pieces, exams, {name: held.append for name, held in groups.items()})
    return {name: pa.concat_tables(held) for name, held in groups.items()}


def joined_attributions(state: RunState) -> pa.Table:
    """The attributions of every explained cell, exam by exam, with labels.

    Args:
        state: The run.

    Raises:
        RunDirectoryError: A part is not what was committed.
    """
    cells = sorted((cell for cell in state.explained if CELL.fullmatch(cell)), key=_place)
    pieces = [
        _piece(state.paths, state.explained, cell, f"{ATTRIBUTIONS}.parquet", ATTRIBUTIONS_COMMIT) for cell in cells
    ]
    tables = [table_from(content) for _, content in _contents(pieces)]
    exams = read_cohort(state.paths, read_description(state.paths).hash)
    return _with_exams(pa.concat_tables([ATTRIBUTION_PART.empty_table(), *tables]), exams, EXAM_ATTRIBUTIONS)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part to read, with the marker that says what its bytes have to be."""

    blob: Blob
    marker: Marker


def _committed_pieces(state: RunState) -> list[_Piece]:
    """The parts of every committed cell, in the order of the tables' rows.

    Raises:
        RunDirectoryError: A marker is damaged, or of another cell.
    """
    pieces = []
    for cell in sorted((cell for cell in state.cells if CELL.fullmatch(cell)), key=_place):
        pieces.append(_piece(state.paths, state.cells, cell, RESULTS_FILE, COMMIT))
        if cell in state.tests:
            pieces.append(_piece(state.paths, state.tests, cell, f"{TEST_PREDICTIONS}.parquet", TEST_COMMIT))
    return pieces


def _piece(paths: RunPaths, markers: Mapping[str, Marker | None], cell: str, part: str, commit: str) -> _Piece:
    marker = markers[cell]
    if marker is None or marker.cell != cell:
        raise _damaged(paths.in_cell(cell, commit))
    return _Piece(paths.in_cell(cell, part), marker)


def _place(cell: str) -> tuple[int, bool, int, int]:
    """Where a cell's rows stand in every table: by inputs, then repeat and fold, the final cell last."""
    inputs, repeat, fold = CELL.fullmatch(cell).groups()  # type: ignore[union-attr] # only such names come here
    return _INPUTS_ORDER[inputs], repeat is None, int(repeat or 0), int(fold or 0)


class _Rows:
    """The rows of one table in their order, written by row groups; at least one, which may be empty."""

    def __init__(self, name: str, exams: pa.Table, write: Callable[[pa.Table], object]) -> None:
        self.name = name
        self.exams = exams
        self.write = write
        # An empty table first, so that a table without rows still has its columns.
        self.held, self.rows, self.begun = [PARTS[name].empty_table()], 0, False

    def add(self, table: pa.Table) -> None:
        """The next rows."""
        self.held.append(table)
        self.rows += table.num_rows
        if self.rows >= _ROW_GROUP:
            self._write()
        elif len(self.held) > _PIECES:
            self.held = [pa.concat_tables(self.held).combine_chunks()]

    def end(self) -> None:
        """Write what is left."""
        if self.rows or not self.begun:
            self._write()

    def _write(self) -> None:
        self.write(_arranged(pa.concat_tables(self.held), self.name, self.exams))
        self.held, self.rows, self.begun = [PARTS[self.name].empty_table()], 0, True


def _join(pieces: list[_Piece], exams: pa.Table, writes: Mapping[str, Callable[[pa.Table], object]]) -> None:
    """Hand the rows of some tables on, a row group at a time.

    Args:
        pieces: The parts, in the order of their cells.
        exams: `cohort.parquet`, for the predictions' labels.
        writes: What takes the row groups of each table.
    """
    tables = {name: _Rows(name, exams, write) for name, write in writes.items()}
    for piece, content in _contents(pieces):
        found = rows_in(content) if piece.blob.name.endswith(RESULTS_FILE) else {"predictions": table_from(content)}
        if found is None:
            raise _damaged(piece.blob)
        for name in tables.keys() & found.keys():
            tables[name].add(found[name])
    for table in tables.values():
        table.end()


def _contents(pieces: list[_Piece]) -> Iterator[tuple[_Piece, bytes]]:
    """The bytes of some parts, each held against its marker.

    Raises:
        RunDirectoryError: A part is not what was committed.
    """
    for piece, content in zip(pieces, read_many(piece.blob for piece in pieces), strict=True):
        if not matches(piece.marker, piece.blob.name, content):
            raise _damaged(piece.blob)
        yield piece, content


def _damaged(blob: Blob) -> RunDirectoryError:
    return RunDirectoryError(
        f"{blob} is not what was committed; `polarmap run` puts its cell into quarantine and does it again"
    )


def _arranged(table: pa.Table, name: str, exams: pa.Table) -> pa.Table:
    schema, columns = TABLES[name]
    if name == "predictions":
        table = _with_exams(table, exams, schema)
    # Input configurations are ordered as the experiment file names them, which is not the order of the alphabet.
    place = pa.array([_INPUTS_ORDER[inputs] for inputs in table["inputs"].to_pylist()], pa.int64())
    keys = [(_ORDER if column == "inputs" else column, "ascending") for column in columns]
    return table.append_column(_ORDER, place).sort_by(keys).drop_columns([_ORDER]).cast(schema)


def _with_exams(rows: pa.Table, cohort: pa.Table, schema: pa.Schema) -> pa.Table:
    """Replace each row number by the exam it stands for, label included."""
    # A row number is a place in cohort.parquet: workers know exams by nothing else, and here they get their names back.
    exams = cohort.select(["patient_id", "exam_id", "tracer", "label"]).take(rows["row"])
    columns = {name: rows[name] for name in rows.column_names} | {name: exams[name] for name in exams.column_names}
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)
