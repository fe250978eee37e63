"""The mean over pairs of exams that were held out together, with its variance over patients.

The mean is an AUC, or a difference of two AUCs. A cross-validated AUC takes its variance from here, times the training
factor (`cross_validation`).
"""

from dataclasses import dataclass

import numpy as np

from mpi_model.errors import StatisticsError
from orchestrator.statistics.auc import Influence, wins
from orchestrator.statistics.scores import Codes, Exams, Floats

# Pairs of patients beyond which their own term of the variance, one part in thousands by then, is left out.
_MOST_PAIRS = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairsStatistic:
    """The mean over all pairs of a positive and a negative exam that were held out together."""

    influence: Influence
    """Its `auc` is the mean: an AUC, or a difference of two."""
    pair_term: float
    """Σ over pairs of patients of their squared share: counted by the positive and by the negative one's variance."""

    def variance(self, exams: Exams) -> float:
        """Over patients, for networks that do not depend on them: positive part + negative part − pairs' part."""
        both = self.influence.variance(exams)
        # Both parts contain the variance of single pairs, which is subtracted once. The floor keeps the result positive
        # when the pair term is badly estimated.
        return max(both - self.pair_term, both / 2)

    def degrees(self, exams: Exams) -> float:
        """Welch's degrees of freedom of a sum of two variances, over positive and negative patients."""
        sizes = exams.class_patients
        parts = [float((part**2).sum()) for part in (self.influence.positive, self.influence.negative)]
        # Welch's formula is undefined here; the degrees of freedom of the smaller class are the cautious choice.
        if min(sizes) < 2 or sum(parts) == 0:
            return max(1.0, min(sizes) - 1.0)
        return sum(parts) ** 2 / sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))


def pairs_statistic(exams: Exams, scores: Floats, cells: Codes, minus: Floats | None = None) -> PairsStatistic:
    """The mean over pairs held out together, of one model or of the difference of two.

    Args:
        exams: The N exams, which need not fill every fold: a subgroup's may be given.
        scores: `[R, N]`.
        cells: `[R, N]`, the (repeat, fold) of each; only exams of one cell are compared.
        minus: `[R, N]`, the scores of a second model, whose statistic is subtracted; None for none.

    Raises:
        StatisticsError: No positive exam was ever held out together with a negative one.
    """
    models = [scores] if minus is None else [scores, minus]
    labels, patients = np.tile(exams.labels, len(scores)), np.tile(exams.patients, len(scores))
    influences = []
    for one in models:
        won, opponents = wins(one.ravel(), labels, cells.ravel())
        if not opponents.any():
            raise StatisticsError("no positive and negative exam were held out together, so there is no AUC")
        influences.append(Influence.of(won, opponents, labels, patients, exams.patient_count))
    influence = influences[0] if minus is None else influences[0].minus(influences[1])
    return PairsStatistic(influence=influence, pair_term=_pair_term(exams, models, cells, influence.auc))


def _pair_term(exams: Exams, models: list[Floats], cells: Codes, mean: float) -> float:
    """Σ over pairs of patients of (Σ over cells of (win − mean))² / pairs²."""
    rows = [np.flatnonzero(exams.labels == label) for label in (True, False)]
    # The kernel is a dense matrix of pairs: beyond this size it would need too much memory.
    if rows[0].size * rows[1].size > _MOST_PAIRS:
        return 0.0
    # In the order of patients, so that a patient's exams are neighbours and can be added up.
    rows = [chosen[np.argsort(exams.patients[chosen], kind="stable")] for chosen in rows]
    total, pairs = np.zeros((rows[0].size, rows[1].size)), 0
    for repeat, place in enumerate(cells):
        # Only pairs that were held out in the same fold of this repeat.
        met = place[rows[0]][:, None] == place[rows[1]]
        kernel = np.zeros(total.shape)
        for sign, scores in zip((0.5, -0.5), models, strict=False):
            # Half of 1, 0 or −1: the win, less the ½ that a tie counts.
            kernel += sign * np.sign(scores[repeat, rows[0]][:, None] - scores[repeat, rows[1]])
        total += met * (kernel + (0.5 - mean if len(models) == 1 else -mean))
        pairs += int(met.sum())
    # Exam pairs are summed to patient pairs, first over rows, then over columns.
    for axis, chosen in enumerate(rows):
        starts = np.append(0, np.flatnonzero(np.diff(exams.patients[chosen])) + 1)
        total = np.add.reduceat(total, starts, axis=axis)
    return float((total**2).sum()) / max(pairs, 1) ** 2
