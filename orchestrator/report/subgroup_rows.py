"""Subgroups: the same AUC among the exams with one value of a manifest column, with the rules of small cells.

Fewer than `FEWEST` patients of a class: counts only. Two groups are told apart by the difference of their
AUCs with an interval; a p-value only where each class of each has `FEWEST_FOR_P` patients. Rules also keep
small cells, which might disclose a person, out of reports.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import ndtr

from mpi_model.errors import StatisticsError
from orchestrator.report.models import CrossValidated, Tested
from orchestrator.report.rows import Group, Row, counted
from orchestrator.statistics.auc import influence_variance, newcombe_auc_interval, newcombe_interval
from orchestrator.statistics.cross_validation import nadeau_bengio_factor, pairs_influence
from orchestrator.statistics.intervals import Interval, normal_quantile
from orchestrator.statistics.proportions import Decisions, correct_of_class, wilson_interval
from orchestrator.statistics.scores import Codes, Exams, Flags, Floats, PatientScores

FEWEST = 5
FEWEST_FOR_P = 10
MOST_LEVELS = 8
BLANK = "(blank)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubgroupAuc:
    """The AUC of a subgroup, its variance, and the patients of its smaller class."""

    value: str
    auc: float
    variance: float
    smaller_class: int
    patients: frozenset[int] = frozenset()
    """The numbers of its patients, to know whether another subgroup shares some."""


def subgroup_rows(group: Group, model: CrossValidated | Tested, column: str, values: pd.Series | None) -> list[Row]:
    """The rows of one column of the manifest.

    Args:
        group: Of all exams.
        model: The predictions.
        column: The column's name.
        values: The column by exam id; None where the manifest lacks it.
    """
    if values is None:
        return [replace(group, subgroup=column).refusal("auc", "Newcombe 5", f"the manifest has no column `{column}`")]
    levels = values.reindex(list(model.exam_ids)).fillna(BLANK).astype(str).replace("", BLANK).to_numpy()
    names = sorted(set(levels), key=lambda name: (name == BLANK, name))
    if len(names) > MOST_LEVELS:
        reason = f"`{column}` has {len(names)} values, at most {MOST_LEVELS} make subgroups; bin it in the manifest"
        return [replace(group, subgroup=column).refusal("auc", "Newcombe 5", reason)]
    rows: list[Row] = []
    areas: list[SubgroupAuc] = []
    for name in names:
        found, area = _level_rows(replace(group, subgroup=f"{column}={name}"), model, levels == name)
        rows.extend(found)
        if area is not None:
            members = frozenset(model.scores.exams.patients[levels == name].tolist())
            areas.append(replace(area, value=name, patients=members))
    return [*rows, *difference_rows(group, column, areas)]


def _level_rows(group: Group, model: CrossValidated | Tested, chosen: Flags) -> tuple[list[Row], SubgroupAuc | None]:
    labels, patients = model.scores.exams.labels[chosen], model.scores.exams.patients[chosen]
    classes = [np.unique(patients[labels == label]).size for label in (True, False)]
    counts = replace(
        group,
        patients=np.unique(patients).size,
        exams=labels.size,
        positives=int(labels.sum()),
        negatives=int((~labels).sum()),
    )
    if min(classes) < FEWEST:
        reason = f"fewer than {FEWEST} patients of a class: counts only"
        return [counts.refusal("auc", "Newcombe 5", reason, primary=True)], None
    exams = Exams.of(labels, patients)
    if isinstance(model, Tested):
        return _tested_level(counted(counts, exams), model, exams, chosen)
    return _cross_validated_level(counts, model, exams, chosen)


def _tested_level(group: Group, model: Tested, exams: Exams, chosen: Flags) -> tuple[list[Row], SubgroupAuc | None]:
    scores = PatientScores(exams=exams, scores=model.scores.scores[chosen])
    interval = newcombe_auc_interval(scores, group.level)
    rows = [group.interval("auc", interval, primary=True)]
    if model.positive is not None:
        decisions = Decisions(exams=exams, positive=model.positive[chosen])
        for metric, label in (("sensitivity", True), ("specificity", False)):
            proportion = wilson_interval(correct_of_class(decisions, label), group.level)
            rows.append(group.interval(metric, proportion, primary=True))
    return rows, _area(exams, scores.scores[None], np.zeros((1, len(scores.scores)), dtype=np.int64), 1.0)


def _cross_validated_level(
    group: Group, model: CrossValidated, exams: Exams, chosen: Flags
) -> tuple[list[Row], SubgroupAuc | None]:
    scores = model.scores
    factor = nadeau_bengio_factor(scores.fold_count, scores.repeat_count)
    found = _area(exams, scores.scores[:, chosen], scores.cells[:, chosen], factor)
    if found is None:
        return [group.refusal("auc", "Newcombe 5, inflated", "both classes never meet in a fold", primary=True)], None
    interval = newcombe_interval(found.auc, *exams.class_patients, group.level, inflation=factor)
    note = "over the pairs held out together"
    return [group.interval("auc", interval, primary=True, reason=note)], found


def _area(exams: Exams, scores: Floats, cells: Codes, factor: float) -> SubgroupAuc | None:
    try:
        influence = pairs_influence(exams, scores, cells)
    except StatisticsError:
        return None
    variance = factor * influence_variance(influence, exams)
    return SubgroupAuc(value="", auc=influence.auc, variance=variance, smaller_class=min(exams.class_patients))


def difference_rows(group: Group, column: str, areas: list[SubgroupAuc]) -> list[Row]:
    """The difference between two subgroups of different patients; more than two are left to the eye."""
    known = [area for area in areas if area.value != BLANK]
    if len(known) != 2:
        return []
    first, second = known
    if first.patients & second.patients:
        named = replace(group, subgroup=f"{column}={first.value}-{second.value}")
        shared = (
            f"{len(first.patients & second.patients)} patients have exams in both: the subgroups are not independent"
        )
        return [named.refusal("auc_difference", "normal, independent subgroups", shared)]
    named = replace(group, subgroup=f"{column}={first.value}-{second.value}")
    variance, estimate = first.variance + second.variance, first.auc - second.auc
    method = "normal, independent subgroups"
    if variance == 0:
        return [named.refusal("auc_difference", method, "the variance vanishes")]
    error = float(np.sqrt(variance))
    reach = normal_quantile(group.level) * error
    interval = Interval(
        estimate=estimate,
        low=max(-1.0, estimate - reach),
        high=min(1.0, estimate + reach),
        level=group.level,
        method=method,
    )
    if min(first.smaller_class, second.smaller_class) < FEWEST_FOR_P:
        reason = f"no p-value: fewer than {FEWEST_FOR_P} patients of a class"
        return [named.interval("auc_difference", interval, reason=reason)]
    p = float(2 * ndtr(-abs(estimate) / error))
    return [named.interval("auc_difference", interval, p=p, reason="an interaction, not adjusted for multiplicity")]
