"""What more repeats or more patients would still buy: interval width against work, from a finished run."""

from collections.abc import Iterator
from typing import Final

import pandas as pd

from orchestrator.cells.records import NETWORK
from orchestrator.report.counts import shows_counts
from orchestrator.report.layout import as_records
from orchestrator.report.records import EVERYONE
from orchestrator.statistics.intervals import Interval, Method
from orchestrator.statistics.precision import further_interval

_COLUMNS: Final = ("tracer", "inputs", "repeats", "patients", "low", "high", "width", "level", "effort")
_REPEATS: Final = (2, 5, 10, 20)
_PATIENTS: Final = (1.5, 2.0, 4.0)
"""Multiples of the run's."""


def further_designs(summary: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """The run's intervals of its cross-validated AUCs, and those of other designs; the first row of a model is the run.

    Args:
        summary: Of the finished run.
        plan: `repeat, patient_id, fold`.

    Returns:
        `_COLUMNS`, without repeats that the run cannot tell about. `effort` is the work as a multiple of the run's: it
        grows with the cells, and with the patients that a cell trains on. It is no time, so that equal runs give equal
        reports.
    """
    repeats, folds = (int(plan[name].nunique()) for name in ("repeat", "fold"))
    found = [
        row
        for row in as_records(summary[summary["partition"] == "development"])
        if row["model"] == NETWORK and row["subgroup"] == EVERYONE
    ]
    agreements = {(row["tracer"], row["inputs"]): row["estimate"] for row in found if row["metric"] == "agreement"}
    rows = []
    for row in found:
        if row["metric"] != "auc" or row["method"] != Method.WITHIN_FOLD or row["low"] is None:
            continue
        # An interval that no report shows is nothing to plan from.
        if shows_counts(row):
            continue
        place = (row["tracer"], row["inputs"])
        numbers = {name: float(row[name]) for name in ("estimate", "low", "high", "level")}
        own = Interval(**numbers, method=Method.WITHIN_FOLD)
        for more, patients in _designs(repeats):
            told = further_interval(own, agreements.get(place), repeats, more_repeats=more, patients=patients)
            if told is not None:
                # A final cell beside those of the folds.
                work = patients * (more * folds + 1) / (repeats * folds + 1)
                rows.append((*place, more, patients, told.low, told.high, told.high - told.low, told.level, work))
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _designs(repeats: int) -> Iterator[tuple[int, float]]:
    """Repeats and patients, as a multiple: the run's own, then more of the one, then more of the other."""
    yield repeats, 1.0
    yield from ((more, 1.0) for more in _REPEATS if more > repeats)
    yield from ((repeats, more) for more in _PATIENTS)
