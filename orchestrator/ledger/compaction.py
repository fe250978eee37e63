"""Joins the committed parts into the run's tables: sorted, with labels, the same bytes whoever ran the cells."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from orchestrator.ledger.files import read_table, write_table
from orchestrator.ledger.parts import PARTS
from orchestrator.ledger.paths import COMMIT, RunPaths
from orchestrator.ledger.schemas import INPUTS_ORDER, PREDICTIONS, TABLES

ORDER = "_order"
TEST_PREDICTIONS = "test_predictions"


def compact(paths: RunPaths) -> None:
    """Write `tables/*.parquet` from the committed cells."""
    for name in TABLES:
        write_table(paths.table(name), joined(paths, name))


def joined(paths: RunPaths, name: str) -> pa.Table:
    """One table, from the parts of every committed cell, whether or not the run is finished.

    Args:
        paths: The run directory.
        name: A name from `orchestrator.ledger.schemas.TABLES`.
    """
    schema, order = TABLES[name]
    cells = sorted(marker.parent for marker in paths.cells.glob(f"*/{COMMIT}") if ".failed-" not in marker.parent.name)
    parts = [cell / f"{name}.parquet" for cell in cells]
    if name == "predictions":
        parts += [path for cell in cells if (path := cell / f"{TEST_PREDICTIONS}.parquet").exists()]
    table = _concatenate(parts, PARTS[name])
    if name == "predictions":
        table = _with_exams(table, read_table(paths.cohort))
    return _sorted(table, order).cast(schema)


def _concatenate(parts: Iterable[Path], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *(read_table(part) for part in parts)])


def _sorted(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    place = pa.array([INPUTS_ORDER[name] for name in table["inputs"].to_pylist()], pa.int64())
    keys = [(ORDER if column == "inputs" else column, "ascending") for column in columns]
    return table.append_column(ORDER, place).sort_by(keys).drop_columns([ORDER])


def _with_exams(predictions: pa.Table, cohort: pa.Table) -> pa.Table:
    """Replace each row number by the exam it stands for, label included."""
    exams = cohort.select(["patient_id", "exam_id", "tracer", "label"]).take(predictions["row"])
    columns = {name: predictions[name] for name in predictions.column_names} | {
        name: exams[name] for name in exams.column_names
    }
    return pa.table({name: columns[name] for name in PREDICTIONS.names})
