"""An interval with the name of its method, and the one transform most of them use."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri

from mpi_model.errors import StatisticsError


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
        raise StatisticsError(f"{method}: no logit interval for an estimate of {estimate:g} with variance {variance:g}")
    reach = (normal_quantile(level) if quantile is None else quantile) * np.sqrt(variance) / (estimate * (1 - estimate))
    low, high = expit(logit(estimate) + np.array([-reach, reach]))
    return Interval(
        estimate=estimate,
        low=min(float(low), estimate),
        high=max(float(high), estimate),
        level=level,
        method=method,
    )
