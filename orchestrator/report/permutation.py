"""`polarmap permute`: a run's cross-validated AUCs against those of the same pipeline on permuted labels."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.report.layout import Record, as_records
from orchestrator.report.records import EVERYONE
from orchestrator.report.rows import Group, summary_frame
from orchestrator.statistics.chance import permutation_p_value

_IDENTITY = ("partition", "tracer", "endpoint", "inputs", "model", "patients", "exams", "positives", "negatives")
_METHOD = "label permutation of the whole pipeline"


def permutation_rows(observed: pd.DataFrame, permuted: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One row per tracer, inputs and model: `auc_above_chance`, p = (1 + #{permuted ≥ observed}) / (1 + B), one-sided.

    Args:
        observed: The summary of the run.
        permuted: The summaries of its permuted siblings; one that was refused an AUC counts as having reached
            the observed value, so that failures cannot make a result significant.

    Raises:
        StatisticsError: There are no permuted runs.
    """
    if not permuted:
        raise StatisticsError(
            "there is no permuted run to compare with; `polarmap permute EXPERIMENT --times N` makes some"
        )
    rows = []
    for row in as_records(_leading(observed)):
        values = np.array([_value(summary, row) for summary in permuted])
        group = Group(**{name: row[name] for name in _IDENTITY}, level=row["level"])
        p = permutation_p_value(float(row["estimate"]), values)
        reason = f"{len(values)} permutations of patients' labels"
        rows.append(group.row("auc_above_chance", _METHOD, estimate=row["estimate"], p=p, primary=True, reason=reason))
    return summary_frame(rows)


def _leading(summary: pd.DataFrame) -> pd.DataFrame:
    return summary[
        (summary["partition"] == "development")
        & (summary["metric"] == "auc")
        & summary["primary"]
        & (summary["subgroup"] == EVERYONE)
        & (summary["state"] == "ok")
    ]


def _value(summary: pd.DataFrame, row: Record) -> float:
    leading = _leading(summary)
    same = [leading[name] == row[name] for name in ("tracer", "inputs", "model")]
    mine = leading.loc[np.logical_and.reduce(same), "estimate"]
    # Infinity counts as "reached the observed value"; see the docstring of `permutation_rows`.
    return float(mine.iloc[0]) if len(mine) else np.inf
