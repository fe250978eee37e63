"""What cross-validation says about one inputs and tracer."""

from collections.abc import Callable

import numpy as np

from mpi_model.errors import StatisticsError
from orchestrator.report.models import CrossValidated
from orchestrator.report.rows import Group, Row
from orchestrator.statistics.calibration import brier_score, calibration_in_the_large, calibration_slope
from orchestrator.statistics.cross_validation import (
    INFLATED_LOGIT,
    NADEAU_BENGIO,
    fold_aucs,
    inflated_logit_interval,
    nadeau_bengio_interval,
)
from orchestrator.statistics.precision import expected_width
from orchestrator.statistics.proportions import fold_proportions, threshold_at_specificity
from orchestrator.statistics.scores import Flags, Floats, PatientScores
from orchestrator.statistics.variance import stability, variance_split

SUPPOSED_AUC = 0.85
"""The AUC for which the expected precision is printed."""
UNCALIBRATED = "probabilities of the class-balanced loss, not recalibrated"
APPROXIMATE = "approximate"
"""Marks intervals whose coverage the project has not measured."""


def development_rows(group: Group, model: CrossValidated, specificity: float, calibrated: bool) -> list[Row]:
    """All rows of a finished cross-validation of one inputs and tracer.

    Args:
        group: With counts.
        model: The held-out predictions.
        specificity: Where sensitivity is reported.
        calibrated: Whether probabilities were recalibrated.
    """
    return [
        *_auc_rows(group, model),
        *_decision_rows(group, model),
        *_fixed_specificity_rows(group, model, specificity),
        *_calibration_rows(group, model, calibrated),
        *_spread_rows(group, model),
    ]


def _auc_rows(group: Group, model: CrossValidated) -> list[Row]:
    scores, level = model.scores, group.level
    areas = fold_aucs(scores)
    spread = float(areas.std(ddof=1))
    supposed = expected_width(*scores.exams.class_patients, SUPPOSED_AUC, scores.fold_count, scores.repeat_count, level)
    return [
        group.attempt("auc", INFLATED_LOGIT, lambda: inflated_logit_interval(scores, level), sd=spread, primary=True),
        group.attempt("auc", NADEAU_BENGIO, lambda: nadeau_bengio_interval(areas, level), sd=spread),
        group.interval("auc_expected", supposed.interval, at=SUPPOSED_AUC),
    ]


def _decision_rows(group: Group, model: CrossValidated) -> list[Row]:
    if model.positive is None:
        reason = "no threshold was frozen before these exams were seen"
        return [group.refusal("balanced_accuracy", NADEAU_BENGIO, reason, primary=True)]
    return _proportion_rows(group, model, model.positive)


def _proportion_rows(group: Group, model: CrossValidated, positive: Flags, at: float | None = None) -> list[Row]:
    sensitivity, specificity = fold_proportions(model.scores, positive)
    values = {"sensitivity": sensitivity, "specificity": specificity}
    if at is None:
        values = {"balanced_accuracy": (sensitivity + specificity) / 2, **values}
    return [_mean_over_folds(group, metric, cells, at) for metric, cells in values.items()]


def _mean_over_folds(group: Group, metric: str, cells: Floats, at: float | None) -> Row:
    spread = float(cells.std(ddof=1))
    try:
        interval = nadeau_bengio_interval(cells, group.level)
    except StatisticsError as error:
        # The mean over folds exists although its interval does not; both are said.
        reason = f"no interval: {'; '.join(error.problems)}"
        return group.row(
            metric, "mean over folds", estimate=float(cells.mean()), sd=spread, at=at, primary=True, reason=reason
        )
    return group.interval(metric, interval, sd=spread, at=at, primary=True, reason=APPROXIMATE)


def _fixed_specificity_rows(group: Group, model: CrossValidated, specificity: float) -> list[Row]:
    """Sensitivity and achieved specificity, each fold's threshold from the other folds' negatives of its repeat."""
    scores = model.scores
    positive = np.zeros_like(scores.scores, dtype=np.bool_)
    for repeat in range(scores.repeat_count):
        for fold in range(scores.fold_count):
            inside = scores.folds[repeat] == fold
            negatives = scores.scores[repeat, ~inside & ~scores.exams.labels]
            threshold = threshold_at_specificity(negatives, specificity)
            positive[repeat, inside] = scores.scores[repeat, inside] > threshold
    return _proportion_rows(group, model, positive, at=specificity)


def _calibration_rows(group: Group, model: CrossValidated, calibrated: bool) -> list[Row]:
    """Means over repeats of what one repeat's held-out probabilities say, pooled over its folds; no interval."""
    method = "mean over repeats"
    if np.isnan(model.probabilities).any():
        return [group.refusal("brier", method, "the predictions have no probabilities", primary=True)]
    repeats = [PatientScores(exams=model.scores.exams, scores=values) for values in model.probabilities]
    note = "" if calibrated else UNCALIBRATED
    measures: dict[str, Callable[[PatientScores], float]] = {
        "brier": brier_score,
        "calibration_intercept": lambda repeat: calibration_in_the_large(repeat, group.level).estimate,
        "calibration_slope": lambda repeat: calibration_slope(repeat, group.level).estimate,
    }
    rows = []
    for metric, measure in measures.items():
        try:
            found = np.array([measure(repeat) for repeat in repeats])
        except StatisticsError as error:
            rows.append(group.refusal(metric, method, "; ".join(error.problems), primary=True))
            continue
        spread = float(found.std(ddof=1)) if found.size > 1 else None
        rows.append(group.row(metric, method, estimate=found.mean(), sd=spread, primary=True, reason=note))
    return rows


def _spread_rows(group: Group, model: CrossValidated) -> list[Row]:
    split = variance_split(model.scores, model.members)
    parts = {
        "all cells": split.cells,
        "so few patients in a fold": split.patients,
        "repeats": split.repeats,
        "members": split.members,
        "the rest: training sets, seeds": split.rest,
    }
    rows = [
        group.row("fold_auc_variance", name, estimate=value, primary=name == "all cells")
        for name, value in parts.items()
        if value is not None
    ]
    if model.positive is None or np.isnan(model.probabilities).any():
        return rows
    exams = stability(model.scores, model.probabilities, model.positive)
    return [
        *rows,
        group.row("exams_with_flipped_decision", "share of exams", estimate=(exams.flips > 0).mean(), primary=True),
        group.row("probability_range", "median over exams", estimate=np.median(exams.probability_range), primary=True),
    ]
