"""Joins the parts of committed cells into tables: in their order, with the labels that workers were not told.

Cells are read in the order of the tables, so only the rows of one group have to be sorted. Memory holds one row group a
table, however large the run.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from mpi_model.errors import RunDirectoryError
from mpi_model.vocabulary import INPUTS
from orchestrator.ledger.description import read_description
from orchestrator.ledger.files import table_from
from orchestrator.ledger.integrity import matches, rows_in
from orchestrator.ledger.parts import Marker
from orchestrator.ledger.paths import CELL, CellPart, RunPaths
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
    pieces, exams = committed_pieces(state), read_cohort(state.paths, read_description(state.paths).hash)
    groups: dict[str, list[pa.Table]] = {name: [] for name in names}
    join(pieces, exams, {name: held.append for name, held in groups.items()})
    return {name: pa.concat_tables(held) for name, held in groups.items()}


def joined_attributions(state: RunState) -> pa.Table:
    """The attributions of every explained cell, exam by exam, with labels.

    Args:
        state: The run.

    Raises:
        RunDirectoryError: A part is not what was committed.
    """
    cells = sorted((cell for cell in state.explained if CELL.fullmatch(cell)), key=_place)
    pieces = [_piece(state.paths, state.explained, cell, CellPart.ATTRIBUTIONS) for cell in cells]
    tables = [table_from(content) for _, content in _contents(pieces)]
    exams = read_cohort(state.paths, read_description(state.paths).hash)
    return _with_exams(pa.concat_tables([ATTRIBUTION_PART.empty_table(), *tables]), exams, EXAM_ATTRIBUTIONS)


@dataclass(frozen=True, slots=True)
class CommittedPart:
    """A part to read, with the marker that says what its bytes have to be."""

    blob: Blob
    marker: Marker


def committed_pieces(state: RunState) -> list[CommittedPart]:
    """The parts of every committed cell, in the order of the tables' rows.

    Raises:
        RunDirectoryError: A marker is damaged, or of another cell.
    """
    pieces = []
    for cell in sorted((cell for cell in state.cells if CELL.fullmatch(cell)), key=_place):
        pieces.append(_piece(state.paths, state.cells, cell, CellPart.RESULTS))
        if cell in state.tests:
            pieces.append(_piece(state.paths, state.tests, cell, CellPart.TEST_PREDICTIONS))
    return pieces


def _piece(paths: RunPaths, markers: Mapping[str, Marker | None], cell: str, part: CellPart) -> CommittedPart:
    marker = markers[cell]
    if marker is None or marker.cell != cell:
        raise _damaged(paths.in_cell(cell, part.marker))
    return CommittedPart(paths.in_cell(cell, part.file), marker)


def _place(cell: str) -> tuple[int, int, int, int]:
    """Where a cell's rows stand in every table: by inputs, partition (a flat search's later), repeat and fold."""
    inputs, repeat, fold = CELL.fullmatch(cell).groups()  # type: ignore[union-attr] # only such names come here
    partition = 2 if repeat is None else int("-search-" in cell)
    return _INPUTS_ORDER[inputs], partition, int(repeat or 0), int(fold or 0)


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


def join(pieces: list[CommittedPart], exams: pa.Table, writes: Mapping[str, Callable[[pa.Table], object]]) -> None:
    """Hand the rows of some tables on, a row group at a time.

    Args:
        pieces: The parts, in the order of their cells.
        exams: `cohort.parquet`, for the predictions' labels.
        writes: What takes the row groups of each table.
    """
    tables = {name: _Rows(name, exams, write) for name, write in writes.items()}
    for piece, content in _contents(pieces):
        found = (
            rows_in(content)
            if piece.blob.name.endswith(CellPart.RESULTS.file)
            else {"predictions": table_from(content)}
        )
        if found is None:
            raise _damaged(piece.blob)
        for name in tables.keys() & found.keys():
            tables[name].add(found[name])
    for table in tables.values():
        table.end()


def _contents(pieces: list[CommittedPart]) -> Iterator[tuple[CommittedPart, bytes]]:
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
