"""Sensitivity, specificity and balanced accuracy at thresholds that were fixed without the exams judged here.

A threshold chosen on the judged exams raises the balanced accuracy by .08 at 40 exams and AUC .75. So these
functions take decisions, not scores; whoever makes the decisions has had to name a threshold.
"""

from dataclasses import dataclass

import numpy as np

from mpi_model.errors import StatisticsError
from orchestrator.statistics.intervals import Interval, combined_interval, normal_quantile
from orchestrator.statistics.patient_means import PatientMean, mean_by_patient
from orchestrator.statistics.scores import Exams, Flags, Floats, FoldScores

# The smallest design effect that averaging over repeats is credited with.
_LEAST_EFFECT = 0.2


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

    def correct_of_class(self, label: bool) -> PatientMean:
        """The right decisions among the exams of one class, by patient: sensitivity (True) or specificity (False)."""
        right = (self.positive == label).astype(np.float64)
        return mean_by_patient(right, self.exams, self.exams.labels == label)


def _wilson_limits(proportion: float, trials: float, level: float) -> tuple[float, float]:
    """Wilson's limits (1927, doi:10.1080/01621459.1927.10502953); `trials` may be an effective number."""
    z2 = normal_quantile(level) ** 2
    centre = (proportion + z2 / (2 * trials)) / (1 + z2 / trials)
    reach = np.sqrt(z2 * (proportion * (1 - proportion) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    return max(0.0, float(centre - reach)), min(1.0, float(centre + reach))


def _effective_trials(data: PatientMean, inflation: float = 1.0) -> float:
    """The number of independent exams that carry as much information as these exams of fewer patients.

    Trials / D, with D the design effect. D is the ratio estimator's variance over the binomial one, both unbiased, and
    at least 1 (as Saha, Miller & Wang 2016, doi:10.1515/ijb-2015-0024, put it under Wilson's limits). With one exam a
    patient D is exactly 1. Where all exams agree D is unknown and the number of patients is returned.

    Args:
        data: A proportion by patient. In cross-validation a patient's sum is a mean over repeats. D may then fall below
            1, to `_LEAST_EFFECT`, because repeats average out what differs between networks.
        inflation: Factor on the variance, for cross-validation.
    """
    trials = float(data.counts.sum())
    # A patient who is in a group in some repeats only counts as a part.
    patients = float(data.patient_count) if (data.counts % 1 == 0).all() else trials**2 / float((data.counts**2).sum())
    binomial = data.mean * (1 - data.mean)
    # Sums of single decisions are whole; a fraction shows that repeats were averaged.
    averaged = bool((data.sums % 1 != 0).any())
    # Without variation there is no design effect to estimate; patients are the cautious count.
    if binomial <= 1e-12 or patients < 2 or (patients == trials and not averaged):
        return patients / inflation
    # p(1 − p)/(n − 1) is the unbiased variance of a proportion, as the ratio estimator with n/(n − 1) is.
    effect = data.variance * (trials - 1) / binomial
    return trials / max(_LEAST_EFFECT if averaged else 1.0, effect) / inflation


def wilson_interval(data: PatientMean, level: float, *, inflation: float = 1.0) -> Interval:
    """Wilson's interval of a proportion, with the effective number of exams when patients have several."""
    # Wilson's limits can miss the estimate by rounding at 0 and 1, hence min and max below.
    p = data.mean
    low, high = _wilson_limits(p, _effective_trials(data, inflation), level)
    method = "Wilson" if data.counts.max() <= 1 else "Wilson, patient-clustered"
    method += ", inflated" if inflation != 1 else ""
    return Interval(estimate=p, low=min(low, p), high=max(high, p), level=level, method=method)


def balanced_accuracy_interval(decisions: Decisions, level: float) -> Interval:
    """Half the sum of sensitivity and specificity, with the MOVER interval of two Wilson intervals.

    The correlation of the two runs through patients with exams of both classes; without such patients it is 0.
    See `intervals.combined_interval`.
    """
    return _balanced(decisions.correct_of_class(True), decisions.correct_of_class(False), level)


def cross_validated_proportions(
    exams: Exams, positive: Flags, factor: float, level: float
) -> tuple[Interval, Interval, Interval]:
    """Sensitivity, specificity and balanced accuracy of a cross-validation: of its networks, at their thresholds.

    A patient counts with the mean over repeats. The variance over patients is inflated, because training sets and test
    sets are the same patients. It takes half of what an AUC needs, and three quarters in the balanced accuracy, whose
    two sides err together. Both were chosen on simulations, as the factor itself was.

    Args:
        exams: The N exams.
        positive: `[R, N]`, the decisions of the fold networks at their own frozen thresholds.
        factor: `cross_validation.training_factor`.
        level: Confidence level.
    """
    parts = [
        mean_by_patient((positive == label).astype(np.float64), exams, exams.labels == label) for label in (True, False)
    ]
    sides = [wilson_interval(part, level, inflation=1 + (factor - 1) / 2) for part in parts]
    return sides[0], sides[1], _balanced(parts[0], parts[1], level, inflation=1 + 0.75 * (factor - 1))


def _balanced(first: PatientMean, second: PatientMean, level: float, inflation: float = 1.0) -> Interval:
    clustered = any(part.counts.max() > 1 for part in (first, second))
    return combined_interval(
        *(wilson_interval(part, level, inflation=inflation) for part in (first, second)),
        weights=(0.5, 0.5),
        correlation=first.correlation(second),
        method="MOVER of Wilson, patient-clustered" if clustered else "MOVER of Wilson",
    )


def fold_proportions(model: FoldScores, positive: Flags) -> tuple[Floats, Floats]:
    """Sensitivity and specificity of every held-out fold, each `[R, K]`.

    Args:
        model: The held-out scores, for their exams and folds; the scores are not used.
        positive: `[R, N]`, the decisions of the fold models at their own frozen thresholds.
    """
    values = []
    for label in (True, False):
        chosen = model.exams.labels == label
        cells = model.cells[:, chosen].ravel()
        # Every fold has both classes (`FoldScores` refuses others), so no cell divides by zero.
        right = np.bincount(cells, weights=(positive[:, chosen] == label).ravel())
        values.append((right / np.bincount(cells)).reshape(model.repeat_count, model.fold_count))
    return values[0], values[1]


def threshold_at_specificity(negative_scores: Floats, specificity: float) -> float:
    """The smallest score with at least this share of negatives at or below it; call positive what lies above.

    Args:
        negative_scores: `[n]`, of negative exams other than those that will be judged.
        specificity: In (0, 1).
    """
    # `inverted_cdf` returns a score that occurred; interpolation would return one between two exams and miss the wanted
    # share.
    return float(np.quantile(negative_scores, specificity, method="inverted_cdf"))
