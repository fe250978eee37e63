"""Tables of predictions made elsewhere: read as a manifest is, with the same spellings."""

from pathlib import Path
from typing import Final

import pandas as pd

from mpi_model.errors import CohortError, ExperimentError
from orchestrator.cohort.identifiers import canonical
from orchestrator.cohort.spellings import sex_of, tracer_of
from orchestrator.cohort.table import read_table

_KNOWN: Final = frozenset(
    {
        *("patient_id", "exam_id", "tracer", "inputs", "model", "partition", "repeat", "fold", "member"),
        *("label", "score", "probability", "threshold", "sex"),
    }
)
"""Columns whose names are recognised whatever their capitals."""
_DECIMAL_COMMA: Final = r"^([+-]?\d+),(\d+(?:[eE][+-]?\d+)?)$"


def read_predictions(path: Path) -> pd.DataFrame:
    """A table of predictions from a CSV or Parquet file, read as a manifest is; ids stay text.

    Raises:
        ExperimentError: The file cannot be read.
    """
    try:
        table = read_table(path, called="table of predictions")
    except CohortError as error:
        raise ExperimentError(*error.problems) from error
    frame = pd.DataFrame({name: [cells[name] for _, cells in table.rows] for name in table.columns}, dtype="str")
    frame.index = pd.Index([row for row, _ in table.rows])
    for name in frame.columns:
        if name.casefold() in ("score", "probability", "threshold"):
            # A spreadsheet of a country with decimal commas writes them between semicolons.
            frame[name] = frame[name].str.replace(_DECIMAL_COMMA, r"\1.\2", regex=True)
        elif name.casefold() in ("repeat", "fold", "member"):
            numbers = pd.to_numeric(frame[name], errors="coerce")
            frame[name] = numbers if numbers.notna().equals(frame[name] != "") else frame[name]
    return frame.replace("", pd.NA)


def with_known_names(frame: pd.DataFrame) -> pd.DataFrame:
    """`Label` is `label` unless there are both, ids are compared after NFKC, tracers and sex in one spelling each."""
    lower = [str(name).strip().casefold() for name in frame.columns]
    names = {
        name: folded
        for name, folded in zip(frame.columns, lower, strict=True)
        if folded in _KNOWN and lower.count(folded) == 1
    }
    known = frame.rename(columns=names)
    changes = {
        "patient_id": canonical,
        "exam_id": canonical,
        "sex": sex_of,
        "tracer": lambda text: tracer_of(text) or text,
        "partition": str.casefold,
    }
    return known.assign(
        **{
            name: known[name].map(lambda value, change=change: value if pd.isna(value) else change(str(value).strip()))
            for name, change in changes.items()
            if name in known and not known.columns.duplicated().any()
        }
    )
