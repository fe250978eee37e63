"""Where the spread of a cross-validation comes from, and for which exams its repeats disagree."""

from dataclasses import dataclass

import numpy as np

from orchestrator.statistics.cross_validation import fold_aucs, held_out_variance
from orchestrator.statistics.scores import Codes, Flags, Floats, FoldScores


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceSplit:
    """The variance of the AUC over cells, split; the parts are estimates and may not add up to the whole."""

    cells: float
    """S², over all R·K cells."""
    patients: float | None
    """The part that so few patients in a fold would cause for any fixed model: the mean of the folds' own
    DeLong variances. None where a fold has a single patient of a class."""
    repeats: float
    """The part that differs between repeats as a whole, beyond what their folds explain; 0 or more."""
    members: float | None
    """The part the refits' seeds cause in the mean of M members: the mean variance over a cell's members, over M; None
    with one member."""

    @classmethod
    def of(cls, model: FoldScores, members: Floats | None = None) -> "VarianceSplit":
        """Split the variance of the AUC over cells.

        Args:
            model: The held-out scores, averaged over members.
            members: `[M, R, N]`, the scores of each member, where there are several.
        """
        areas = fold_aucs(model)
        # One-way analysis of variance: the variance of repeat means contains that of their folds over K.
        between = areas.mean(axis=1).var(ddof=1) if model.repeat_count > 1 else 0.0
        within = areas.var(axis=1, ddof=1).mean()
        spread = None if members is None or len(members) < 2 else _member_variance(model, members)
        return cls(
            cells=float(areas.var(ddof=1)),
            patients=held_out_variance(model),
            repeats=max(0.0, float(between - within / model.fold_count)),
            members=spread,
        )

    @property
    def rest(self) -> float | None:
        """What remains for training sets and their interplay with patients; 0 or more."""
        if self.patients is None:
            return None
        return max(0.0, self.cells - self.patients - self.repeats - (self.members or 0.0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stability:
    """How far the repeats agree about an exam; every array is `[N]`."""

    probability_range: Floats
    """Largest minus smallest probability over repeats."""
    flips: Floats
    """The share of repeats that decide against the exam's majority decision, 0 to ½."""
    wrong: Floats
    """The share of repeats that decide wrongly."""

    @classmethod
    def of(cls, model: FoldScores, probabilities: Floats, positive: Flags) -> "Stability":
        """How far the repeats agree about each exam.

        Args:
            model: The held-out scores, for their exams.
            probabilities: `[R, N]`.
            positive: `[R, N]`, the decisions.
        """
        # The minority's share: 0 where all repeats agree, ½ where they are split.
        share = positive.mean(axis=0)
        return cls(
            probability_range=np.ptp(probabilities, axis=0),
            flips=np.minimum(share, 1 - share),
            wrong=(positive != model.exams.labels).mean(axis=0),
        )

    def most_often_wrong(self, count: int) -> Codes:
        """Rows of the exams most often decided wrongly, the worst first: `[count]`, or fewer that were ever wrong."""
        order = np.argsort(-self.wrong, kind="stable")[:count]
        return order[self.wrong[order] > 0].astype(np.int64)


def _member_variance(model: FoldScores, members: Floats) -> float:
    areas = [fold_aucs(FoldScores(exams=model.exams, scores=scores, folds=model.folds)) for scores in members]
    # What is judged is the members' mean score, whose chance is an M-th of a single member's.
    return float(np.stack(areas).var(axis=0, ddof=1).mean()) / len(members)
