"""Sensitivity, specificity and balanced accuracy at thresholds that were fixed without the exams judged here.

A threshold chosen on the judged exams flatters: by +.08 in balanced accuracy at 40 exams and AUC .75. So
these functions take decisions, not scores; whoever makes the decisions has had to name a threshold.
"""

from dataclasses import dataclass

import numpy as np

from mpi_model.errors import StatisticsError
from orchestrator.statistics.intervals import Interval, normal_quantile
from orchestrator.statistics.scores import Exams, Flags, Floats, FoldScores


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decisions:
    """One decision an exam, made with a threshold that was frozen before."""

    exams: Exams
    positive: Flags
    """`[N]`, whether the exam was called positive."""

    def __post_init__(self) -> None:
        if self.positive.shape != self.exams.labels.shape or self.positive.dtype != np.bool_:
            raise StatisticsError(
                f"{self.exams.labels.size} booleans are needed, not {self.positive.shape} {self.positive.dtype}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clustered:
    """Successes and trials of a proportion, by patient."""

    successes: Floats
    """`[P]`."""
    trials: Floats
    """`[P]`; zero where the patient has no such exam."""

    @property
    def proportion(self) -> float:
        """Σ successes / Σ trials."""
        return float(self.successes.sum() / self.trials.sum())

    @property
    def residuals(self) -> Floats:
        """`[P]`, successes − p · trials."""
        return self.successes - self.proportion * self.trials


def correct_of_class(decisions: Decisions, label: bool) -> Clustered:
    """The right decisions among the exams of one class, by patient: sensitivity or specificity."""
    exams = decisions.exams
    chosen = exams.labels == label
    patients, right = exams.patients[chosen], decisions.positive[chosen] == label
    return Clustered(
        successes=np.bincount(patients, right.astype(np.float64), exams.patient_count).astype(np.float64),
        trials=np.bincount(patients, minlength=exams.patient_count).astype(np.float64),
    )


def wilson_limits(proportion: float, trials: float, level: float) -> tuple[float, float]:
    """Wilson's limits (1927, doi:10.1080/01621459.1927.10502953); `trials` may be an effective number."""
    z2 = normal_quantile(level) ** 2
    centre = (proportion + z2 / (2 * trials)) / (1 + z2 / trials)
    reach = np.sqrt(z2 * (proportion * (1 - proportion) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    return max(0.0, float(centre - reach)), min(1.0, float(centre + reach))


def effective_trials(data: Clustered) -> float:
    """The number of independent exams that would tell as much as these exams of fewer patients.

    Trials / D, with D the design effect: the ratio estimator's variance over the binomial one, both unbiased,
    and at least 1 (as Saha, Miller & Wang 2016, doi:10.1515/ijb-2015-0024, put it under Wilson's limits).
    With one exam a patient D is exactly 1. Where all exams agree D is unknown and the number of patients is
    returned.
    """
    patients, trials = float((data.trials > 0).sum()), float(data.trials.sum())
    binomial = data.proportion * (1 - data.proportion)
    if patients == trials or binomial == 0 or patients < 2:
        return patients
    variance = patients / (patients - 1) * float((data.residuals**2).sum()) / trials**2
    return trials / max(1.0, variance * (trials - 1) / binomial)


def wilson_interval(data: Clustered, level: float) -> Interval:
    """Wilson's interval of a proportion, with the effective number of exams when patients have several."""
    low, high = wilson_limits(data.proportion, effective_trials(data), level)
    method = "Wilson" if data.trials.max() <= 1 else "Wilson, patient-clustered"
    p = data.proportion
    return Interval(estimate=p, low=min(low, p), high=max(high, p), level=level, method=method)


def balanced_accuracy_interval(decisions: Decisions, level: float) -> Interval:
    """Half the sum of sensitivity and specificity, with the MOVER interval of two Wilson intervals.

    L = B − ½ √(d₁² + d₂² + 2ρ d₁ d₂) with d the distances of the two lower limits, U alike (Zou & Donner
    2008, doi:10.1002/sim.3095). ρ is the correlation of the two through patients with exams of both classes;
    without such patients it is 0.
    """
    parts = [correct_of_class(decisions, label) for label in (True, False)]
    sides = [wilson_interval(part, level) for part in parts]
    correlation = _residual_correlation(*parts)
    estimate = sum(side.estimate for side in sides) / 2
    down = _mover([side.estimate - side.low for side in sides], correlation)
    up = _mover([side.high - side.estimate for side in sides], correlation)
    method = (
        "MOVER of Wilson" if all(part.trials.max() <= 1 for part in parts) else "MOVER of Wilson, patient-clustered"
    )
    return Interval(
        estimate=estimate,
        low=max(0.0, estimate - down),
        high=min(1.0, estimate + up),
        level=level,
        method=method,
    )


def fold_proportions(model: FoldScores, positive: Flags) -> tuple[Floats, Floats]:
    """Sensitivity and specificity of every held-out fold, each `[R, K]`.

    Args:
        model: Tells exams and folds; its scores are not used.
        positive: `[R, N]`, the decisions of the fold models at their own frozen thresholds.
    """
    values = []
    for label in (True, False):
        chosen = model.exams.labels == label
        cells = model.cells[:, chosen].ravel()
        right = np.bincount(cells, weights=(positive[:, chosen] == label).ravel())
        values.append((right / np.bincount(cells)).reshape(model.repeat_count, model.fold_count))
    return values[0], values[1]


def _residual_correlation(first: Clustered, second: Clustered) -> float:
    scale = float(np.sqrt((first.residuals**2).sum() * (second.residuals**2).sum()))
    return float((first.residuals * second.residuals).sum()) / scale if scale > 0 else 0.0


def _mover(distances: list[float], correlation: float) -> float:
    first, second = distances
    return float(np.sqrt(max(0.0, first**2 + second**2 + 2 * correlation * first * second)) / 2)


def threshold_at_specificity(negative_scores: Floats, specificity: float) -> float:
    """The smallest score with at least this share of negatives at or below it; call positive what lies above.

    Args:
        negative_scores: `[n]`, of negative exams other than those that will be judged.
        specificity: In (0, 1).
    """
    return float(np.quantile(negative_scores, specificity, method="inverted_cdf"))
