"""Calibration: how well predicted probabilities agree with observed frequencies.

The expected calibration error is not here: a perfectly calibrated model has .16 with 40 exams and ten bins.
Networks trained with a class-balanced loss predict balanced probabilities; recalibrate before reading any of
this.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit, stdtrit

from mpi_model.errors import StatisticsError
from orchestrator.statistics.auc import auc
from orchestrator.statistics.intervals import Interval, logit_interval, normal_quantile
from orchestrator.statistics.patient_means import PatientMean, mean_by_patient
from orchestrator.statistics.scores import Exams, Flags, Floats, PatientScores

# Probabilities of exactly 0 or 1 have no logit; those nearer to them are moved this far inside.
_EDGE = 1e-7
# A clustered variance that is this much smaller than the likelihood's has seen none of the rare errors.
_LEAST_OF_LIKELIHOOD = 0.1
# Of Newton's method.
_ITERATIONS, _TOLERANCE = 50, 1e-10


def at_the_edge(probabilities: Floats) -> Flags:
    """Which probabilities are so near to 0 or 1 that calibration takes them as 1e-7 from there; any shape."""
    nearest: Flags = (probabilities < _EDGE) | (probabilities > 1 - _EDGE)
    return nearest


def brier_score(model: PatientScores) -> float:
    """The mean squared distance of probability and outcome; 0 is perfect.

    Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    Args:
        model: Its scores are probabilities.
    """
    return float(((_checked(model.scores) - model.exams.labels) ** 2).mean())


def brier_interval(probabilities: Floats, exams: Exams, level: float, *, inflation: float = 1.0) -> Interval:
    """The Brier score, its variance over patients, on the logit scale with Student's t.

    Patients are taken as they come, so that the prevalence varies as the outcomes do.

    Args:
        probabilities: `[N]`, or `[R, N]` of the repeats of a cross-validation.
        exams: The N exams.
        level: Confidence level.
        inflation: Factor on the variance, for cross-validation.

    Raises:
        StatisticsError: All errors are equal, or there is a single patient.
    """
    errors = mean_by_patient((_checked(probabilities) - exams.labels) ** 2, exams)
    return _logit_mean_interval(errors, level, method="patient variance, logit", inflation=inflation)


def _logit_mean_interval(data: PatientMean, level: float, *, method: str, inflation: float = 1.0) -> Interval:
    """The mean of a quantity in [0, 1], its variance over patients, on the logit scale with Student's t.

    Args:
        data: The quantity by patient.
        level: Confidence level.
        method: Name for the reports.
        inflation: Factor on the variance, for cross-validation.

    Raises:
        StatisticsError: The quantity is 0, 1 or the same everywhere, or there is a single patient.
    """
    # Student's t instead of the normal quantile, because the variance is estimated from few patients.
    quantile = float(stdtrit(max(1, data.patient_count - 1), (1 + level) / 2))
    return logit_interval(
        estimate=data.mean, variance=inflation * data.variance, level=level, method=method, quantile=quantile
    )


def calibration_in_the_large(model: PatientScores, level: float) -> Interval:
    """The intercept of a logistic regression with offset logit(p): 0 is perfect, below 0 predicts too high.

    Cox 1958, doi:10.1093/biomet/45.3-4.562; as in Van Calster et al. (2019, doi:10.1186/s12916-019-1466-7). Errors are
    patient-clustered (sandwich) when a patient has several exams.
    """
    return _interval_of(_intercept(model), model.exams, level)


def calibration_slope(model: PatientScores, level: float) -> Interval:
    """The coefficient of logit(p) in a logistic regression: 1 is perfect, below 1 predicts too extreme.

    Van Calster et al. (2019, doi:10.1186/s12916-019-1466-7); errors as in `calibration_in_the_large`.

    Raises:
        StatisticsError: Probabilities separate the classes, or are all equal, so that no slope exists.
    """
    return _interval_of(_slope(model), model.exams, level)


def cross_validated_calibration(
    measure: str, probabilities: Floats, exams: Exams, factor: float, level: float
) -> Interval:
    """Intercept or slope of a cross-validation: the mean over repeats of each repeat's held-out exams.

    A patient's contributions are averaged over repeats before they are squared, as those of an AUC are.

    Args:
        measure: `calibration_intercept` or `calibration_slope`.
        probabilities: `[R, N]`.
        exams: The N exams.
        factor: `cross_validation.training_factor`.
        level: Confidence level.

    Raises:
        StatisticsError: A repeat has no such measure.
    """
    fit = {"calibration_intercept": _intercept, "calibration_slope": _slope}[measure]
    found = [fit(PatientScores(exams=exams, scores=values)) for values in probabilities]
    mean = float(np.mean([one.value for one in found]))
    # Averaged before squaring: the repeats judge the same patients and are not independent.
    influence = np.mean([one.influence for one in found], axis=0)
    patients = exams.patient_count
    clustered = patients / (patients - 1) * float((influence**2).sum())
    variance = factor * _not_too_small(clustered, float(np.mean([one.variance for one in found])))
    return _wald(mean, variance, level, "logistic recalibration, mean over repeats")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fit:
    """A coefficient, its variance for independent exams, and what each patient contributes to it."""

    value: float
    variance: float
    influence: Floats
    """`[P]`; adds up to zero."""
    parameters: int


def _intercept(model: PatientScores) -> _Fit:
    """By a root in one dimension: Σ (y − expit(logit p + a)) falls strictly in a.

    It changes its sign wherever both classes are present, so there is exactly one maximum of the likelihood.
    """
    if at_the_edge(model.scores).all():
        raise StatisticsError("calibration in the large: all probabilities are 0 or 1, which have no log odds to shift")
    offset, outcome = logit(_probabilities(model)), model.exams.labels.astype(np.float64)
    # At these ends every exam is predicted to be of one class, so the sum has either sign.
    ends = (-float(offset.max()) - 40, -float(offset.min()) + 40)
    intercept = float(brentq(lambda shift: float((outcome - expit(offset + shift)).sum()), *ends, xtol=1e-12))
    fitted = expit(offset + intercept)
    # Fisher information of the intercept, Σ p(1 − p); a patient's influence is the score divided by it.
    information = float((fitted * (1 - fitted)).sum())
    influence: Floats = np.bincount(model.exams.patients, outcome - fitted) / information
    return _Fit(value=intercept, variance=1 / information, influence=influence, parameters=1)


def _slope(model: PatientScores) -> _Fit:
    predictor = logit(_probabilities(model))
    if np.ptp(predictor) == 0:
        raise StatisticsError("calibration slope: all probabilities are equal, so no slope exists")
    if at_the_edge(model.scores).all():
        raise StatisticsError("calibration slope: all probabilities are 0 or 1, which have no log odds")
    if _separated(model):
        raise StatisticsError("calibration slope: the probabilities separate the classes, so the slope is infinite")
    design, outcome = np.column_stack([np.ones(predictor.size), predictor]), model.exams.labels.astype(np.float64)
    coefficients, information = _newton(design, outcome)
    # A 2 × 2 matrix with unequal predictors, so the inverse exists.
    covariance = np.linalg.inv(information)
    # Each exam's score times the slope's row of the inverse information: the one-step influence on the slope.
    residual = (outcome - expit(design @ coefficients))[:, None] * design @ covariance[:, 1]
    influence = np.bincount(model.exams.patients, residual).astype(np.float64)
    return _Fit(value=float(coefficients[1]), variance=float(covariance[1, 1]), influence=influence, parameters=2)


def _interval_of(fit: _Fit, exams: Exams, level: float) -> Interval:
    patients, size = exams.patient_count, exams.labels.size
    # With one exam a patient the model-based variance is the usual one and needs no sandwich.
    if patients == size:
        return _wald(fit.value, fit.variance, level, "logistic recalibration")
    if patients == 1:
        raise StatisticsError("all exams are one patient's, so an interval over patients does not exist")
    # The small-sample factor of a clustered sandwich, as Stata and statsmodels have it.
    factor = patients / (patients - 1) * (size - 1) / (size - fit.parameters)
    variance = _not_too_small(factor * float((fit.influence**2).sum()), fit.variance)
    return _wald(fit.value, variance, level, "logistic recalibration, patient-clustered")


def _not_too_small(clustered: float, likelihood: float) -> float:
    """The clustered variance, unless all exams are so certain and so right that residuals are nearly 0.

    What is not known then is how often such an exam is wrong, which the likelihood's variance holds.
    """
    return clustered if clustered > _LEAST_OF_LIKELIHOOD * likelihood else likelihood


def _wald(estimate: float, variance: float, level: float, method: str) -> Interval:
    reach = normal_quantile(level) * float(np.sqrt(variance))
    return Interval(estimate=estimate, low=estimate - reach, high=estimate + reach, level=level, method=method)


def _probabilities(model: PatientScores) -> Floats:
    clipped: Floats = np.clip(_checked(model.scores), _EDGE, 1 - _EDGE)
    return clipped


def _checked(probabilities: Floats) -> Floats:
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise StatisticsError(
            f"probabilities lie in [0, 1], but go from {probabilities.min():g} to {probabilities.max():g}"
        )
    return probabilities


def _separated(model: PatientScores) -> bool:
    """Whether a threshold parts the classes, ties at it allowed: then the likelihood has no maximum."""
    positive, negative = model.scores[model.exams.labels], model.scores[~model.exams.labels]
    return auc(model) in (0.0, 1.0) or bool(positive.min() >= negative.max() or positive.max() <= negative.min())


def _newton(design: Floats, outcome: Floats) -> tuple[Floats, Floats]:
    """The coefficients of a logistic regression and their information matrix, by Newton's method.

    Raises:
        StatisticsError: It does not converge; steps are halved while the likelihood would fall.
    """
    coefficients = np.zeros(design.shape[1])
    best = _log_likelihood(design @ coefficients, outcome)
    for _ in range(_ITERATIONS):
        fitted = expit(design @ coefficients)
        information = (design * (fitted * (1 - fitted))[:, None]).T @ design
        try:
            step = np.linalg.solve(information, design.T @ (outcome - fitted))
        except np.linalg.LinAlgError:
            break
        # Plain Newton steps can overshoot when probabilities are extreme; halving keeps the likelihood rising.
        while _log_likelihood(design @ (coefficients + step), outcome) < best and np.abs(step).max() > _TOLERANCE:
            step = step / 2
        coefficients = coefficients + step
        best = _log_likelihood(design @ coefficients, outcome)
        # Relative to the coefficients, because slopes of extreme probabilities are large.
        if np.abs(step).max() < _TOLERANCE * max(1.0, float(np.abs(coefficients).max())):
            return coefficients, information
    raise StatisticsError("logistic recalibration did not converge")


def _log_likelihood(logits: Floats, outcome: Floats) -> float:
    # `logaddexp(0, x)` is log(1 + exp x) without overflow for large x.
    return float((outcome * logits - np.logaddexp(0, logits)).sum())
