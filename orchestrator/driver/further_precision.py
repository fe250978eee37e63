"""What more repeats or more patients would still buy, in hours: interval width against the time of a finished run."""

from typing import Final

import pandas as pd

from orchestrator.ledger.reading import Run
from orchestrator.report.further_designs import further_designs

FURTHER_COLUMNS: Final = (
    *("tracer", "inputs", "repeats", "patients", "low", "high", "width", "level"),
    "worker_hours",
)


def further_precision(run: Run, seconds_per_cell: float) -> pd.DataFrame:
    """The run's intervals of its cross-validated AUCs, and those of other designs; the first row of a model is the run.

    Args:
        run: Finished, with a current summary.
        seconds_per_cell: The mean of its cells.

    Returns:
        `FURTHER_COLUMNS`; worker-hours are the whole run's.
    """
    found = further_designs(run.summary, run.folds)
    settings = run.description.settings
    cells = len(settings.cohort.inputs) * (settings.folds.repeats * int(run.folds["fold"].nunique()) + 1)
    return found.assign(worker_hours=found["effort"] * cells * seconds_per_cell / 3600)[list(FURTHER_COLUMNS)]
