"""Two models judged on the same exams: how much their AUCs differ, and whether that is more than chance.

Each function refuses models that were not judged on the same exams and folds. That they were also trained
from the same plan and seeds is for the caller to check (`orchestrator.report.compare`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, stdtr, stdtrit

from mpi_model.errors import StatisticsError
from orchestrator.statistics.auc import (
    Influence,
    auc_influence,
    influence_covariance,
    intervals_from,
)
from orchestrator.statistics.cross_validation import (
    CrossValidation,
    corrected_resampled_variance,
    fold_aucs,
)
from orchestrator.statistics.intervals import Interval, Method, combined_interval
from orchestrator.statistics.pairs import pairs_statistic
from orchestrator.statistics.scores import Exams, Floats, PatientScores, require_same_exams

# Normal quantiles between which a p-value is searched for: .9999 and 1e-15; beyond them it is 1 or 1e-15.
_NEAREST, _FARTHEST = 1e-4, 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference of two models, first minus second, with its interval and two-sided p-value."""

    interval: Interval
    p: float
    at: Callable[[float], Interval]
    """The interval at any level, from which both come."""

    def p_above(self, least: float) -> float:
        """The one-sided p-value of the hypothesis that the difference is `least` or smaller."""
        two_sided = _inverted(self.at, least)
        # Half of the two-sided value on the side of the estimate, the complement on the other side.
        return two_sided / 2 if self.interval.estimate > least else 1 - two_sided / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """The correlated Bayesian t: how probable it is that a difference is below, inside or above ±rope."""

    below: float
    inside: float
    above: float


def paired_delong(first: PatientScores, second: PatientScores, level: float) -> Difference:
    """DeLong's paired test (1988, doi:10.2307/2531595), clustered by patient. Conservative for AUCs near 1.

    Raises:
        StatisticsError: The exams differ, or the two models' errors coincide so that the variance vanishes.
    """
    require_same_exams([first, second])
    influences = [auc_influence(model) for model in (first, second)]
    # The variance of the difference of influences contains the covariance of the two AUCs.
    variance = influences[0].minus(influences[1]).variance(first.exams)
    return _difference(influences[0].auc - influences[1].auc, variance, level, "paired DeLong")


def held_out_difference(first: PatientScores, second: PatientScores, level: float) -> Difference:
    """The default on a test set: square-and-add of the two AUCs' own intervals, with their correlation.

    Each AUC keeps the interval that it is reported with, so a difference of two perfect models has a width. The
    correlation is DeLong's (1988, doi:10.2307/2531595), clustered by patient; 0, which is wide, where one of the
    variances vanishes, or that of the difference. The p-value is the largest 1 − level at which the interval still
    holds 0, so that the two never contradict each other.

    Raises:
        StatisticsError: The exams differ.
    """
    require_same_exams([first, second])
    influences = [auc_influence(model) for model in (first, second)]
    correlation = _delong_correlation(influences, first.exams)

    def at(one_level: float) -> Interval:
        sides = (intervals_from(influence, first.exams, one_level)[0] for influence in influences)
        return combined_interval(
            *sides, weights=(1.0, -1.0), correlation=correlation, method=Method.HELD_OUT_DIFFERENCE
        )

    return Difference(interval=at(level), p=_inverted(at, 0.0), at=at)


def _inverted(at: Callable[[float], Interval], null: float) -> float:
    """The two-sided p-value of a value: 1 − the level at which one of the interval's limits is that value."""
    estimate = at(0.5).estimate

    def limit(quantile: float) -> float:
        interval = at(float(2 * ndtr(quantile) - 1))
        return interval.low - null if estimate > null else null - interval.high

    # The limits widen with the level, but for steps back of some ten-thousandths where one AUC is near 1.
    if limit(_NEAREST) <= 0:
        return 1.0
    if limit(_FARTHEST) > 0:
        return float(2 * ndtr(-_FARTHEST))
    return float(2 * ndtr(-brentq(limit, _NEAREST, _FARTHEST, xtol=1e-8)))


def _delong_correlation(influences: Sequence[Influence], exams: Exams) -> float:
    if min(exams.class_patients) < 2:
        return 0.0
    covariance = influence_covariance(influences, exams)
    variances = float(covariance[0, 0]), float(covariance[1, 1])
    # Two models that err on the same exams alone would have a correlation of 1, and a difference without a width.
    apart = influences[0].minus(influences[1]).variance(exams)
    # Rounding: a variance that ought to be 0 need not be exactly 0.
    if min(*variances, apart) < 1e-20:
        return 0.0
    return float(np.clip(covariance[0, 1] / np.sqrt(variances[0] * variances[1]), -1.0, 1.0))


def cross_validated_difference(first: CrossValidation, second: CrossValidation, level: float) -> Difference:
    """The default in cross-validation: mean paired fold difference, variance over patients times the training factor.

    The variance is that of the difference over pairs held out together, so what both models share cancels; the
    factor is the larger one of the two. Student's t with Welch's degrees of freedom.

    Raises:
        StatisticsError: Exams or folds differ, or the variance vanishes.
    """
    models = first.model, second.model
    require_same_exams(models)
    estimate = float((fold_aucs(models[0]) - fold_aucs(models[1])).mean())
    # Subtracted pair by pair before the variance is taken: what both models share cancels.
    pairs = pairs_statistic(models[0].exams, models[0].scores, models[0].cells, minus=models[1].scores)
    variance = max(first.factor, second.factor) * pairs.variance(models[0].exams)
    return _difference(estimate, variance, level, Method.CROSS_VALIDATED_DIFFERENCE, pairs.degrees(models[0].exams))


def corrected_resampled_t(differences: Floats, level: float) -> Difference:
    """The corrected resampled t-test, RK − 1 degrees of freedom.

    Nadeau & Bengio 2003, doi:10.1023/A:1024068626366.

    Args:
        differences: `[R, K]`, paired fold differences.
        level: Confidence level.

    Raises:
        StatisticsError: All cells differ by the same amount.
    """
    estimate, error = float(differences.mean()), np.sqrt(corrected_resampled_variance(differences))
    if error == 0:
        raise StatisticsError("Nadeau–Bengio t: the two models differ by the same amount in every fold")
    degrees = differences.size - 1
    return _difference(estimate, float(error**2), level, "Nadeau–Bengio t", degrees)


def correlated_bayesian_t(differences: Floats, rope: float) -> Equivalence:
    """The correlated Bayesian t-test with a region of practical equivalence (Benavoli 2017, JMLR 18:77).

    The posterior of the mean difference is Student's t with RK − 1 degrees around the mean, with the corrected
    resampled variance. Under its flat prior it shares that test's optimism in small samples.

    Args:
        differences: `[R, K]`, paired fold differences.
        rope: Half-width of the region, 0 or more.

    Raises:
        StatisticsError: All cells differ by the same amount.
    """
    error = np.sqrt(corrected_resampled_variance(differences))
    if error == 0:
        raise StatisticsError("correlated Bayesian t: the two models differ by the same amount in every fold")
    mean, degrees = differences.mean(), differences.size - 1
    # Both tails by the lower tail of the symmetric t: 1 − F(x) would lose digits for small tails.
    below, above = (float(stdtr(degrees, side)) for side in ((-rope - mean) / error, (mean - rope) / error))
    return Equivalence(below=below, inside=max(0.0, 1 - below - above), above=above)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment (1979, Scandinavian Journal of Statistics 6:65) over a family declared beforehand.

    Args:
        p_values: One a member of the family; None for one that was gated or refused. It still counts: the
            family does not shrink because of what the data showed.
    """
    filled = np.array([1.0 if p is None else p for p in p_values])
    order = np.argsort(filled)
    # The smallest p-value times m, the next times m − 1, and so on; the running maximum keeps the order.
    stepped = np.minimum(1.0, np.maximum.accumulate(filled[order] * np.arange(filled.size, 0, -1)))
    # The inverse permutation returns to the order of the arguments.
    adjusted = stepped[np.argsort(order)].tolist()
    return [None if p is None else value for p, value in zip(p_values, adjusted, strict=True)]


def above_chance(*intervals: Interval) -> bool:
    """The gate: a pair is compared only if at least one model's interval lies above one half.

    Between two models that know nothing a test of their difference rejects too often (.10 for .05).
    """
    return any(interval.low > 0.5 for interval in intervals)


def _difference(estimate: float, variance: float, level: float, method: str, degrees: float = np.inf) -> Difference:
    """Student's t for an estimate whose variance has so many degrees of freedom; normal for infinitely many."""
    # Influences of coinciding models cancel to rounding, not to zero.
    if variance < 1e-20:
        raise StatisticsError(f"{method}: the two models' placements coincide, so the difference has no variance")
    error = float(np.sqrt(variance))

    def at(one_level: float) -> Interval:
        return _clipped(estimate, float(stdtrit(degrees, (1 + one_level) / 2)) * error, one_level, method)

    return Difference(interval=at(level), p=float(2 * stdtr(degrees, -abs(estimate) / error)), at=at)


def _clipped(estimate: float, reach: float, level: float, method: str) -> Interval:
    return Interval(
        estimate=estimate,
        low=max(-1.0, estimate - reach),
        high=min(1.0, estimate + reach),
        level=level,
        method=method,
    )
