"""How many patients the next study needs, from what this one found (Riley et al. 2021, doi:10.1002/sim.9025)."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from orchestrator.statistics.auc import newcombe_variance
from orchestrator.statistics.intervals import normal_quantile
from orchestrator.statistics.scores import Floats

# Widths of intervals to aim at: AUC, observed over expected events, calibration slope.
_AUC_WIDTH, _RATIO_WIDTH, _SLOPE_WIDTH = 0.1, 0.4, 0.4
_MOST = 1e7
# Beyond, a sample size says nothing.
_HIGHEST_AUC, _LEAST_INFORMATION = 0.999, 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSize:
    """Patients for an external validation, by what is to be estimated to a width."""

    auc: int | None
    """None where the AUC is 1: as few patients as one likes would give it a narrow interval."""
    ratio: int
    """Observed over expected events."""
    slope: int | None
    """None where the probabilities do not vary, or nearly all of them are 0 or 1."""


def sample_size(auc: float, prevalence: float, probabilities: Floats, level: float) -> SampleSize:
    """Patients, one exam each, that an external validation needs.

    Args:
        auc: The AUC to expect.
        prevalence: Of the endpoint.
        probabilities: `[N]`, a sample of the model's calibrated probabilities, for the spread of its log odds.
        level: Of the intervals.
    """
    z = normal_quantile(level)
    return SampleSize(
        # At 1 Newcombe's variance vanishes; what is below chance is planned as chance is.
        auc=None if auc > _HIGHEST_AUC else _for_auc(max(auc, 0.5), prevalence, _AUC_WIDTH / (2 * z)),
        ratio=_for_ratio(prevalence, _RATIO_WIDTH, z),
        slope=_for_slope(probabilities, _SLOPE_WIDTH / (2 * z)),
    )


def _for_auc(auc: float, prevalence: float, error: float) -> int:
    """Newcombe's variance at the expected AUC, as Riley's criterion for the c-statistic uses it."""

    def excess(patients: float) -> float:
        return newcombe_variance(auc, prevalence * patients, (1 - prevalence) * patients) - error**2

    least = max(2 / prevalence, 2 / (1 - prevalence))
    return int(np.ceil(least if excess(least) < 0 else brentq(excess, least, _MOST)))


def _for_ratio(prevalence: float, width: float, z: float) -> int:
    """SE(log O/E)² = (1 − φ) / (N φ); the interval around 1 is exp(± z SE)."""
    # exp(x) − exp(−x) = width gives x = arcsinh(width / 2).
    error = float(np.arcsinh(width / 2)) / z
    return int(np.ceil((1 - prevalence) / (prevalence * error**2)))


def _for_slope(probabilities: Floats, error: float) -> int | None:
    """Information of a logistic regression on the log odds, in a population where they are right."""
    inside = np.clip(probabilities, 1e-6, 1 - 1e-6)
    predictor, weight = logit(inside), inside * (1 - inside)
    # The information matrix per patient; the slope's variance is its inverse's last element over N.
    one, both, square = (float((weight * predictor**power).mean()) for power in (0, 1, 2))
    determinant = one * square - both**2
    return None if determinant < 1e-12 or one < _LEAST_INFORMATION else int(np.ceil(one / (error**2 * determinant)))


def shifted_to_prevalence(probabilities: Floats, training: Floats | float) -> Floats:
    """Probabilities of a class-balanced training moved to the prevalence of the exams that it was trained on.

    A loss whose weights make both classes count alike estimates the odds at a prevalence of one half; at prevalence
    π the odds are π/(1 − π) times as large (King & Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868).

    Args:
        probabilities: Any shape, in [0, 1].
        training: π, in (0, 1), of the training exams; one number, or one for each probability.
    """
    inside = np.clip(probabilities, 1e-16, 1 - 1e-16)
    # Odds multiply, so log odds add: logit(p) + log(π/(1 − π)).
    shifted: Floats = expit(logit(inside) + logit(np.asarray(training, dtype=np.float64)))
    return shifted
