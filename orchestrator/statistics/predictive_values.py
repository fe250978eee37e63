"""Likelihood ratios of a result, and predictive values at a stated prevalence."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from orchestrator.statistics.intervals import Interval
from orchestrator.statistics.proportions import Decisions, wilson_interval

_RATIO = "MOVER-R of Wilson"


@dataclass(frozen=True, slots=True, kw_only=True)
class LikelihoodRatios:
    """By how much a positive and a negative result change the odds of disease."""

    positive: Interval | None
    """Sensitivity / (1 − specificity); infinite where only positive exams were called positive, None where none was."""
    negative: Interval | None
    """(1 − sensitivity) / specificity; None where no exam was called negative."""


def likelihood_ratios(decisions: Decisions, level: float) -> LikelihoodRatios:
    """Both likelihood ratios, with limits from the Wilson limits of sensitivity and specificity.

    Limits of a ratio of independent proportions by MOVER-R (Donner & Zou 2012, Statistical Methods in Medical Research
    21:347). They are finite on one side at least where Simel's logarithms (1991, doi:10.1016/0895-4356(91)90128-V) have
    none.
    """
    sensitivity, specificity = (wilson_interval(decisions.correct_of_class(label), level) for label in (True, False))
    return LikelihoodRatios(
        positive=_ratio(sensitivity, _complement(specificity)), negative=_ratio(_complement(sensitivity), specificity)
    )


def predictive_values(ratios: LikelihoodRatios, prevalence: float) -> tuple[Interval | None, Interval | None]:
    """Positive and negative predictive value at a prevalence that is not the cohort's.

    Bayes' theorem, odds after = odds before · likelihood ratio, applied to the estimates and to the limits, as
    Mercaldo, Lau & Zhou (2007, doi:10.1002/sim.2677) do on the logit scale.

    Args:
        ratios: Of the decisions.
        prevalence: Stated, in (0, 1).

    Returns:
        Each None where no exam had that result.
    """
    odds = prevalence / (1 - prevalence)
    positive = _through(ratios.positive, lambda ratio: _share(odds * ratio))
    # The larger the negative likelihood ratio, the smaller the negative predictive value.
    negative = _through(ratios.negative, lambda ratio: 1 - _share(odds * ratio))
    return positive, negative


def _share(odds: float) -> float:
    return 1.0 if np.isinf(odds) else odds / (1 + odds)


def _through(ratio: Interval | None, function: Callable[[float], float]) -> Interval | None:
    if ratio is None:
        return None
    limits = sorted((function(ratio.low), function(ratio.high)))
    return Interval(
        estimate=function(ratio.estimate), low=limits[0], high=limits[1], level=ratio.level, method=ratio.method
    )


def _complement(interval: Interval) -> Interval:
    return Interval(
        estimate=1 - interval.estimate, low=1 - interval.high, high=1 - interval.low, level=interval.level,
        method=interval.method,
    )  # fmt: skip


def _ratio(top: Interval, bottom: Interval) -> Interval | None:
    """θ₁/θ₂ by MOVER-R; an infinite estimate where θ₂ is 0 has an infinite upper limit and a finite lower one."""
    # 0/0: no exam had the result whose meaning is asked for.
    if top.estimate == bottom.estimate == 0:
        return None
    estimate = top.estimate / bottom.estimate if bottom.estimate > 0 else np.inf
    low = _ratio_limit(top.estimate, bottom.estimate, top.low, bottom.high, -1.0)
    high = _ratio_limit(top.estimate, bottom.estimate, top.high, bottom.low, 1.0)
    return Interval(
        estimate=float(estimate), low=float(min(low, estimate)), high=float(max(high, estimate)), level=top.level,
        method=_RATIO,
    )  # fmt: skip


def _ratio_limit(top: float, bottom: float, top_limit: float, bottom_limit: float, sign: float) -> float:
    """(θ₁θ₂ ± √((θ₁θ₂)² − t b (2θ₁ − t)(2θ₂ − b))) / (b (2θ₂ − b)), t and b the limits that lie that way."""
    denominator = bottom_limit * (2 * bottom - bottom_limit)
    # No upper limit exists where the limit of the denominator reaches 0.
    if denominator == 0 or (sign > 0 and denominator < 0):
        return float(np.inf) if sign > 0 else 0.0
    # Rounding can make the radicand slightly negative.
    inside = (top * bottom) ** 2 - top_limit * (2 * top - top_limit) * denominator
    return float((top * bottom + sign * np.sqrt(max(0.0, inside))) / denominator)
