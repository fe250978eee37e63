"""Logistic recalibration refitted on the exams of a new centre: what to change, and what would be gained.

The fit is of the same exams that it is reported for. It says how the probabilities would have to be changed there; it
is no validation of the changed ones.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from mpi_model.errors import StatisticsError
from orchestrator.statistics.intervals import Interval, normal_quantile
from orchestrator.statistics.scores import Codes, Flags, Floats, PatientScores

# Probabilities of exactly 0 or 1 have no logit; they are moved this far inside.
_EDGE = 1e-7
_PARTS = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recalibration:
    """p′ = expit(intercept + slope · logit p), fitted by maximum likelihood."""

    intercept: Interval
    slope: Interval
    probabilities: Floats
    """`[N]`, p′ of every exam by the fit to all exams."""
    held_out: Floats
    """`[N]`, p′ of every exam by a fit to the other nine tenths of the patients."""


def recalibrated(model: PatientScores, level: float) -> Recalibration:
    """Refit intercept and slope; intervals are Wald's, patient-clustered where a patient has several exams.

    Cox 1958, doi:10.1093/biomet/45.3-4.562.

    Args:
        model: Its scores are probabilities.
        level: Confidence level.

    Raises:
        StatisticsError: The likelihood has no maximum: all probabilities are equal, or they separate the classes, in
            all exams or in nine tenths of them.
    """
    exams, predictor = model.exams, logit(np.clip(model.scores, _EDGE, 1 - _EDGE))
    coefficients = _fit(predictor, exams.labels)
    held_out = np.empty(len(predictor))
    for part in range(_PARTS):
        # By patient, so that no exam is recalibrated by a fit to the same patient.
        mine = exams.patients % _PARTS == part
        if mine.any():
            intercept, slope = _fit(predictor[~mine], exams.labels[~mine])
            held_out[mine] = expit(intercept + slope * predictor[mine])
    fitted = expit(coefficients[0] + coefficients[1] * predictor)
    errors = np.sqrt(np.diag(_covariance(predictor, exams.labels - fitted, fitted * (1 - fitted), exams.patients)))
    reach = normal_quantile(level) * errors
    clustered = ", patient-clustered" if exams.patient_count < len(predictor) else ""
    intervals = [
        Interval(estimate=one, low=one - far, high=one + far, level=level, method=f"refitted here, logistic{clustered}")
        for one, far in zip(coefficients.tolist(), reach.tolist(), strict=True)
    ]
    return Recalibration(intercept=intervals[0], slope=intervals[1], probabilities=fitted, held_out=held_out)


def _fit(predictor: Floats, labels: Flags) -> Floats:
    """Intercept and slope, without a penalty.

    Raises:
        StatisticsError: The likelihood has no maximum: one class, equal predictors, or classes that a threshold parts.
    """
    positive, negative = predictor[labels], predictor[~labels]
    if not (positive.size and negative.size) or (
        positive.min() >= negative.max() or positive.max() <= negative.min()  # true of equal predictors, too
    ):
        raise StatisticsError("recalibration: the probabilities are all equal or separate the classes")
    # No penalty: the maximum-likelihood fit. Cox's slope would otherwise be drawn towards 0.
    found = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10).fit(predictor[:, np.newaxis], labels)
    return np.array([found.intercept_[0], found.coef_[0, 0]])


def _covariance(predictor: Floats, residual: Floats, weight: Floats, patients: Codes) -> Floats:
    """Of intercept and slope: inverse information, or the clustered sandwich with Stata's small-sample factor."""
    design = np.column_stack([np.ones(len(predictor)), predictor])
    inverse = np.linalg.inv((design * weight[:, np.newaxis]).T @ design).astype(np.float64)
    count, size = int(patients.max()) + 1, len(predictor)
    if count == size:
        return inverse
    # Score contributions are summed over a patient's exams before they are squared.
    scores = np.stack([np.bincount(patients, residual * column) for column in design.T])
    factor = count / (count - 1) * (size - 1) / (size - 2)
    covariance: Floats = factor * inverse @ scores @ scores.T @ inverse
    return covariance
