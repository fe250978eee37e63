"""The area under the ROC curve of one model on exams it was not trained on, its variance and its interval.

The AUC is the probability that a positive exam scores above a negative one, ties counting half. Every
variance here is written with influences: a patient's contribution to the estimate, summed over the patient's
exams. With one exam a patient they are DeLong's (DeLong, DeLong & Clarke-Pearson 1988, doi:10.2307/2531595),
with several Obuchowski's clustered form (1997, doi:10.2307/2533958); there is one code path.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from mpi_model.errors import StatisticsError
from orchestrator.statistics.intervals import Interval, logit_interval, normal_quantile
from orchestrator.statistics.scores import Codes, Exams, Flags, Floats, PatientScores

SMALL_CLASS = 15
"""Below this many patients of a class the default interval is Newcombe's method 5."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Influence:
    """What each patient contributes to an AUC, or to a difference of two; sums to zero over patients, in both parts."""

    auc: float
    positive: Floats
    """`[P]`, through the patient's positive exams."""
    negative: Floats
    """`[P]`, through the patient's negative exams."""

    @classmethod
    def of(cls, won: Floats, opponents: Floats, labels: Flags, patients: Codes, patient_count: int) -> "Influence":
        """The AUC over all compared pairs, U = Σ won / Σ opponents, and what each patient contributes to it.

        A patient's contribution is (Σ won − U Σ opponents) / pairs over the patient's exams of a class.

        Args:
            won: `[N]`, from `wins`.
            opponents: `[N]`, from `wins`.
            labels: `[N]`.
            patients: `[N]`, 0 to P − 1.
            patient_count: P.
        """
        pairs = opponents[labels].sum()
        area = float(won[labels].sum() / pairs)
        # The derivative of U = Σ won / Σ opponents (a ratio), not of Σ won alone: in cross-validation cells differ in
        # their number of pairs.
        residual = (won - area * opponents) / pairs
        positive, negative = (
            np.bincount(patients[mask], residual[mask], patient_count).astype(np.float64) for mask in (labels, ~labels)
        )
        return cls(auc=area, positive=positive, negative=negative)

    def variance(self, exams: Exams) -> float:
        """The variance of one AUC, never below zero; see `influence_covariance`."""
        return max(float(influence_covariance([self], exams)[0, 0]), 0.0)

    def minus(self, other: "Influence") -> "Influence":
        """The difference of two AUCs on the same exams."""
        return Influence(
            auc=self.auc - other.auc, positive=self.positive - other.positive, negative=self.negative - other.negative
        )


def wins(scores: Floats, labels: Flags, cells: Codes) -> tuple[Floats, Floats]:
    """Against how many exams of the other class in its cell an exam is ranked rightly, ties counting half.

    The midrank form of Sun & Xu (2014, doi:10.1109/LSP.2014.2337313): one sort, so O(N log N) time and memory
    linear in N. Counts are whole or half numbers and exact in double precision.

    Args:
        scores: `[N]`.
        labels: `[N]`.
        cells: `[N]`; exams of different cells are never compared.

    Returns:
        `[N]` wins and `[N]` opponents, both in the order given.
    """
    # Sorted by cell, then by score: exams of a cell are neighbours, and so are ties within it.
    order = np.lexsort((scores, cells))
    cell, score, label = cells[order], scores[order], labels[order]
    cell_start = _starts(np.diff(cell) != 0)
    tie_start = _starts((np.diff(cell) != 0) | (np.diff(score) != 0))
    cell_ends, tie_ends = np.append(cell_start[1:], len(cell)), np.append(tie_start[1:], len(cell))
    in_cell = np.repeat(np.arange(len(cell_start)), cell_ends - cell_start)
    in_tie = np.repeat(np.arange(len(tie_start)), tie_ends - tie_start)
    # Cumulative counts with a leading 0, so that the count between two places is one difference.
    positives, negatives = (np.append(0, np.cumsum(label == value)) for value in (True, False))
    # A positive exam wins against negatives with a lower score; a negative exam against positives with a higher one.
    # Ties are counted below, half each.
    below = negatives[tie_start[in_tie]] - negatives[cell_start[in_cell]]
    above = positives[cell_ends[in_cell]] - positives[tie_ends[in_tie]]
    tied = np.where(label, *(count[tie_ends[in_tie]] - count[tie_start[in_tie]] for count in (negatives, positives)))
    total = np.where(
        label, *(count[cell_ends[in_cell]] - count[cell_start[in_cell]] for count in (negatives, positives))
    )
    # Back to the order of the arguments.
    won, opponents = np.empty(len(cell)), np.empty(len(cell))
    won[order] = np.where(label, below, above) + tied / 2
    opponents[order] = total
    return won, opponents


def auc_influence(model: PatientScores) -> Influence:
    """The AUC of a model on N exams and the contributions, `[P]` each, of its patients."""
    exams = model.exams
    # One cell: every positive exam is compared with every negative one.
    won, opponents = wins(model.scores, exams.labels, np.zeros(len(exams.labels), dtype=np.int64))
    return Influence.of(won, opponents, exams.labels, exams.patients, exams.patient_count)


def auc(model: PatientScores) -> float:
    """P(score of a positive exam > score of a negative one) + ½ P(equal), exact."""
    return auc_influence(model).auc


def influence_covariance(influences: Sequence[Influence], exams: Exams) -> Floats:
    """The covariance matrix `[M, M]` of M AUCs estimated on the same exams.

    I₁₀/(I₁₀−1) Σ a a′ + I₀₁/(I₀₁−1) Σ b b′ + I/(I−1) Σ (a b′ + b a′) over patients. Here a and b are the influences
    through positive and negative exams, and I₁₀, I₀₁, I count the patients that have a positive exam, a negative one,
    any (Obuchowski 1997, doi:10.2307/2533958). The last sum vanishes when nobody has exams of both classes.

    Raises:
        StatisticsError: A class comes from a single patient, so that its variance is unknown.
    """
    counts = exams.class_patients
    if min(counts) < 2:
        raise StatisticsError(f"a variance needs two patients of each class, but there are {counts[0]} and {counts[1]}")
    positive = np.stack([influence.positive for influence in influences])
    negative = np.stack([influence.negative for influence in influences])
    # Zero unless a patient has exams of both classes; these terms are the difference from DeLong (1988).
    cross = positive @ negative.T
    return (
        counts[0] / (counts[0] - 1) * positive @ positive.T
        + counts[1] / (counts[1] - 1) * negative @ negative.T
        + exams.patient_count / (exams.patient_count - 1) * (cross + cross.T)
    )


def delong_variance(model: PatientScores) -> float:
    """DeLong's variance of the AUC, clustered by patient.

    Raises:
        StatisticsError: A class comes from a single patient.
    """
    return auc_influence(model).variance(model.exams)


def logit_delong_interval(model: PatientScores, level: float) -> Interval:
    """DeLong's variance on the logit scale (Perme & Manevski 2019, doi:10.1177/0962280218814556).

    Raises:
        StatisticsError: The AUC is 0 or 1, the variance vanishes, or a class comes from a single patient.
    """
    influence = auc_influence(model)
    variance = influence.variance(model.exams)
    return logit_interval(estimate=influence.auc, variance=variance, level=level, method="logit DeLong")


def newcombe_variance(area: float, positives: float, negatives: float) -> float:
    """SE²(θ) = θ(1−θ) [1 + M(1−θ)/(2−θ) + Mθ/(1+θ)] / (mn), M = (m+n)/2 − 1 (Newcombe 2006, doi:10.1002/sim.2324).

    Args:
        area: θ.
        positives: m, patients.
        negatives: n, patients.
    """
    # Newcombe replaces m − 1 and n − 1 of Hanley and McNeil by their mean M, so that the formula is symmetric in the
    # classes.
    extra = (positives + negatives) / 2 - 1
    spread = 1 + extra * (1 - area) / (2 - area) + extra * area / (1 + area)
    return area * (1 - area) * spread / (positives * negatives)


def newcombe_interval(
    area: float, positives: float, negatives: float, level: float, *, inflation: float = 1.0
) -> Interval:
    """Newcombe's method 5: all θ with |A − θ| ≤ z · SE(θ) (Newcombe 2006, doi:10.1002/sim.2324).

    SE²(θ) is `newcombe_variance`. Has a width at A = 1, where DeLong's has none.

    Args:
        area: A, in [0, 1].
        positives: m, at least 1; patients, not exams.
        negatives: n, at least 1.
        level: Confidence level.
        inflation: Factor on SE², for designs that vary more than one independent sample.
    """
    low = _newcombe_low(area, positives, negatives, level, inflation)
    # The upper limit by symmetry: SE(θ) = SE(1 − θ), because M is the same for both classes.
    high = 1 - _newcombe_low(1 - area, positives, negatives, level, inflation)
    method = "Newcombe 5" if inflation == 1 else "Newcombe 5, inflated"
    return Interval(estimate=area, low=min(low, area), high=max(high, area), level=level, method=method)


def _newcombe_low(area: float, positives: float, negatives: float, level: float, inflation: float) -> float:
    # The equation is squared: no square root is needed, and the inflation is a plain factor.
    scale = normal_quantile(level) ** 2 * inflation

    def excess(theta: float) -> float:
        return (area - theta) ** 2 - scale * newcombe_variance(theta, positives, negatives)

    # The limit solves excess(θ) = 0 below A. At A = 1 both terms vanish in θ = 1, so the search stops short
    # of it.
    ceiling = min(area, 1 - 1e-9)
    if excess(0.0) <= 0:
        return 0.0
    # At a level of almost 0 the limit lies nearer to A = 1 than that.
    return ceiling if excess(ceiling) >= 0 else float(brentq(excess, 0.0, ceiling, xtol=1e-12))


def auc_intervals(model: PatientScores, level: float) -> tuple[Interval, ...]:
    """The intervals to report, the one to lead with first.

    Logit DeLong; or Newcombe's method 5 where the AUC is 0 or 1, the variance vanishes, or a class has fewer
    than `SMALL_CLASS` patients. In the last case logit DeLong, where it exists, stands beside it.
    """
    return intervals_from(auc_influence(model), model.exams, level)


def intervals_from(influence: Influence, exams: Exams, level: float) -> tuple[Interval, ...]:
    """As `auc_intervals`, from contributions that are known already."""
    # DeLong's variance is estimated from few patients here; Newcombe's depends on the AUC and the counts only.
    small = min(exams.class_patients) < SMALL_CLASS
    newcombe = newcombe_interval(influence.auc, *exams.class_patients, level)
    try:
        variance = influence.variance(exams)
        delong = logit_interval(estimate=influence.auc, variance=variance, level=level, method="logit DeLong")
    except StatisticsError:
        return (newcombe,)
    return (newcombe, delong) if small else (delong,)


def _starts(changes: Flags) -> Codes:
    """Where runs begin, given where neighbours differ."""
    return np.append(0, np.flatnonzero(changes) + 1).astype(np.int64)
