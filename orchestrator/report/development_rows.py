"""The rows of a finished cross-validation of one input configuration and tracer."""

from dataclasses import replace

import numpy as np

from orchestrator.report.calibration_rows import cross_validated_calibration_rows
from orchestrator.report.models import CrossValidated
from orchestrator.report.rows import Group, Row
from orchestrator.statistics.cross_validation import (
    CrossValidation,
    fold_aucs,
    nadeau_bengio_interval,
    within_fold_interval,
)
from orchestrator.statistics.intervals import Method
from orchestrator.statistics.precision import expected_width
from orchestrator.statistics.proportions import (
    cross_validated_proportions,
    fold_proportions,
    threshold_at_specificity,
)
from orchestrator.statistics.scores import Flags
from orchestrator.statistics.variance import Stability, VarianceSplit

# The AUC for which the expected precision is printed.
_SUPPOSED_AUC = 0.85
_ONE_REPEAT = "one repeat cannot disagree with itself"
# The share of networks' differences in the variance above which an interval is for these networks only.
_LARGE_SHARE = 0.25
# The agreement of repeats below which it is for these networks only, too.
_AGREEING = 0.7


def development_rows(group: Group, found: CrossValidated, specificity: float, calibrated: bool) -> list[Row]:
    """All rows of a finished cross-validation of one input configuration and tracer.

    Args:
        group: With counts.
        found: The held-out predictions.
        specificity: Where sensitivity is reported.
        calibrated: Whether probabilities were recalibrated.
    """
    cross_validation = found.cross_validation
    estimand, why = estimand_of(cross_validation)
    group = replace(group, estimand=estimand)
    factor = cross_validation.factor
    return [
        *_auc_rows(group, cross_validation, why),
        *_decision_rows(group, found),
        *_fixed_specificity_rows(group, found, specificity),
        *cross_validated_calibration_rows(group, found, factor, calibrated),
        *_spread_rows(group, found),
    ]


def estimand_of(found: CrossValidation) -> tuple[str, str]:
    """What the intervals of a cross-validation are for, and, where not for the procedure, what in the run says so."""
    if found.agreement is None:
        return "these networks", "one repeat cannot show whether training again would give the same"
    # Networks that differ much would differ again after new training: the interval is for these only.
    if found.network_share > _LARGE_SHARE:
        share = f"{found.network_share:.0%}"
        return (
            "these networks",
            f"unstable learner: its networks differ by more than their few patients explain ({share} of the variance)",
        )
    if (np.ptp(found.model.scores, axis=1) == 0).any():
        return "these networks", "a repeat gives every exam the same score, so that agreement means nothing"
    if found.agreement < _AGREEING:
        return "these networks", f"unstable learner: scores of two repeats correlate by {found.agreement:.2f} only"
    return "procedure", ""


def _auc_rows(group: Group, found: CrossValidation, why: str) -> list[Row]:
    scores, level = found.model, group.level
    areas = fold_aucs(scores)
    spread = float(areas.std(ddof=1))
    supposed = expected_width(
        *scores.exams.class_patients, _SUPPOSED_AUC, scores.fold_count, scores.repeat_count, level
    )
    leading = group.attempt(
        "auc", Method.WITHIN_FOLD, lambda: within_fold_interval(found, level), sd=spread, primary=True, reason=why
    )
    return [
        leading,
        group.attempt("auc", Method.NADEAU_BENGIO, lambda: nadeau_bengio_interval(areas, level), sd=spread),
        group.interval("auc_expected", supposed.interval, at=_SUPPOSED_AUC),
    ]


def _decision_rows(group: Group, found: CrossValidated) -> list[Row]:
    if found.positive is None:
        reason = "no threshold was frozen before these exams were seen"
        return [group.refusal("balanced_accuracy", "MOVER of Wilson", reason, primary=True)]
    return _proportion_rows(group, found, found.positive)


def _proportion_rows(group: Group, found: CrossValidated, positive: Flags, at: float | None = None) -> list[Row]:
    sensitivity, specificity = fold_proportions(found.scores, positive)
    cells = {"sensitivity": sensitivity, "specificity": specificity}
    exams, factor = found.scores.exams, found.cross_validation.factor
    intervals = dict(
        zip(
            ("sensitivity", "specificity", "balanced_accuracy"),
            cross_validated_proportions(exams, positive, factor, group.level),
            strict=True,
        )
    )
    if at is None:
        cells = {"balanced_accuracy": (sensitivity + specificity) / 2, **cells}
    return [
        group.interval(metric, intervals[metric], sd=float(values.std(ddof=1)), at=at, primary=True)
        for metric, values in cells.items()
    ]


def _fixed_specificity_rows(group: Group, found: CrossValidated, specificity: float) -> list[Row]:
    """Sensitivity and achieved specificity, each fold's threshold from the other folds' negatives of its repeat."""
    scores = found.scores
    positive = np.zeros_like(scores.scores, dtype=np.bool_)
    for repeat in range(scores.repeat_count):
        for fold in range(scores.fold_count):
            inside = scores.folds[repeat] == fold
            # The other folds' exams only: a threshold chosen on judged exams makes the sensitivity too high.
            negatives = scores.scores[repeat, ~inside & ~scores.exams.labels]
            threshold = threshold_at_specificity(negatives, specificity)
            positive[repeat, inside] = scores.scores[repeat, inside] > threshold
    return _proportion_rows(group, found, positive, at=specificity)


def _spread_rows(group: Group, found: CrossValidated) -> list[Row]:
    split = VarianceSplit.of(found.scores, found.members)
    parts = {
        "all cells": split.cells,
        "so few patients in a fold": split.patients,
        "repeats": split.repeats,
        "members": split.members,
        "the rest: training sets, seeds": split.rest,
    }
    rows = [
        group.row(
            "fold_auc_variance",
            name,
            estimate=value,
            primary=name == "all cells",
            reason="" if name == "all cells" else "estimated apart; their squares need not add up to the whole",
        )
        for name, value in parts.items()
        # With one repeat there is no part that differs between repeats.
        if value is not None and (name != "repeats" or found.scores.repeat_count > 1)
    ]
    agreement = found.cross_validation.agreement
    if agreement is not None:
        rows.append(group.row("agreement", "rank correlation of two repeats", estimate=agreement, primary=True))
    if found.positive is None or np.isnan(found.probabilities).any():
        return rows
    if found.scores.repeat_count < 2:
        rows_of_repeats = (
            ("exams_with_flipped_decision", "share of exams"),
            ("probability_range", "median over exams"),
        )
        return [*rows, *(group.refusal(metric, method, _ONE_REPEAT) for metric, method in rows_of_repeats)]
    exams = Stability.of(found.scores, found.probabilities, found.positive)
    return [
        *rows,
        group.row("exams_with_flipped_decision", "share of exams", estimate=(exams.flips > 0).mean(), primary=True),
        group.row("probability_range", "median over exams", estimate=np.median(exams.probability_range), primary=True),
    ]
