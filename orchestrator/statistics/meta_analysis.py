"""Estimates of several sites as one: a random-effects mean, how much sites differ, what a new site would show.

AUCs are combined on the logit scale, where they are about normal (Snell et al. 2018, doi:10.1177/0962280217705678); the
steps are those of Debray et al. (2017, doi:10.1136/bmj.i6460).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, stdtrit

from mpi_model.errors import StatisticsError
from orchestrator.statistics.auc import SMALL_CLASS, auc, delong_variance
from orchestrator.statistics.intervals import Interval, Method
from orchestrator.statistics.scores import Floats, PatientScores


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomEffects:
    """A random-effects meta-analysis of K sites, on the scale of the estimates."""

    mean: float
    low: float
    high: float
    prediction: tuple[float, float] | None
    """Where the true value of a new site lies; None with two sites, from which no spread can be known."""
    tau2: float
    """The variance of the sites' true values."""
    i2: float
    """The share of the estimates' variance that is due to it, 0 to 1."""

    def auc_interval(self, level: float) -> Interval:
        """The mean AUC over sites with its interval, from the logit scale."""
        low, mean, high = expit([self.low, self.mean, self.high]).tolist()
        return Interval(estimate=mean, low=low, high=high, level=level, method=Method.HARTUNG_KNAPP)

    def auc_of_new_site(self, level: float) -> Interval:
        """The AUC to expect at a new site, from the logit scale.

        Raises:
            StatisticsError: There are two sites only.
        """
        if self.prediction is None:
            raise StatisticsError("a prediction for a new site needs three sites with an estimate")
        low, mean, high = expit([self.prediction[0], self.mean, self.prediction[1]]).tolist()
        return Interval(estimate=mean, low=low, high=high, level=level, method=Method.PREDICTION)


def random_effects(estimates: Floats, variances: Floats, level: float) -> RandomEffects:
    """Mean, heterogeneity and prediction interval of K estimates.

    tau² is Paule & Mandel's (1982, doi:10.6028/jres.087.022; recommended by Veroniki et al. 2016,
    doi:10.1002/jrsm.1164). The interval of the mean is Hartung & Knapp's (2001, doi:10.1002/sim.791) with K − 1 degrees
    of freedom. It is never narrower than with its variance without their factor (Röver et al. 2015,
    doi:10.1186/s12874-015-0091-1). The prediction interval is t with K − 2 degrees of freedom (Higgins et al. 2009,
    doi:10.1111/j.1467-985X.2008.00552.x).

    Args:
        estimates: `[K]`.
        variances: `[K]`, positive.
        level: Confidence level.

    Raises:
        StatisticsError: Fewer than two sites.
    """
    sites = len(estimates)
    if sites < 2:
        raise StatisticsError(f"random effects need two sites with an estimate, but there {_are(sites)}")
    # Slow to import, and only the summary of a cross-validation by site needs it.
    from statsmodels.stats.meta_analysis import combine_effects  # noqa: PLC0415

    # "iterated" is Paule & Mandel's estimator in statsmodels.
    found = combine_effects(estimates, variances, method_re="iterated")
    mean, tau2 = float(found.mean_effect_re), float(found.tau2)
    # With few, similar sites Hartung & Knapp's factor can fall below 1 and make the interval too narrow.
    error = max(float(found.sd_eff_w_re_hksj), float(found.sd_eff_w_re))
    reach = float(stdtrit(sites - 1, (1 + level) / 2)) * error
    # The spread of true values and the error of the mean add as variances.
    wide = float(stdtrit(sites - 2, (1 + level) / 2)) * float(np.hypot(np.sqrt(tau2), error)) if sites > 2 else None
    return RandomEffects(
        mean=mean,
        low=mean - reach,
        high=mean + reach,
        prediction=None if wide is None else (mean - wide, mean + wide),
        tau2=tau2,
        i2=max(0.0, float(found.i2)),
    )


def logit_auc(model: PatientScores) -> tuple[float, float]:
    """The logit of a site's AUC and its variance.

    The variance is DeLong's. It is Newcombe's (2006, doi:10.1002/sim.2324) where a class has fewer than `SMALL_CLASS`
    patients or the AUC is 0 or 1. Such an AUC is moved inside by half a pair. A perfect small site must neither be left
    out, which would lower the mean, nor outweigh all others.
    """
    area, (positives, negatives) = auc(model), model.exams.class_patients
    if 0 < area < 1 and min(positives, negatives) >= SMALL_CLASS and (variance := delong_variance(model)) > 0:
        # The delta method: the derivative of logit(A) is 1/(A(1 − A)).
        return float(logit(area)), variance / (area * (1 - area)) ** 2
    pairs = positives * negatives
    # Half a pair is added to each side, as a continuity correction of the count of won pairs.
    inside = (area * pairs + 0.5) / (pairs + 1) if area in (0.0, 1.0) else area
    extra = (positives + negatives) / 2 - 1
    spread = 1 + extra * (1 - inside) / (2 - inside) + extra * inside / (1 + inside)
    return float(logit(inside)), spread / (inside * (1 - inside) * pairs)


def _are(count: int) -> str:
    return {0: "are none", 1: "is one"}.get(count, f"are {count}")
