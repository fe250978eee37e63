"""The observed frequency along the predicted probability: in groups at any size, as a curve where events allow it."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.special import expit, logit

from orchestrator.statistics.intervals import Interval
from orchestrator.statistics.patient_means import PatientMean
from orchestrator.statistics.proportions import wilson_interval
from orchestrator.statistics.scores import Codes, Exams, Floats

CURVE_EVENTS: Final = 20
"""Patients of each class below which no curve is drawn: two parameters would follow single patients."""
_LOESS_PATIENTS: Final = 200
"""Fewer patients than this do not carry a smooth calibration curve (Van Calster et al. 2019,
doi:10.1186/s12916-019-1466-7)."""
_GROUPS, _EXAMS_OF_GROUP = (5, 10), 20
_DRAWS: Final = 200
# Seeds the bootstrap of a report, so that a report repeats.
_SEED: Final = 20_261_126
_EDGE: Final = 1e-7
_ITERATIONS: Final = 25
_POINTS: Final = 51


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationGroup:
    """Exams with neighbouring probabilities."""

    predicted: float
    """Their mean probability."""
    observed: Interval
    """The share of events among them."""
    exams: float
    """In a cross-validation a mean over repeats."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibrationCurve:
    """A curve with its pointwise band over patients; every array is `[points]`, in probability."""

    kind: Literal["logistic", "loess"]
    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats


def calibration_groups(
    probabilities: Floats, exams: Exams, level: float, *, inflation: float = 1.0
) -> list[CalibrationGroup]:
    """Groups of nearly equal size by probability, each with Wilson's interval of its share of events.

    Five groups, or one for twenty exams up to ten. Exams with the same probability are never parted, so that there can
    be fewer. A patient counts once, with a mean over repeats and exams.

    Args:
        probabilities: `[N]`, or `[R, N]` of the repeats of a cross-validation, whose groups are formed of all repeats.
        exams: The N exams.
        level: Confidence level.
        inflation: Factor on the variance, for cross-validation.
    """
    values = np.atleast_2d(probabilities)
    count = int(np.clip(exams.labels.size // _EXAMS_OF_GROUP, *_GROUPS))
    edges = np.unique(np.quantile(values, np.arange(1, count) / count))
    groups = np.searchsorted(edges, values, side="right")
    return [_group(groups == group, values, exams, level, inflation) for group in np.unique(groups)]


def _group(inside: Codes, values: Floats, exams: Exams, level: float, inflation: float) -> CalibrationGroup:
    share = inside.mean(axis=0)
    patients = exams.patient_count
    observed = PatientMean(
        sums=np.bincount(exams.patients, share * exams.labels, patients).astype(np.float64),
        counts=np.bincount(exams.patients, share, patients).astype(np.float64),
    )
    return CalibrationGroup(
        predicted=float(values[inside].mean()),
        observed=wilson_interval(observed, level, inflation=inflation),
        exams=float(share.sum()),
    )


def calibration_curve(probabilities: Floats, exams: Exams, level: float) -> CalibrationCurve | None:
    """A curve where events allow one; None with fewer than `CURVE_EVENTS` patients of a class.

    From `_LOESS_PATIENTS` patients on local regression (loess; Austin & Steyerberg 2014, doi:10.1002/sim.5941),
    below that a logistic curve, expit(a + b · logit p), whose two parameters are intercept and slope (Cox 1958). Of a
    cross-validation it is the mean of the repeats' curves. The band is a bootstrap of patients, each with all exams in
    all repeats; networks stay as they are.

    Args:
        probabilities: `[N]`, or `[R, N]`.
        exams: The N exams.
        level: Of the band, every point by itself.
    """
    if min(exams.class_patients) < CURVE_EVENTS:
        return None
    values = np.clip(np.atleast_2d(probabilities), _EDGE, 1 - _EDGE)
    # The curve ends at the 1 % and 99 % quantiles: beyond them it rests on single exams.
    points = np.linspace(float(np.quantile(values, 0.01)), float(np.quantile(values, 0.99)), _POINTS)
    generator, patients = np.random.default_rng(_SEED), exams.patient_count
    drawn = generator.multinomial(patients, np.full(patients, 1 / patients), size=_DRAWS)
    weights = np.vstack([np.ones((1, patients)), drawn])[:, exams.patients]
    kind: Literal["logistic", "loess"] = "loess" if patients >= _LOESS_PATIENTS else "logistic"
    fit = _loess if kind == "loess" else _logistic
    labels = exams.labels.astype(np.float64)
    curves = np.mean([fit(repeat, labels, weights, points) for repeat in values], axis=0)
    low, high = np.nanquantile(curves[1:], [(1 - level) / 2, (1 + level) / 2], axis=0)
    return CalibrationCurve(kind=kind, predicted=points, observed=curves[0], low=low, high=high)


def _logistic(probabilities: Floats, labels: Floats, weights: Floats, points: Floats) -> Floats:
    """`[draws, points]`: Newton's method for all draws at once; a draw that separates the classes ends at a step."""
    log_odds = logit(probabilities)
    centre, scale = float(log_odds.mean()), max(float(log_odds.std()), 1e-6)
    predictor = (log_odds - centre) / scale
    # From a flat curve on, where Newton's steps are safe.
    intercept, slope = logit((weights @ labels) / weights.sum(axis=1)), np.zeros(len(weights))
    for _ in range(_ITERATIONS):
        fitted = expit(intercept[:, None] + slope[:, None] * predictor)
        residual, spread = weights * (labels - fitted), weights * fitted * (1 - fitted)
        score = residual.sum(axis=1), residual @ predictor
        # A whisper of a ridge keeps the information invertible where a draw separates the classes.
        a, b, c = spread.sum(axis=1) + 1e-9, spread @ predictor, spread @ predictor**2 + 1e-9
        determinant = a * c - b * b
        intercept = intercept + np.clip((c * score[0] - b * score[1]) / determinant, -1, 1)
        slope = slope + np.clip((a * score[1] - b * score[0]) / determinant, -1, 1)
    curves: Floats = expit(intercept[:, None] + slope[:, None] * (logit(points) - centre) / scale)
    return curves


def _loess(probabilities: Floats, labels: Floats, weights: Floats, points: Floats) -> Floats:
    """`[draws, points]`; whole weights, as many copies of an exam.

    Cleveland's local lines (1979, doi:10.1080/01621459.1979.10481038) at the points alone, for all draws at once: a fit
    a draw and exam, as libraries make it, took most of a report's time. No robust reweighting, because a binary outcome
    has no outliers.
    """
    curves = np.empty((len(weights), len(points)))
    # 0.75 is the span of Austin & Steyerberg.
    neighbours = np.floor(0.75 * weights.sum(axis=1) + 1e-10)
    for place, point in enumerate(points):
        order = np.argsort(np.abs(probabilities - point), kind="stable")
        away, mine = probabilities[order] - point, weights[:, order]
        last = np.argmax(np.cumsum(mine, axis=1) >= neighbours[:, None], axis=1)
        radius = np.maximum(np.abs(away)[last], 1e-12)[:, None]
        # Products, because NumPy's powers take ten times as long.
        share = np.minimum(np.abs(away) / radius, 1)
        kept = 1 - share * share * share
        tricube = mine * (kept * kept * kept)
        # Of the line's normal equations only the value at the point is needed.
        zero, one, two = tricube.sum(axis=1), tricube @ away, tricube @ away**2
        up, across = tricube @ labels[order], tricube @ (away * labels[order])
        determinant = zero * two - one**2
        # Where all neighbours lie in one place there is no line: their mean.
        is_line = determinant > 1e-12 * zero**2
        line = (two * up - one * across) / np.where(is_line, determinant, 1)
        curves[:, place] = np.where(is_line, line, up / zero)
    found: Floats = np.clip(curves, 0, 1)
    return found
