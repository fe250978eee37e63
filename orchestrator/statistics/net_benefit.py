"""Net benefit of deciding by the model's probabilities at a threshold probability, with its interval."""

from dataclasses import dataclass

import numpy as np

from orchestrator.statistics.intervals import Interval, combined_interval
from orchestrator.statistics.patient_means import mean_by_patient
from orchestrator.statistics.proportions import wilson_interval
from orchestrator.statistics.scores import Exams, Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class NetBenefit:
    """Net benefit at one threshold probability, beside the two strategies that need no model."""

    threshold: float
    model: Interval
    treat_all: float
    treat_none: float = 0.0


def net_benefit(
    probabilities: Floats, exams: Exams, threshold: float, level: float, *, inflation: float = 1.0
) -> NetBenefit:
    """TP/n − FP/n · t/(1−t) (Vickers & Elkin 2006, doi:10.1177/0272989X06295361), treating where p ≥ t.

    The prevalence is that of the exams at hand, which is as uncertain as the rest. True and false positives are shares
    of all exams, each with Wilson's limits. They are joined by square-and-add with their correlation over patients.

    Args:
        probabilities: `[N]`, or `[R, N]` of the repeats of a cross-validation.
        exams: The N exams.
        threshold: t, in (0, 1).
        level: Confidence level.
        inflation: Factor on the variance, for cross-validation.
    """
    odds = threshold / (1 - threshold)
    treated = (probabilities >= threshold).astype(np.float64)
    # TP/n and FP/n: the denominators are all exams, so that the prevalence varies in both.
    shares = [mean_by_patient(treated * (exams.labels == label), exams) for label in (True, False)]
    interval = combined_interval(
        *(wilson_interval(share, level, inflation=inflation) for share in shares),
        weights=(1.0, -odds),
        correlation=shares[0].correlation(shares[1]),
        method="MOVER of Wilson",
    )
    prevalence = float(exams.labels.mean())
    return NetBenefit(threshold=threshold, model=interval, treat_all=prevalence - (1 - prevalence) * odds)
