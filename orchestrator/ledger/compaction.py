"""Joins the committed parts into the run's tables: sorted, with labels, the same bytes whoever ran the cells."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from orchestrator.cells.records import CellKey
from orchestrator.ledger.files import read_table, write_table
from orchestrator.ledger.parts import PARTS
from orchestrator.ledger.paths import RunPaths
from orchestrator.ledger.schemas import INPUTS_ORDER, PREDICTIONS, TABLES

ORDER = "_order"


def compact(paths: RunPaths, keys: Sequence[CellKey]) -> None:
    """Write `tables/*.parquet` from the committed cells.

    Args:
        paths: The run directory.
        keys: The cells of the experiment, committed or not.
    """
    committed = [key for key in keys if paths.commit(key).exists()]
    for name, (schema, order) in TABLES.items():
        parts = [paths.part(key, name) for key in committed]
        if name == "predictions":
            parts += [path for key in committed if (path := paths.test_predictions(key)).exists()]
        table = _concatenate(parts, PARTS[name])
        if name == "predictions":
            table = _with_exams(table, read_table(paths.cohort))
        write_table(paths.table(name), _sorted(table, order).cast(schema))


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
