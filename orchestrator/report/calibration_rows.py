"""Brier score, calibration and net benefit of one input configuration and tracer, cross-validated or tested.

A class-balanced loss estimates the odds at a prevalence of one half. Its probabilities are moved to the prevalence
of the training exams before anything is compared with outcomes; that shift is known beforehand, and is no fit.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from orchestrator.report.models import CrossValidated, Tested
from orchestrator.report.probabilities import prevalence_of_training
from orchestrator.report.rows import Group, Row
from orchestrator.statistics.calibration import (
    at_the_edge,
    brier_interval,
    calibration_in_the_large,
    calibration_slope,
    cross_validated_calibration,
)
from orchestrator.statistics.intervals import Interval
from orchestrator.statistics.net_benefit import net_benefit
from orchestrator.statistics.sample_size import shifted_to_prevalence
from orchestrator.statistics.scores import Exams, Floats, PatientScores

# Threshold probabilities at which net benefit is reported.
_NET_BENEFIT_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
_CLIPPED = "{} of {} probabilities are 0 or 1 and were taken as 1e-7 from there, on which this value depends"
_LOGISTIC = "logistic recalibration"
_METHOD_OF = {"brier": "patient variance, logit"}
_MEASURES = ("brier", "calibration_intercept", "calibration_slope")
_NO_PROBABILITIES = "the predictions have no probabilities"
_SHIFTED = "probabilities of the class-balanced loss, moved to the prevalence of the training exams ({:.2f})"
_UNSHIFTED = (
    "probabilities of the class-balanced loss, and the prevalence of the training exams is not known: without it "
    "calibration means nothing"
)
_UNMEASURED = "the interval's coverage in cross-validation was simulated for a linear learner only"
_UNCALIBRATED = 'needs calibrated probabilities; set `decision.calibration = "platt"`'


def cross_validated_calibration_rows(group: Group, model: CrossValidated, factor: float, calibrated: bool) -> list[Row]:
    """The rows of a finished cross-validation.

    Args:
        group: With counts.
        model: The held-out predictions.
        factor: Of the variance (`statistics.cross_validation.training_factor`).
        calibrated: Whether probabilities were recalibrated, or are somebody else's and taken as they are.
    """
    exams, level = model.scores.exams, group.level
    probabilities, note = model.probabilities, ""
    if not calibrated and not np.isnan(probabilities).any():
        training = prevalence_of_training(model)
        probabilities, note = shifted_to_prevalence(probabilities, training), _SHIFTED.format(training.mean())
    note = f"{note}; {_UNMEASURED}" if note else _UNMEASURED
    # As in sensitivity and specificity, a mean over exams needs half of the inflation that an AUC needs.
    half = 1 + (factor - 1) / 2
    measures: dict[str, Callable[[], Interval]] = {
        "brier": partial(brier_interval, probabilities, exams, level, inflation=half),
        **{
            name: partial(cross_validated_calibration, name, probabilities, exams, factor, level)
            for name in _MEASURES[1:]
        },
    }
    return _rows(group, probabilities, exams, measures, note, calibrated, half)


def held_out_calibration_rows(
    group: Group, model: Tested, calibrated: bool, training_prevalence: float | None
) -> list[Row]:
    """The rows of a test partition.

    Args:
        group: With counts.
        model: The final model's predictions.
        calibrated: As in `cross_validated_calibration_rows`.
        training_prevalence: Of the development exams of the tracer; None where they are not known.
    """
    exams, level = model.scores.exams, group.level
    probabilities, note = model.probabilities, ""
    if not calibrated and not np.isnan(probabilities).any():
        if training_prevalence is None:
            return [
                group.refusal(name, _METHOD_OF.get(name, _LOGISTIC), _UNSHIFTED, primary=True) for name in _MEASURES
            ]
        probabilities = shifted_to_prevalence(probabilities, training_prevalence)
        note = _SHIFTED.format(training_prevalence)
    measures: dict[str, Callable[[], Interval]] = {
        "brier": partial(brier_interval, probabilities, exams, level),
        "calibration_intercept": lambda: calibration_in_the_large(
            PatientScores(exams=exams, scores=probabilities), level
        ),
        "calibration_slope": lambda: calibration_slope(PatientScores(exams=exams, scores=probabilities), level),
    }
    return _rows(group, probabilities, exams, measures, note, calibrated, 1.0)


def _rows(
    group: Group,
    probabilities: Floats,
    exams: Exams,
    measures: Mapping[str, Callable[[], Interval]],
    note: str,
    calibrated: bool,
    inflation: float,
) -> list[Row]:
    if np.isnan(probabilities).any():
        return [group.refusal("brier", _METHOD_OF["brier"], _NO_PROBABILITIES, primary=True)]
    # The Brier score takes probabilities as they are.
    edge = int(at_the_edge(probabilities).sum())
    clipped = "; ".join(filter(None, (note, _CLIPPED.format(edge, probabilities.size) if edge else "")))
    rows = [
        group.attempt(metric, method, compute, primary=True, reason=note if metric == "brier" else clipped)
        for metric, method, compute in ((name, _METHOD_OF.get(name, _LOGISTIC), one) for name, one in measures.items())
    ]
    # Net benefit depends on probabilities themselves, not on their order.
    if not calibrated:
        return [*rows, group.refusal("net_benefit", "MOVER of Wilson", _UNCALIBRATED, primary=True)]
    for threshold in _NET_BENEFIT_THRESHOLDS:
        found = net_benefit(probabilities, exams, threshold, group.level, inflation=inflation)
        rows.append(group.interval("net_benefit", found.model, at=threshold, primary=True, reason=note))
        rows.append(group.row("net_benefit", "treat all", estimate=found.treat_all, at=threshold))
        rows.append(group.row("net_benefit", "treat none", estimate=found.treat_none, at=threshold))
    return rows
