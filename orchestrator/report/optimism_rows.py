"""The optimism meter: what a search reports of its best candidates beside what they do on exams that took no part.

A search reports its best candidate on the exams by which it was chosen. That AUC is too high by what chance adds to the
best of many (Varma & Simon 2006, doi:10.1186/1471-2105-7-91); the folds by which a run is judged took no part in it.
"""

from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from orchestrator.cells.records import NETWORK
from orchestrator.report.counts import NO_AUC, shows_counts
from orchestrator.report.models import CrossValidated
from orchestrator.report.records import EVERYONE, FLAT_SEARCH, RunTables
from orchestrator.report.rows import Group, Row
from orchestrator.statistics.cross_validation import cross_validated_auc
from orchestrator.statistics.selection_bias import ScoredCandidates, SelectionBias, selection_bias

NOT_ABOVE_CHANCE: Final = (
    "after a flat search no interval says whether an AUC is above chance; `polarmap permute EXPERIMENT --times 99` does"
)
_CELL: Final = ["repeat", "fold"]
_NESTED: Final = "chosen candidates on their own inner folds"
_NESTED_OPTIMISM: Final = "of the search: inner less nested AUC, means over tracers"
_NO_MEAN: Final = "what the search saw is a mean over tracers, one of which has no cross-validated AUC"
_FEW_IN_MEAN: Final = f"a mean over tracers, one of which has {NO_AUC}"
_FLAT: Final = "best candidates on the folds that they were chosen by"
_NOT_A_PERFORMANCE: Final = "not a performance, shown beside the cross-validated AUC to tell how much choosing flatters"


def above_chance_refusal(group: Group) -> Row:
    """The row that a flat search has in place of a claim that an AUC is above chance."""
    return replace(group, estimand="").refusal("auc_above_chance", "interval", NOT_ABOVE_CHANCE)


def marked_as_flat_search(row: Row) -> Row:
    """A row of a run with a flat search: where that bears on it, it says so, and then what it said already."""
    if row["partition"] != "development" or row["state"] != "ok":
        return row
    return {**row, "reason": "; ".join(filter(None, (FLAT_SEARCH, str(row["reason"]))))}


def optimism_rows(group: Group, found: CrossValidated, tables: RunTables) -> list[Row]:
    """What the search saw, BBC-CV after a flat search, and by how much the search's AUC exceeds the judged one.

    Args:
        group: With counts.
        found: The held-out predictions.
        tables: The run's, of the group's model.
    """
    # A baseline is fitted and not searched.
    if group.model != NETWORK:
        return []
    judged = cross_validated_auc(found.scores)
    group = replace(group, estimand="")
    if len(tables.searched):
        return _flat_rows(group, judged, tables)
    seen = _inner_auc(group.inputs, tables)
    if seen is None:
        return []
    note = f"the mean over tracers on the inner folds that the candidates were chosen by; {_NOT_A_PERFORMANCE}"
    return [
        group.row("auc_of_search", _NESTED, estimate=seen, reason=note),
        # Less this tracer's AUC until all tracers are known: see `with_means_over_tracers`.
        group.row("optimism", _NESTED_OPTIMISM, estimate=seen - judged),
    ]


def with_means_over_tracers(rows: list[Row]) -> list[Row]:
    """The optimism of nested searches: what a search saw is a mean over tracers, so its AUC is compared with one.

    A tracer that is harder than the other would otherwise look like pessimism of its search, and the other's like
    optimism.
    """
    leading = [row for row in rows if row["metric"] == "auc" and row["primary"] and row["subgroup"] == EVERYONE]
    judged: dict[object, list[object]] = {}
    for row in leading:
        if row["partition"] == "development" and row["model"] == NETWORK:
            judged.setdefault(row["inputs"], []).append(row.get("estimate"))
    seen = {row["inputs"]: row["estimate"] for row in rows if row["method"] == _NESTED}
    means = [
        _over_tracers(row, seen[row["inputs"]], judged[row["inputs"]]) if row["method"] == _NESTED_OPTIMISM else row
        for row in rows
    ]
    # Beside the other tracers' AUCs a mean would tell the one that is not shown.
    few = {row["inputs"] for row in rows if row["method"] == _NESTED and shows_counts(row)}
    return [
        {**row, "reason": _FEW_IN_MEAN}
        if row["method"] in (_NESTED, _NESTED_OPTIMISM) and row["inputs"] in few and not shows_counts(row)
        else row
        for row in means
    ]


def _over_tracers(row: Row, seen: object, judged: list[object]) -> Row:
    areas = [area for area in judged if isinstance(area, float)]
    assert isinstance(seen, float)
    if len(areas) < len(judged):
        return {**row, "estimate": None, "state": "refused", "reason": _NO_MEAN}
    return {**row, "estimate": seen - float(np.mean(areas))}


def _flat_rows(group: Group, judged: float, tables: RunTables) -> list[Row]:
    found = tables.selection_bias.get((group.inputs, group.tracer))
    if found is None:
        return []
    naive, corrected = found.naive, found.corrected
    rows = [group.row("auc_of_search", _FLAT, estimate=naive, reason=_NOT_A_PERFORMANCE)]
    if corrected is not None:
        limits = {"estimate": corrected.estimate, "low": corrected.low, "high": corrected.high}
        rows.append(group.row("auc_bias_corrected", f"BBC-CV, {corrected.draws} draws of patients", **limits))
    return [*rows, group.row("optimism", "of the search: naive less cross-fitted AUC", estimate=naive - judged)]


def selection_bias_of(tables: RunTables, level: float) -> dict[tuple[str, str], SelectionBias]:
    """What choosing does to every AUC after a flat search, by inputs and tracer; once for all, because it takes long.

    Args:
        tables: The run's.
        level: Of intervals.
    """
    found: dict[tuple[str, str], SelectionBias] = {}
    for inputs in tables.inputs if len(tables.searched) else ():
        candidates, tracers = _scored_candidates(tables, inputs)
        if len(candidates.scores):
            biases = selection_bias(candidates, level)
            found |= {(inputs, tracer): bias for tracer, bias in zip(tracers, biases, strict=True)}
    return found


def _scored_candidates(tables: RunTables, inputs: str) -> tuple[ScoredCandidates, list[str]]:
    """What the parts of a flat search scored for an input configuration, and the tracers in the order of their numbers.

    Candidates that could not be trained in every part are left out, as they are from every choice.
    """
    mine = tables.searched[tables.searched["inputs"] == inputs]
    # A part scores two folds, whose patients are never compared with each other.
    where = tables.folds.rename(columns={"fold": "own"})
    mine = mine.merge(where, on=["repeat", "patient_id"])
    wide = mine.pivot_table(
        index=["repeat", "fold", "own", "tracer", "patient_id", "exam_id", "label"], columns="member", values="score"
    )
    scores = wide.to_numpy().T
    rows = wide.index.to_frame(index=False)
    tracers, names = pd.factorize(rows["tracer"], sort=True)
    return ScoredCandidates(
        scores=scores[np.isfinite(scores).all(axis=1)],
        labels=rows["label"].to_numpy() == 1,
        patients=pd.factorize(rows["patient_id"], sort=True)[0],
        tracers=tracers,
        cells=np.asarray(rows.groupby(["repeat", "fold", "own"], sort=True).ngroup(), dtype=np.int64),
        by_auc=tables.search.objective == "auc",
        winners=tables.search.winners,
        members=tables.members,
    ), [str(name) for name in names]


def _inner_auc(inputs: str, tables: RunTables) -> float | None:
    cells, epochs = tables.cells, tables.epochs
    mine = cells[(cells["inputs"] == inputs) & cells["repeat"].notna() & (cells["state"] == "complete")]
    if epochs.empty or mine.empty or "candidate" not in mine:
        return None
    watched = epochs[(epochs["inputs"] == inputs) & epochs["repeat"].notna()]
    chosen = watched.merge(mine[[*_CELL, "candidate"]], on=[*_CELL, "candidate"])
    if chosen.empty:
        return None
    folds = [chosen[name] for name in (*_CELL, "inner_fold")]
    if tables.budget == "schedule":
        kept = chosen["epoch"].groupby(folds).idxmax()
    else:
        # The epoch that was kept, by the same objective as in the search.
        loss = tables.search.objective == "balanced_log_loss"
        kept = (chosen["validation_loss"] if loss else -chosen["validation_auc"]).groupby(folds).idxmin()
    # Mean over inner folds within a cell first, then over cells: each cell counts once.
    return float(chosen.loc[kept].groupby(_CELL)["validation_auc"].mean().mean())
