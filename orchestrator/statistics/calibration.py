"""Do predicted probabilities mean what they say?

The expected calibration error is not here: a perfectly calibrated model has .16 with 40 exams and ten bins.
Networks trained with a class-balanced loss predict balanced probabilities; recalibrate before reading any of
this.
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from mpi_model.errors import StatisticsError
from orchestrator.statistics.auc import auc
from orchestrator.statistics.intervals import Interval, normal_quantile
from orchestrator.statistics.patient_means import logit_mean_interval, mean_by_patient
from orchestrator.statistics.scores import Floats, PatientScores

SMOOTH_CURVE_PATIENTS = 200
"""Fewer patients than this do not carry a smooth calibration curve (Van Calster et al. 2019)."""

_EDGE = 1e-7
"""Probabilities of exactly 0 or 1 have no logit; they are moved this far inside."""
_ITERATIONS, _TOLERANCE = 50, 1e-10
"""Of Newton's method."""


def brier_score(model: PatientScores) -> float:
    """The mean squared distance of probability and outcome (Brier 1950); 0 is perfect.

    Args:
        model: Its scores are probabilities.
    """
    return float(squared_errors(model).mean())


def scaled_brier_score(model: PatientScores) -> float:
    """1 − Brier / Brier of the prevalence: 1 is perfect, 0 no better than the prevalence, below 0 worse."""
    prevalence = model.exams.labels.mean()
    return 1 - brier_score(model) / float(prevalence * (1 - prevalence))


def squared_errors(model: PatientScores) -> Floats:
    """`[N]`, (probability − outcome)²."""
    errors: Floats = (_probabilities(model) - model.exams.labels) ** 2
    return errors


def brier_interval(model: PatientScores, level: float) -> Interval:
    """The Brier score, its variance over patients, on the logit scale with Student's t.

    Patients are taken as they come, so that the prevalence varies as the outcomes do.

    Raises:
        StatisticsError: All errors are equal, or there is a single patient.
    """
    errors = mean_by_patient(squared_errors(model), model.exams)
    return logit_mean_interval(errors, level, method="patient variance, logit")


def calibration_in_the_large(model: PatientScores, level: float) -> Interval:
    """The intercept of a logistic regression with offset logit(p): 0 is perfect, below 0 predicts too high.

    The likelihood's derivative Σ (y − expit(logit p + a)) falls strictly in a and changes its sign wherever both
    classes are present, so there is one maximum, found as a root in one dimension. Cox 1958; as in Van Calster
    et al. (2019, doi:10.1186/s12916-019-1466-7). Errors are patient-clustered (sandwich) when a patient has
    several exams.
    """
    offset, outcome = logit(_probabilities(model)), model.exams.labels.astype(np.float64)
    # At these ends every exam is predicted to be of one class, so the derivative has either sign.
    ends = (-float(offset.max()) - 40, -float(offset.min()) + 40)
    intercept = float(brentq(lambda shift: float((outcome - expit(offset + shift)).sum()), *ends, xtol=1e-12))
    fitted = expit(offset + intercept)
    information = float((fitted * (1 - fitted)).sum())
    variance = 1 / information
    if model.exams.patient_count < outcome.size:
        scores = np.bincount(model.exams.patients, outcome - fitted)
        variance = _cluster_factor(model, 1) * float((scores**2).sum()) / information**2
    return _wald(intercept, variance, level, model)


def calibration_slope(model: PatientScores, level: float) -> Interval:
    """The coefficient of logit(p) in a logistic regression: 1 is perfect, below 1 predicts too extreme.

    Van Calster et al. (2019, doi:10.1186/s12916-019-1466-7); errors as in `calibration_in_the_large`.

    Raises:
        StatisticsError: Probabilities separate the classes, or are all equal, so that no slope exists.
    """
    predictor = logit(_probabilities(model))
    if np.ptp(predictor) == 0:
        raise StatisticsError("calibration slope: all probabilities are equal, so no slope exists")
    if _separated(model):
        raise StatisticsError("calibration slope: the probabilities separate the classes, so the slope is infinite")
    design, outcome = np.column_stack([np.ones(predictor.size), predictor]), model.exams.labels.astype(np.float64)
    coefficients, information = _newton(design, outcome)
    covariance = np.linalg.inv(information)
    if model.exams.patient_count < outcome.size:
        residual = outcome - expit(design @ coefficients)
        scores = np.stack([np.bincount(model.exams.patients, residual * column) for column in design.T])
        covariance = _cluster_factor(model, 2) * covariance @ scores @ scores.T @ covariance
    return _wald(float(coefficients[1]), float(covariance[1, 1]), level, model)


def smooth_calibration(model: PatientScores) -> Floats:
    """The observed frequency along the predicted probability, `[points, 2]`, by local regression (loess).

    Austin & Steyerberg (2014, doi:10.1002/sim.5941).

    Raises:
        StatisticsError: Fewer than `SMOOTH_CURVE_PATIENTS` patients.
    """
    patients = model.exams.patient_count
    if patients < SMOOTH_CURVE_PATIENTS:
        raise StatisticsError(
            f"a smooth calibration curve needs {SMOOTH_CURVE_PATIENTS} patients, but there are {patients}"
        )
    # The one use of statsmodels, which takes longer to import than a summary to compute.
    from statsmodels.nonparametric.smoothers_lowess import lowess  # noqa: PLC0415

    probabilities = _probabilities(model)
    curve = np.asarray(lowess(model.exams.labels.astype(np.float64), probabilities, frac=0.75, it=0))
    low, high = (float(np.quantile(probabilities, tail)) for tail in (0.01, 0.99))
    points = np.linspace(low, high, 101)
    return np.column_stack([points, np.clip(np.interp(points, curve[:, 0], curve[:, 1]), 0, 1)])


def _probabilities(model: PatientScores) -> Floats:
    if model.scores.min() < 0 or model.scores.max() > 1:
        raise StatisticsError(
            f"probabilities lie in [0, 1], but go from {model.scores.min():g} to {model.scores.max():g}"
        )
    clipped: Floats = np.clip(model.scores, _EDGE, 1 - _EDGE)
    return clipped


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
        while _log_likelihood(design @ (coefficients + step), outcome) < best and np.abs(step).max() > _TOLERANCE:
            step = step / 2
        coefficients = coefficients + step
        best = _log_likelihood(design @ coefficients, outcome)
        if np.abs(step).max() < _TOLERANCE * max(1.0, float(np.abs(coefficients).max())):
            return coefficients, information
    raise StatisticsError("logistic recalibration did not converge")


def _log_likelihood(logits: Floats, outcome: Floats) -> float:
    return float((outcome * logits - np.logaddexp(0, logits)).sum())


def _cluster_factor(model: PatientScores, parameters: int) -> float:
    """The small-sample factor of a clustered sandwich, as Stata and statsmodels have it."""
    patients, exams = model.exams.patient_count, model.exams.labels.size
    return patients / (patients - 1) * (exams - 1) / (exams - parameters)


def _wald(estimate: float, variance: float, level: float, model: PatientScores) -> Interval:
    reach = normal_quantile(level) * float(np.sqrt(variance))
    clustered = model.exams.patient_count < model.exams.labels.size
    method = "logistic recalibration, patient-clustered" if clustered else "logistic recalibration"
    return Interval(estimate=estimate, low=estimate - reach, high=estimate + reach, level=level, method=method)
