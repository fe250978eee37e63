"""An interval with the name of its method; the logit scale, and the rule for sums and differences."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit, logit, ndtri

from mpi_model.errors import StatisticsError


class Method:
    """The names of methods as reports print them, also where a method refused to give an interval."""

    WITHIN_FOLD: Final = "within-fold logit"
    NADEAU_BENGIO: Final = "Nadeau–Bengio logit"
    HELD_OUT_DIFFERENCE: Final = "MOVER of AUC intervals"
    CROSS_VALIDATED_DIFFERENCE: Final = "within-fold t"
    HARTUNG_KNAPP: Final = "random effects, Hartung–Knapp"
    PREDICTION: Final = "prediction interval, Student's t"
    PARTIAL: Final = "jackknife over patients, logit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A point estimate with its confidence interval."""

    estimate: float
    low: float
    high: float
    level: float
    """Confidence level, in (0, 1)."""
    method: str
    """The method's name as reports print it."""

    def __post_init__(self) -> None:
        if not self.low <= self.estimate <= self.high:
            raise StatisticsError(
                f"{self.method}: [{self.low}, {self.high}] does not hold its estimate {self.estimate}"
            )


def normal_quantile(level: float) -> float:
    """Z with a two-sided tail of 1 − level."""
    return float(ndtri((1 + level) / 2))


def logit_interval(
    *, estimate: float, variance: float, level: float, method: str, quantile: float | None = None
) -> Interval:
    """expit(logit θ ± q · SE / (θ(1 − θ))): the delta method on the logit scale, so always inside (0, 1).

    Args:
        estimate: θ, strictly between 0 and 1.
        variance: of θ, positive.
        level: Confidence level.
        method: Name for the reports.
        quantile: q; the normal one when None.

    Raises:
        StatisticsError: θ is 0 or 1 or the variance vanishes, so that the scale has no such interval.
    """
    # Values that are all equal leave a variance of rounding errors, not of zero.
    if not (0 < estimate < 1 and variance > 1e-20):
        why = "its variance over patients is 0" if 0 < estimate < 1 else "that scale has no such value"
        raise StatisticsError(f"{method}: no logit interval for an estimate of {estimate:g}, because {why}")
    reach = (normal_quantile(level) if quantile is None else quantile) * np.sqrt(variance) / (estimate * (1 - estimate))
    # d logit(θ)/dθ = 1/(θ(1 − θ)) turns the standard error into one on the logit scale.
    low, high = expit(logit(estimate) + np.array([-reach, reach]))
    return Interval(
        estimate=estimate,
        low=min(float(low), estimate),
        high=max(float(high), estimate),
        level=level,
        method=method,
    )


def combined_interval(
    first: Interval, second: Interval, *, weights: tuple[float, float], correlation: float, method: str
) -> Interval:
    """The interval of w₁θ₁ + w₂θ₂ from the intervals of θ₁ and θ₂ (square-and-add, MOVER).

    The distance down is √(a² + b² + 2ρ a b). Here a and b are the weighted distances from the two estimates to the
    limits that lie in that direction (Newcombe 1998,
    doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I; Zou & Donner 2008, doi:10.1002/sim.3095). It
    has a width where the two estimates' variances vanish.

    Args:
        first: Of θ₁.
        second: Of θ₂, at the same level.
        weights: w₁ and w₂; (1, −1) is a difference.
        correlation: Of the two estimates, in [−1, 1].
        method: Name for the reports.
    """
    estimate = weights[0] * first.estimate + weights[1] * second.estimate
    # With weights of opposite sign a positive correlation makes the difference more certain.
    signed = correlation * float(np.sign(weights[0] * weights[1]))
    downs, ups = [], []
    for weight, part in zip(weights, (first, second), strict=True):
        below, above = part.estimate - part.low, part.high - part.estimate
        # A negative weight reverses the limits: the sum is lowest where this part is highest.
        downs.append(abs(weight) * (below if weight > 0 else above))
        ups.append(abs(weight) * (above if weight > 0 else below))
    reach = [float(np.sqrt(max(0.0, one**2 + other**2 + 2 * signed * one * other))) for one, other in (downs, ups)]
    return Interval(
        estimate=estimate, low=estimate - reach[0], high=estimate + reach[1], level=first.level, method=method
    )
