"""Joins the committed parts into the run's tables: sorted, with labels, the same bytes whatever runner did the cells.

Cells are read in the order of the tables, so only the rows of one group have to be sorted: memory holds one row group,
however large the run.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from mpi_model.errors import RunDirectoryError
from mpi_model.vocabulary import INPUTS
from orchestrator.ledger.files import COMPRESSION, read_table, table_from
from orchestrator.ledger.integrity import matches
from orchestrator.ledger.parts import Marker
from orchestrator.ledger.paths import ATTRIBUTIONS, ATTRIBUTIONS_COMMIT, CELL, COMMIT, TEST_COMMIT, TEST_PREDICTIONS
from orchestrator.ledger.schemas import ATTRIBUTION_PART, EXAM_ATTRIBUTIONS, PARTS, TABLES
from orchestrator.ledger.state import RunState
from orchestrator.storage.base import Blob, read_many

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
    pieces, exams = _committed_pieces(state), read_table(state.paths.cohort)
    for name, (schema, _) in TABLES.items():
        blob = state.paths.table(name)
        with (
            blob.storage.writing(blob.name) as file,
            pq.ParquetWriter(file, schema, compression=COMPRESSION) as writer,
        ):
            for group in _row_groups(pieces[name], name, exams):
                writer.write_table(group)


def joined(state: RunState, name: str) -> pa.Table:
    """One table, from the parts of every committed cell, whether or not the run is finished.

    Args:
        state: The run.
        name: A name from `orchestrator.ledger.schemas.TABLES`.

    Raises:
        RunDirectoryError: A part is not what was committed.
    """
    return pa.concat_tables(_row_groups(_committed_pieces(state)[name], name, read_table(state.paths.cohort)))


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
    return _with_exams(rows, read_table(state.paths.cohort), EXAM_ATTRIBUTIONS)


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


def _place(cell: str) -> tuple[int, bool, int, int]:
    """Where a cell's rows stand in every table: by inputs, then repeat and fold, the final cell last."""
    inputs, repeat, fold = CELL.fullmatch(cell).groups()  # type: ignore[union-attr] # only such names come here
    return _INPUTS_ORDER[inputs], repeat is None, int(repeat or 0), int(fold or 0)


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
