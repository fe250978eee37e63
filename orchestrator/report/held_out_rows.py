"""What the test partition says about one inputs and tracer."""

from collections.abc import Callable
from functools import partial

import numpy as np

from mpi_model.errors import StatisticsError
from orchestrator.report.development_rows import UNCALIBRATED
from orchestrator.report.models import Tested
from orchestrator.report.rows import Group, Row
from orchestrator.statistics.auc import auc, auc_intervals
from orchestrator.statistics.calibration import (
    brier_interval,
    calibration_in_the_large,
    calibration_slope,
)
from orchestrator.statistics.chance import mann_whitney
from orchestrator.statistics.intervals import Interval
from orchestrator.statistics.net_benefit import net_benefit
from orchestrator.statistics.proportions import (
    Decisions,
    balanced_accuracy_interval,
    correct_of_class,
    threshold_at_specificity,
    wilson_interval,
)
from orchestrator.statistics.scores import Floats, PatientScores

NET_BENEFIT_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Threshold probabilities at which net benefit is reported."""


def held_out_rows(
    group: Group, model: Tested, specificity: float, calibrated: bool, development_negatives: Floats | None
) -> list[Row]:
    """All rows of the test partition of one inputs and tracer.

    Args:
        group: With counts.
        model: The final model's predictions.
        specificity: Where sensitivity is reported.
        calibrated: Whether probabilities were recalibrated.
        development_negatives: Held-out scores that single networks gave to the development partition's negative
            exams, from which the threshold for the fixed specificity comes; None where there are none.
    """
    return [
        *_auc_rows(group, model),
        *_decision_rows(group, model),
        *_fixed_specificity_rows(group, model, specificity, development_negatives),
        *_calibration_rows(group, model, calibrated),
    ]


def _auc_rows(group: Group, model: Tested) -> list[Row]:
    leading, *others = auc_intervals(model.scores, group.level)
    rows = [group.interval("auc", leading, primary=True), *(group.interval("auc", other) for other in others)]
    try:
        chance = mann_whitney(model.scores)
        return [*rows, group.row("auc_above_chance", chance.method, estimate=auc(model.scores), p=chance.p)]
    except StatisticsError as error:
        return [*rows, group.refusal("auc_above_chance", "Wald", "; ".join(error.problems))]


def _decision_rows(group: Group, model: Tested) -> list[Row]:
    if model.positive is None:
        reason = "no threshold was frozen before these exams were seen"
        return [group.refusal("balanced_accuracy", "MOVER of Wilson", reason, primary=True)]
    decisions = Decisions(exams=model.scores.exams, positive=model.positive)
    balanced = balanced_accuracy_interval(decisions, group.level)
    return [group.interval("balanced_accuracy", balanced, primary=True), *_class_rows(group, decisions)]


def _class_rows(group: Group, decisions: Decisions, at: float | None = None) -> list[Row]:
    return [
        group.interval(metric, wilson_interval(correct_of_class(decisions, label), group.level), at=at, primary=True)
        for metric, label in (("sensitivity", True), ("specificity", False))
    ]


def _fixed_specificity_rows(
    group: Group, model: Tested, specificity: float, development_negatives: Floats | None
) -> list[Row]:
    if development_negatives is None:
        reason = "no held-out development scores to take the threshold from"
        return [group.refusal("sensitivity", "Wilson", reason, at=specificity, primary=True)]
    threshold = threshold_at_specificity(development_negatives, specificity)
    decisions = Decisions(exams=model.scores.exams, positive=model.scores.scores > threshold)
    return _class_rows(group, decisions, at=specificity)


def _calibration_rows(group: Group, model: Tested, calibrated: bool) -> list[Row]:
    if np.isnan(model.probabilities).any():
        return [
            group.refusal("brier", "patient variance, logit", "the predictions have no probabilities", primary=True)
        ]
    probabilities = PatientScores(exams=model.scores.exams, scores=model.probabilities)
    note = "" if calibrated else UNCALIBRATED
    measures: dict[str, Callable[[], Interval]] = {
        "brier": partial(brier_interval, probabilities, group.level),
        "calibration_intercept": partial(calibration_in_the_large, probabilities, group.level),
        "calibration_slope": partial(calibration_slope, probabilities, group.level),
    }
    rows = [
        group.attempt(metric, "logistic recalibration", compute, primary=True, reason=note)
        for metric, compute in measures.items()
    ]
    return [*rows, *_net_benefit_rows(group, probabilities, calibrated)]


def _net_benefit_rows(group: Group, probabilities: PatientScores, calibrated: bool) -> list[Row]:
    if not calibrated:
        reason = 'needs calibrated probabilities; set `decision.calibration = "platt"`'
        return [group.refusal("net_benefit", "MOVER of Wilson", reason, primary=True)]
    rows = []
    for threshold in NET_BENEFIT_THRESHOLDS:
        found = net_benefit(probabilities.scores, probabilities.exams, threshold, group.level)
        rows.append(group.interval("net_benefit", found.model, at=threshold, primary=True))
        rows.append(group.row("net_benefit", "treat all", estimate=found.treat_all, at=threshold))
        rows.append(group.row("net_benefit", "treat none", estimate=found.treat_none, at=threshold))
    return rows
