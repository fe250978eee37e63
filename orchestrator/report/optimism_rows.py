"""How much choosing flatters: the chosen candidate on its own inner folds, beside the nested estimate.

A search reports its best candidate on the folds by which it was chosen. That number is too high by what chance adds to
the best of many (Varma & Simon 2006, doi:10.1186/1471-2105-7-91); the outer folds, which no choice has seen, are not.
"""

from dataclasses import replace

import pandas as pd

from orchestrator.report.models import CrossValidated
from orchestrator.report.rows import Group, Row
from orchestrator.statistics.cross_validation import cross_validated_auc

_CELL = ["repeat", "fold"]
_METHOD = "chosen candidates on their own inner folds"


def optimism_rows(
    group: Group, found: CrossValidated, cells: pd.DataFrame, epochs: pd.DataFrame, objective: str
) -> list[Row]:
    """The mean inner AUC of the chosen candidates, and by how much it exceeds the nested estimate.

    Args:
        group: With counts.
        found: The held-out predictions.
        cells: The run's cells, which name the candidate that each chose.
        epochs: The run's epochs; empty where they are not known.
        objective: `balanced_log_loss` or `auc`: by which the best epoch of an inner fold was kept.
    """
    naive = _inner_auc(group.inputs, cells, epochs, objective)
    if naive is None:
        return []
    nested = cross_validated_auc(found.scores)
    group = replace(group, estimand="")
    note = (
        "the mean over tracers on the inner folds that the candidates were chosen by; not a performance, shown beside "
        "the cross-validated AUC to tell how much choosing flatters"
    )
    return [
        group.row("auc_of_search", _METHOD, estimate=naive, reason=note),
        group.row("optimism", "of the search: inner less nested AUC", estimate=naive - nested),
    ]


def _inner_auc(inputs: str, cells: pd.DataFrame, epochs: pd.DataFrame, objective: str) -> float | None:
    mine = cells[(cells["inputs"] == inputs) & cells["repeat"].notna() & (cells["state"] == "complete")]
    if epochs.empty or mine.empty or "candidate" not in mine:
        return None
    watched = epochs[(epochs["inputs"] == inputs) & epochs["repeat"].notna()]
    chosen = watched.merge(mine[[*_CELL, "candidate"]], on=[*_CELL, "candidate"])
    if chosen.empty:
        return None
    cost = chosen["validation_loss"] if objective == "balanced_log_loss" else -chosen["validation_auc"]
    best = chosen.loc[cost.groupby([chosen[name] for name in (*_CELL, "inner_fold")]).idxmin()]
    return float(best.groupby(_CELL)["validation_auc"].mean().mean())
