"""Subgroups: the same measures among the exams with one value of a manifest column, with the rules of small cells.

With fewer than ten patients of a class there are counts in place of an AUC. With fewer than `_FEWEST_COUNTED` there are
the numbers of exams alone, because how one of them was decided might disclose a person. Two groups are compared by the
differences of their AUCs, sensitivities and specificities, each with an interval.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.report.counts import FEWEST, in_place_of_auc
from orchestrator.report.development_rows import estimand_of
from orchestrator.report.models import CrossValidated, JudgedModel, Tested
from orchestrator.report.rows import Group, Row
from orchestrator.statistics.auc import auc_intervals
from orchestrator.statistics.cross_validation import pairs_interval
from orchestrator.statistics.intervals import Interval, combined_interval
from orchestrator.statistics.pairs import pairs_statistic
from orchestrator.statistics.proportions import (
    Decisions,
    cross_validated_proportions,
    wilson_interval,
)
from orchestrator.statistics.scores import Exams, Flags, PatientScores

_GAP = "MOVER, independent subgroups"
_FEWEST_COUNTED = 5
_MOST_LEVELS = 8
_BLANK = "(blank)"
_WITHIN_FOLD_PAIRS = "over the pairs held out together"
_UNADJUSTED = "an interaction, not adjusted for multiplicity"
_MEASURES = {"auc": "auc_difference", "sensitivity": "sensitivity_difference", "specificity": "specificity_difference"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """One value of a column: its intervals by measure, and its patients, to know whether another one shares some."""

    value: str
    intervals: Mapping[str, Interval]
    patients: frozenset[int]


def subgroup_rows(group: Group, model: JudgedModel, column: str, values: pd.Series | None) -> list[Row]:
    """The rows of one column of the manifest.

    Args:
        group: Of all exams.
        model: The predictions.
        column: The column's name.
        values: The column by exam id; None where the manifest lacks it.
    """
    if values is None:
        return [replace(group, subgroup=column).refusal("auc", "Newcombe 5", f"the manifest has no column `{column}`")]
    levels = (
        values.astype(object).reindex(list(model.exam_ids)).fillna(_BLANK).astype(str).replace("", _BLANK).to_numpy()
    )
    # Blank values last.
    names = sorted(set(levels), key=lambda name: (name == _BLANK, name))
    if len(names) > _MOST_LEVELS:
        reason = f"`{column}` has {len(names)} values, at most {_MOST_LEVELS} make subgroups; bin it in the manifest"
        return [replace(group, subgroup=column).refusal("auc", "Newcombe 5", reason)]
    if isinstance(model, CrossValidated):
        group = replace(group, estimand=estimand_of(model.cross_validation)[0])
    else:
        group = replace(group, estimand="final network")
    rows: list[Row] = []
    found: list[_Level] = []
    for name in names:
        chosen = levels == name
        level_group = replace(group, subgroup=f"{column}={name}")
        level_rows, intervals = _level_rows(level_group, model, chosen)
        rows.extend(level_rows)
        if intervals and name != _BLANK:
            patients = frozenset(model.scores.exams.patients[chosen].tolist())
            found.append(_Level(value=name, intervals=intervals, patients=patients))
    return [*rows, *_gap_rows(group, column, found)]


def _level_rows(group: Group, model: JudgedModel, chosen: Flags) -> tuple[list[Row], Mapping[str, Interval]]:
    labels, patients = model.scores.exams.labels[chosen], model.scores.exams.patients[chosen]
    classes = [np.unique(patients[labels == label]).size for label in (True, False)]
    counts = replace(
        group,
        patients=np.unique(patients).size,
        exams=labels.size,
        positives=int(labels.sum()),
        negatives=int((~labels).sum()),
    )
    # Counted in patients: several exams of a patient do not make a subgroup larger.
    if min(classes) < FEWEST:
        return [counts.refusal("auc", "Newcombe 5", _counted(model, chosen, min(classes)), primary=True)], {}
    exams = Exams.of(labels, patients)
    try:
        intervals = (
            _tested_intervals(counts, model, exams, chosen)
            if isinstance(model, Tested)
            else _cross_validated_intervals(counts, model, exams, chosen)
        )
    except StatisticsError as error:
        return [counts.refusal("auc", "Newcombe 5", "; ".join(error.problems), primary=True)], {}
    note = _WITHIN_FOLD_PAIRS if isinstance(model, CrossValidated) else ""
    rows = [
        counts.interval(metric, interval, primary=True, reason=note if metric == "auc" else "")
        for metric, interval in intervals.items()
    ]
    return rows, intervals


def _counted(model: JudgedModel, chosen: Flags, fewest: int) -> str:
    exams, positive = model.scores.exams, model.positive
    told = None if positive is None or fewest < _FEWEST_COUNTED else positive[..., chosen]
    return in_place_of_auc(exams.labels[chosen], exams.patients[chosen], told)


def _tested_intervals(group: Group, model: Tested, exams: Exams, chosen: Flags) -> dict[str, Interval]:
    scores = PatientScores(exams=exams, scores=model.scores.scores[chosen])
    intervals = {"auc": auc_intervals(scores, group.level)[0]}
    if model.positive is not None:
        decisions = Decisions(exams=exams, positive=model.positive[chosen])
        for metric, label in (("sensitivity", True), ("specificity", False)):
            intervals[metric] = wilson_interval(decisions.correct_of_class(label), group.level)
    return intervals


def _cross_validated_intervals(group: Group, model: CrossValidated, exams: Exams, chosen: Flags) -> dict[str, Interval]:
    found = model.cross_validation
    pairs = pairs_statistic(exams, model.scores.scores[:, chosen], model.scores.cells[:, chosen])
    intervals = {"auc": pairs_interval(found, pairs, exams, group.level)}
    if model.positive is not None:
        sides = cross_validated_proportions(exams, model.positive[:, chosen], found.factor, group.level)
        intervals |= dict(zip(("sensitivity", "specificity"), sides[:2], strict=True))
    return intervals


def _gap_rows(group: Group, column: str, levels: list[_Level]) -> list[Row]:
    """The differences between two subgroups of different patients; more than two are not compared."""
    if len(levels) != 2:
        return []
    first, second = levels
    named = replace(group, subgroup=f"{column}={first.value}-{second.value}")
    # MOVER with correlation 0 needs independent groups.
    shared = len(first.patients & second.patients)
    if shared:
        reason = f"{shared} patients have exams in both: the subgroups are not independent"
        return [named.refusal("auc_difference", _GAP, reason)]
    return [
        named.interval(
            _MEASURES[metric],
            combined_interval(interval, second.intervals[metric], weights=(1.0, -1.0), correlation=0.0, method=_GAP),
            reason=_UNADJUSTED,
        )
        for metric, interval in first.intervals.items()
        if metric in second.intervals
    ]
