"""The rows of the test partition of one input configuration and tracer."""

from dataclasses import replace

import numpy as np

from mpi_model.errors import StatisticsError
from orchestrator.report.calibration_rows import held_out_calibration_rows
from orchestrator.report.counts import FROM_AUC
from orchestrator.report.models import CrossValidated, Tested
from orchestrator.report.rows import Group, Row
from orchestrator.statistics.auc import auc, auc_intervals
from orchestrator.statistics.chance import mann_whitney
from orchestrator.statistics.intervals import Interval, Method
from orchestrator.statistics.partial_auc import partial_auc_interval
from orchestrator.statistics.predictive_values import likelihood_ratios, predictive_values
from orchestrator.statistics.proportions import (
    Decisions,
    balanced_accuracy_interval,
    threshold_at_specificity,
    wilson_interval,
)
from orchestrator.statistics.sample_size import sample_size
from orchestrator.statistics.scores import Floats

_RESULTS = ("positive", "negative")
_NOBODY = "no exam was called {}"


def held_out_rows(
    group: Group,
    model: Tested,
    specificity: float,
    calibrated: bool,
    prevalence: float | None,
    development: CrossValidated | None,
) -> list[Row]:
    """All rows of the test partition of one input configuration and tracer.

    Args:
        group: With counts.
        model: The final model's predictions.
        specificity: Where sensitivity is reported.
        calibrated: Whether probabilities were recalibrated.
        prevalence: At which predictive values are reported; None for none.
        development: The cross-validation of the same inputs and tracer, from which the threshold for the fixed
            specificity and the training prevalence come; None where there is none.
    """
    group = replace(group, estimand="final network")
    # The final network was trained on all development exams, so their prevalence is the one to move to.
    training = None if development is None else float(development.scores.exams.labels.mean())
    return [
        *_auc_rows(group, model, specificity),
        *_decision_rows(group, model, prevalence),
        *_fixed_specificity_rows(group, model, specificity, _negatives(development)),
        *held_out_calibration_rows(group, model, calibrated, training),
        *_next_study_rows(group, model, calibrated),
    ]


def _negatives(development: CrossValidated | None) -> Floats | None:
    """The held-out scores of the development partition's negatives: one an exam and repeat, each of one network.

    Averaged over repeats they would be an ensemble's, which spread less than the scores of the network that the
    threshold is for.
    """
    if development is None:
        return None
    return development.scores.scores[:, ~development.scores.exams.labels].ravel()


def _auc_rows(group: Group, model: Tested, specificity: float) -> list[Row]:
    leading, *others = auc_intervals(model.scores, group.level)
    return [
        group.interval("auc", leading, primary=True),
        *(group.interval("auc", other) for other in others),
        group.attempt(
            "partial_auc",
            Method.PARTIAL,
            lambda: partial_auc_interval(model.scores, specificity, group.level),
            at=specificity,
        ),
        _chance_row(group, model),
    ]


def _chance_row(group: Group, model: Tested) -> Row:
    try:
        chance = mann_whitney(model.scores)
    except StatisticsError as error:
        return group.refusal("auc_above_chance", "Wald", "; ".join(error.problems))
    return group.row("auc_above_chance", chance.method, estimate=auc(model.scores), p=chance.p)


def _decision_rows(group: Group, model: Tested, prevalence: float | None) -> list[Row]:
    if model.positive is None:
        reason = "no threshold was frozen before these exams were seen"
        return [group.refusal("balanced_accuracy", "MOVER of Wilson", reason, primary=True)]
    decisions = Decisions(exams=model.scores.exams, positive=model.positive)
    balanced = balanced_accuracy_interval(decisions, group.level)
    return [
        group.interval("balanced_accuracy", balanced, primary=True),
        *_class_rows(group, decisions),
        *_predictive_rows(group, decisions, prevalence),
    ]


def _class_rows(group: Group, decisions: Decisions, at: float | None = None) -> list[Row]:
    return [
        group.interval(metric, wilson_interval(decisions.correct_of_class(label), group.level), at=at, primary=True)
        for metric, label in (("sensitivity", True), ("specificity", False))
    ]


def _predictive_rows(group: Group, decisions: Decisions, prevalence: float | None) -> list[Row]:
    """Likelihood ratios; predictive values where a prevalence was stated."""
    ratios = likelihood_ratios(decisions, group.level)
    rows = [
        _finite_row(group, f"likelihood_ratio_{result}", getattr(ratios, result), _NOBODY.format(result))
        for result in _RESULTS
    ]
    if prevalence is None:
        return rows
    note = f"at a prevalence of {prevalence:g}"
    for result, value in zip(_RESULTS, predictive_values(ratios, prevalence), strict=True):
        metric = f"{result}_predictive_value"
        rows.append(
            group.refusal(metric, "MOVER-R of Wilson", _NOBODY.format(result), at=prevalence)
            if value is None
            else group.interval(metric, value, at=prevalence, reason=note)
        )
    return rows


def _finite_row(group: Group, metric: str, ratio: Interval | None, nobody: str) -> Row:
    """The row of a ratio; an infinite value is named in the reason, because a table of numbers cannot hold it."""
    if ratio is None:
        return group.refusal(metric, "MOVER-R of Wilson", nobody)
    if np.isfinite(ratio.estimate) and np.isfinite(ratio.high):
        return group.interval(metric, ratio)
    value = ratio.estimate if np.isfinite(ratio.estimate) else None
    shown = "infinite" if value is None else f"{value:.3g}"
    reason = f"{shown}, at least {ratio.low:.3g}; no upper limit, because no error of that kind was seen or excluded"
    return group.row(metric, ratio.method, estimate=value, reason=reason)


def _fixed_specificity_rows(
    group: Group, model: Tested, specificity: float, development_negatives: Floats | None
) -> list[Row]:
    if development_negatives is None:
        reason = "no held-out development scores to take the threshold from"
        return [group.refusal("sensitivity", "Wilson", reason, at=specificity, primary=True)]
    threshold = threshold_at_specificity(development_negatives, specificity)
    decisions = Decisions(exams=model.scores.exams, positive=model.scores.scores > threshold)
    return _class_rows(group, decisions, at=specificity)


def _next_study_rows(group: Group, model: Tested, calibrated: bool) -> list[Row]:
    """Patients that an external validation of such a model needs (Riley et al. 2021, doi:10.1002/sim.9025)."""
    exams = model.scores.exams
    # Constant probabilities have no spread, so that no sample size for the slope is given.
    probabilities = np.full(2, 0.5) if np.isnan(model.probabilities).any() or not calibrated else model.probabilities
    found = sample_size(auc(model.scores), float(exams.labels.mean()), probabilities, group.level)
    named: tuple[tuple[str, int | None], ...] = (
        (FROM_AUC, found.auc),
        ("observed/expected events, interval 0.4 wide", found.ratio),
        ("calibration slope, interval 0.4 wide", found.slope),
    )
    return [
        group.row("patients_of_next_study", method, estimate=float(value))
        for method, value in named
        if value is not None
    ]
