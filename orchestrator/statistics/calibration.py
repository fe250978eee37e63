"""Do predicted probabilities mean what they say, and is deciding by them of use?

The expected calibration error is not here: a perfectly calibrated model has .16 with 40 exams and ten bins.
Networks trained with a class-balanced loss predict balanced probabilities; recalibrate before reading any of
this.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logit
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.nonparametric.smoothers_lowess import lowess

from mpi_model.errors import StatisticsError
from orchestrator.statistics.auc import auc
from orchestrator.statistics.intervals import Interval, normal_quantile
from orchestrator.statistics.resampling import bootstrap_weights, percentile_limits
from orchestrator.statistics.scores import Exams, Floats, PatientScores

SMOOTH_CURVE_PATIENTS = 200
"""Fewer patients than this do not carry a smooth calibration curve (Van Calster et al. 2019)."""

_EDGE = 1e-7
"""Probabilities of exactly 0 or 1 have no logit; they are moved this far inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetBenefit:
    """Net benefit at one threshold probability, beside the two strategies that need no model."""

    threshold: float
    model: Interval
    treat_all: float
    treat_none: float = 0.0


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


def brier_interval(model: PatientScores, level: float, *, draws: int, seed: int) -> Interval:
    """The Brier score with the percentile limits of the stratified patient bootstrap."""
    return bootstrap_mean(squared_errors(model), model.exams, level, draws=draws, seed=seed)


def bootstrap_mean(values: Floats, exams: Exams, level: float, *, draws: int, seed: int) -> Interval:
    """The mean of a quantity over exams, with percentile limits of the stratified patient bootstrap.

    Args:
        values: `[N]`.
        exams: Whose they are.
        level: Confidence level.
        draws: B.
        seed: Of the draws.
    """
    weights = bootstrap_weights(exams, draws, np.random.default_rng(seed))
    sums = np.bincount(exams.patients, weights=values, minlength=exams.patient_count)
    counts = np.bincount(exams.patients, minlength=exams.patient_count)
    low, high = percentile_limits((weights @ sums) / (weights @ counts), level)
    mean = float(values.mean())
    return Interval(estimate=mean, low=min(low, mean), high=max(high, mean), level=level, method="patient bootstrap")


def calibration_in_the_large(model: PatientScores, level: float) -> Interval:
    """The intercept of a logistic regression with offset logit(p): 0 is perfect, below 0 predicts too high.

    Cox 1958; as in Van Calster et al. (2019, doi:10.1186/s12916-019-1466-7). Errors are patient-clustered
    (sandwich) when a patient has several exams.
    """
    offset = logit(_probabilities(model))
    return _coefficient(_fit(model, np.ones((offset.size, 1)), offset), 0, level, model)


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
    design = np.column_stack([np.ones(predictor.size), predictor])
    return _coefficient(_fit(model, design, np.zeros(predictor.size)), 1, level, model)


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
    probabilities = _probabilities(model)
    curve = np.asarray(lowess(model.exams.labels.astype(np.float64), probabilities, frac=0.75, it=0))
    low, high = (float(np.quantile(probabilities, tail)) for tail in (0.01, 0.99))
    points = np.linspace(low, high, 101)
    return np.column_stack([points, np.clip(np.interp(points, curve[:, 0], curve[:, 1]), 0, 1)])


def net_benefit(model: PatientScores, threshold: float, level: float, *, draws: int, seed: int) -> NetBenefit:
    """TP/n − FP/n · t/(1−t) (Vickers & Elkin 2006, doi:10.1177/0272989X06295361), treating where p ≥ t.

    At the prevalence of the exams at hand; cases gathered at another prevalence need reweighting first.

    Args:
        model: Its scores are probabilities.
        threshold: t, in (0, 1).
        level: Confidence level of the patient bootstrap.
        draws: B.
        seed: Of the draws.
    """
    odds = threshold / (1 - threshold)
    gain = np.where(model.exams.labels, 1.0, -odds)
    treated = np.where(model.scores >= threshold, gain, 0.0)
    interval = bootstrap_mean(treated, model.exams, level, draws=draws, seed=seed)
    return NetBenefit(threshold=threshold, model=interval, treat_all=float(gain.mean()))


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


def _fit(model: PatientScores, design: Floats, offset: Floats) -> Any:  # noqa: ANN401 - statsmodels has no types
    outcome = model.exams.labels.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            regression = GLM(outcome, design, family=Binomial(), offset=offset)
            if model.exams.patient_count == outcome.size:
                return regression.fit()
            return regression.fit(cov_type="cluster", cov_kwds={"groups": model.exams.patients})
        except (Warning, np.linalg.LinAlgError, ValueError) as error:
            raise StatisticsError(f"logistic recalibration did not converge ({type(error).__name__})") from error


def _coefficient(fit: Any, index: int, level: float, model: PatientScores) -> Interval:  # noqa: ANN401
    estimate, error = float(fit.params[index]), float(fit.bse[index])
    reach = normal_quantile(level) * error
    clustered = model.exams.patient_count < model.exams.labels.size
    method = "logistic recalibration, patient-clustered" if clustered else "logistic recalibration"
    return Interval(estimate=estimate, low=estimate - reach, high=estimate + reach, level=level, method=method)
