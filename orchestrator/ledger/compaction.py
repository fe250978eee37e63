"""Joins the committed parts into the run's tables: sorted, with labels, the same bytes whatever runner did the cells.

Cells are read in the order of the tables, so only the rows of one group have to be sorted: memory holds one row group,
however large the run.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mpi_model.errors import RunDirectoryError
from mpi_model.vocabulary import INPUTS
from orchestrator.hashing import digest
from orchestrator.ledger.description import read_description
from orchestrator.ledger.files import COMPRESSION, json_object, table_from, write_json
from orchestrator.ledger.integrity import matches
from orchestrator.ledger.parts import Marker, fields_of
from orchestrator.ledger.paths import (
    ATTRIBUTIONS,
    ATTRIBUTIONS_COMMIT,
    CELL,
    COMMIT,
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
_PIECES: Final = 1024
"""As many tables are joined into one, because each costs memory of its own, however few rows it has."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part to read, with the marker that says what its bytes have to be."""

    blob: Blob
    marker: Marker


def compact(state: RunState) -> None:
    """Write `tables/*.parquet` from the committed cells.

    Raises:
        RunDirectoryError: A part is not what was committed.
    """
    experiment = read_description(state.paths).hash
    pieces, exams = _committed_pieces(state), read_cohort(state.paths, experiment)
    # Without its record no table counts as current, so it goes first and comes last.
    state.paths.compaction.unlink()
    seals: dict[str, str] = {}
    for name, (schema, _) in TABLES.items():
        blob = state.paths.table(name)
        with blob.storage.writing(blob.name) as file:
            sealed = _Hashed(file)
            with pq.ParquetWriter(pa.PythonFile(sealed, mode="w"), schema, compression=COMPRESSION) as writer:
                for group in _row_groups(pieces[name], name, exams):
                    writer.write_table(group)
        seals[name] = sealed.sha.hexdigest()
    record = {"experiment": experiment, "markers": _markers_of(state), "tables": seals}
    write_json(state.paths.compaction, record | {"digest": digest(record)})


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


def joined(state: RunState, name: str) -> pa.Table:
    """One table, from the parts of every committed cell, whether or not the run is finished.

    Args:
        state: The run.
        name: A name from `orchestrator.ledger.schemas.TABLES`.

    Raises:
        RunDirectoryError: A part is not what was committed.
    """
    exams = read_cohort(state.paths, read_description(state.paths).hash)
    return pa.concat_tables(_row_groups(_committed_pieces(state)[name], name, exams))


def joined_attributions(state: RunState) -> pa.Table:
    """The attributions of every explained cell, exam by exam, with labels.

    Args:
        state: The run.

    Raises:
        RunDirectoryError: A part is not what was committed.
    """
    cells = sorted((cell for cell in state.explained if CELL.fullmatch(cell)), key=_place)
    pieces = [
        _Piece(
            state.paths.in_cell(cell, f"{ATTRIBUTIONS}.parquet"),
            _whole(state.explained[cell], state.paths.in_cell(cell, ATTRIBUTIONS_COMMIT), cell),
        )
        for cell in cells
    ]
    rows = pa.concat_tables([ATTRIBUTION_PART.empty_table(), *_tables(pieces)])
    exams = read_cohort(state.paths, read_description(state.paths).hash)
    return _with_exams(rows, exams, EXAM_ATTRIBUTIONS)


def _committed_pieces(state: RunState) -> dict[str, list[_Piece]]:
    """The parts of every table, in the order of its rows.

    Raises:
        RunDirectoryError: A marker is damaged, or of another cell.
    """
    cells = sorted((cell for cell in state.cells if CELL.fullmatch(cell)), key=_place)
    pieces: dict[str, list[_Piece]] = {name: [] for name in TABLES}
    for cell in cells:
        marker = _whole(state.cells[cell], state.paths.in_cell(cell, COMMIT), cell)
        for name in TABLES:
            # The cells are sorted, so appending keeps each table in its order.
            pieces[name].append(_Piece(state.paths.in_cell(cell, f"{name}.parquet"), marker))
        if cell in state.tests:
            opened = _whole(state.tests[cell], state.paths.in_cell(cell, TEST_COMMIT), cell)
            pieces["predictions"].append(_Piece(state.paths.in_cell(cell, f"{TEST_PREDICTIONS}.parquet"), opened))
    return pieces


def _whole(marker: Marker | None, blob: Blob, cell: str) -> Marker:
    if marker is None or marker.cell != cell:
        raise _damaged(blob)
    return marker


def _place(cell: str) -> tuple[int, int, int, int]:
    """Where a cell's rows stand in every table: by inputs, partition (a flat search's later), repeat and fold."""
    inputs, repeat, fold = CELL.fullmatch(cell).groups()  # type: ignore[union-attr] # only such names come here
    partition = 2 if repeat is None else int("-search-" in cell)
    return _INPUTS_ORDER[inputs], partition, int(repeat or 0), int(fold or 0)


def _row_groups(pieces: Iterable[_Piece], name: str, exams: pa.Table) -> Iterator[pa.Table]:
    """A table's rows in their order, by row groups; at least one, which may be empty.

    Args:
        pieces: The table's parts in the order of their cells.
        name: The table.
        exams: `cohort.parquet`, for the predictions' labels.
    """
    # An empty table first, so that a table without rows still has its columns.
    held, rows, begun = [PARTS[name].empty_table()], 0, False
    for table in _tables(list(pieces)):
        held.append(table)
        rows += table.num_rows
        if rows >= _ROW_GROUP:
            yield _arranged(pa.concat_tables(held), name, exams)
            held, rows, begun = [PARTS[name].empty_table()], 0, True
        elif len(held) > _PIECES:
            held = [pa.concat_tables(held).combine_chunks()]
    if rows or not begun:
        yield _arranged(pa.concat_tables(held), name, exams)


def _tables(pieces: list[_Piece]) -> Iterator[pa.Table]:
    contents = read_many(piece.blob for piece in pieces)
    for piece, content in zip(pieces, contents, strict=True):
        table = table_from(content) if matches(piece.marker, piece.blob.name, content) else None
        if table is None:
            raise _damaged(piece.blob)
        yield table


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
