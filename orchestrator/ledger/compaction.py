"""Joins the committed parts into the run's tables: sorted, with labels, the same bytes whoever ran the cells.

Cells are read in the tables' own order, so a table is sorted when its pieces are: memory holds one row group,
however large the run.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from mpi_model.errors import RunDirectoryError
from orchestrator.ledger.files import COMPRESSION, read_table, table_from
from orchestrator.ledger.integrity import matches
from orchestrator.ledger.markers import Marker, marker_in
from orchestrator.ledger.parts import PARTS, files_of_cells
from orchestrator.ledger.paths import CELL, COMMIT, TEST_PREDICTIONS, RunPaths
from orchestrator.ledger.schemas import INPUTS_ORDER, PREDICTIONS, TABLES
from orchestrator.storage.base import Blob, read_many

ORDER: Final = "_order"
ROW_GROUP: Final = 128 * 1024
"""A row group ends with the cell that fills it."""
PIECES: Final = 1024
"""So many pieces are made one, lest small ones cost more than their rows."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part to read, with what it has to be."""

    blob: Blob
    marker: Marker


def compact(paths: RunPaths) -> None:
    """Write `tables/*.parquet` from the committed cells.

    Raises:
        RunDirectoryError: A part is not what was committed.
    """
    pieces, exams = committed_pieces(paths), read_table(paths.cohort)
    for name, (schema, _) in TABLES.items():
        blob = paths.table(name)
        with (
            blob.storage.writing(blob.name) as file,
            pq.ParquetWriter(file, schema, compression=COMPRESSION) as writer,
        ):
            for group in row_groups(pieces[name], name, exams):
                writer.write_table(group)


def is_compacted(paths: RunPaths) -> bool:
    """Whether tables and summary are there, and so current."""
    return paths.summary.exists() and all(paths.table(name).exists() for name in TABLES)


def joined(paths: RunPaths, name: str) -> pa.Table:
    """One table, from the parts of every committed cell, whether or not the run is finished.

    Args:
        paths: The run directory.
        name: A name from `orchestrator.ledger.schemas.TABLES`.

    Raises:
        RunDirectoryError: A part is not what was committed.
    """
    return pa.concat_tables(row_groups(committed_pieces(paths)[name], name, read_table(paths.cohort)))


def committed_pieces(paths: RunPaths) -> dict[str, list[Piece]]:
    """The parts of every table, in the order of its rows.

    Raises:
        RunDirectoryError: A marker is damaged, or of another cell.
    """
    files = files_of_cells(paths)
    cells = sorted((cell for cell in files if COMMIT in files[cell] and CELL.fullmatch(cell)), key=_place)
    tests = [cell for cell in cells if f"{TEST_PREDICTIONS}.json" in files[cell]]
    markers = _markers(paths, cells, COMMIT)
    opened = _markers(paths, tests, f"{TEST_PREDICTIONS}.json")
    pieces = {name: [Piece(paths.in_cell(cell, f"{name}.parquet"), markers[cell]) for cell in cells] for name in TABLES}
    pieces["predictions"] = [
        piece
        for cell, own in zip(cells, pieces["predictions"], strict=True)
        for piece in [own, *_test_piece(paths, cell, opened)]
    ]
    return pieces


def _test_piece(paths: RunPaths, cell: str, opened: dict[str, Marker]) -> list[Piece]:
    return [Piece(paths.in_cell(cell, f"{TEST_PREDICTIONS}.parquet"), opened[cell])] if cell in opened else []


def _markers(paths: RunPaths, cells: list[str], name: str) -> dict[str, Marker]:
    blobs = [paths.in_cell(cell, name) for cell in cells]
    found: dict[str, Marker] = {}
    for cell, blob, content in zip(cells, blobs, read_many(iter(blobs)), strict=True):
        marker = marker_in(content)
        if marker is None or marker.cell != cell:
            raise _damaged(blob)
        found[cell] = marker
    return found


def _place(cell: str) -> tuple[int, bool, int, int]:
    """Where a cell's rows stand in every table: by inputs, then repeat and fold, the final cell last."""
    inputs, repeat, fold = CELL.fullmatch(cell).groups()  # type: ignore[union-attr] # only such names come here
    return INPUTS_ORDER[inputs], repeat is None, int(repeat or 0), int(fold or 0)


def row_groups(pieces: Iterable[Piece], name: str, exams: pa.Table) -> Iterator[pa.Table]:
    """A table's rows in their order, by row groups; at least one, which may be empty.

    Args:
        pieces: The table's parts in the order of their cells.
        name: The table.
        exams: `cohort.parquet`, for the predictions' labels.
    """
    held, rows, begun = [PARTS[name].empty_table()], 0, False
    for table in _tables(list(pieces)):
        held.append(table)
        rows += table.num_rows
        if rows >= ROW_GROUP:
            yield _arranged(pa.concat_tables(held), name, exams)
            held, rows, begun = [PARTS[name].empty_table()], 0, True
        elif len(held) > PIECES:
            held = [pa.concat_tables(held).combine_chunks()]
    if rows or not begun:
        yield _arranged(pa.concat_tables(held), name, exams)


def _tables(pieces: list[Piece]) -> Iterator[pa.Table]:
    contents = read_many(piece.blob for piece in pieces)
    for piece, content in zip(pieces, contents, strict=True):
        table = table_from(content) if matches(piece.marker, piece.blob.name, content) else None
        if table is None:
            raise _damaged(piece.blob)
        yield table


def _damaged(blob: Blob) -> RunDirectoryError:
    return RunDirectoryError(f"{blob} is not what was committed; `polarmap run` sets its cell aside and does it again")


def _arranged(table: pa.Table, name: str, exams: pa.Table) -> pa.Table:
    schema, columns = TABLES[name]
    if name == "predictions":
        table = _with_exams(table, exams)
    place = pa.array([INPUTS_ORDER[inputs] for inputs in table["inputs"].to_pylist()], pa.int64())
    keys = [(ORDER if column == "inputs" else column, "ascending") for column in columns]
    return table.append_column(ORDER, place).sort_by(keys).drop_columns([ORDER]).cast(schema)


def _with_exams(predictions: pa.Table, cohort: pa.Table) -> pa.Table:
    """Replace each row number by the exam it stands for, label included."""
    exams = cohort.select(["patient_id", "exam_id", "tracer", "label"]).take(predictions["row"])
    columns = {name: predictions[name] for name in predictions.column_names} | {
        name: exams[name] for name in exams.column_names
    }
    return pa.table({name: columns[name] for name in PREDICTIONS.names})
