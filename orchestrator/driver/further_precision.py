"""What more repeats or more patients would still buy: interval width against worker-hours, from a finished run."""

from collections.abc import Iterator
from typing import Final

import pandas as pd

from orchestrator.cells.records import NETWORK
from orchestrator.ledger.reading import Run
from orchestrator.report.records import EVERYONE
from orchestrator.statistics.intervals import Interval, Method
from orchestrator.statistics.precision import further_interval

FURTHER_COLUMNS: Final = (
    *("tracer", "inputs", "repeats", "patients", "low", "high", "width", "level"),
    "worker_hours",
)
_REPEATS: Final = (2, 5, 10, 20)
_PATIENTS: Final = (1.5, 2.0, 4.0)
"""Multiples of the run's."""


def further_precision(run: Run, seconds_per_cell: float) -> pd.DataFrame:
    """The run's intervals of its cross-validated AUCs, and those of other designs; the first row of a model is the run.

    Worker-hours are the whole run's, and grow with the cells, and with the patients that a cell trains on.

    Args:
        run: Finished, with a current summary.
        seconds_per_cell: The mean of its cells.

    Returns:
        `FURTHER_COLUMNS`; without repeats that the run cannot tell about.
    """
    summary, design = run.summary, run.description.settings.folds
    mine = summary[
        (summary["partition"] == "development") & (summary["model"] == NETWORK) & (summary["subgroup"] == EVERYONE)
    ]
    folds = int(run.folds["fold"].nunique())
    configurations = len(run.description.settings.cohort.inputs)

    def hours(repeats: int) -> float:
        return configurations * (repeats * folds + 1) * seconds_per_cell / 3600

    areas = mine[(mine["metric"] == "auc") & (mine["method"] == Method.WITHIN_FOLD) & mine["low"].notna()]
    numbers = areas[["tracer", "inputs", "estimate", "low", "high", "level"]]
    rows: list[tuple[object, ...]] = []
    for tracer, inputs, *limits in numbers.itertuples(index=False, name=None):
        same = (mine["tracer"] == tracer) & (mine["inputs"] == inputs) & (mine["metric"] == "agreement")
        agreement = mine.loc[same, "estimate"].dropna()
        estimate, low, high, level = map(float, limits)
        found = Interval(estimate=estimate, low=low, high=high, level=level, method=Method.WITHIN_FOLD)
        for repeats, patients in _designs(design.repeats):
            supposed = further_interval(
                found,
                float(agreement.iloc[0]) if len(agreement) else None,
                design.repeats,
                more_repeats=repeats,
                patients=patients,
            )
            if supposed is not None:
                width = supposed.high - supposed.low
                told = (supposed.low, supposed.high, width, level, patients * hours(repeats))
                rows.append((tracer, inputs, repeats, patients, *told))
    return pd.DataFrame(rows, columns=list(FURTHER_COLUMNS))


def _designs(repeats: int) -> Iterator[tuple[int, float]]:
    """Repeats and patients, as a multiple: the run's own, then more of the one, then more of the other."""
    yield repeats, 1.0
    yield from ((more, 1.0) for more in _REPEATS if more > repeats)
    yield from ((repeats, more) for more in _PATIENTS)
