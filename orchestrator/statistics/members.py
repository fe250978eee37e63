"""Members of a cell as one model: one definition of score, probability and decision.

The score is the mean of the members' scores. A probability is averaged as log odds, so that it rises with the mean
score. Members of a cell share one calibration p = expit(a · score + b), and the mean of their log odds is a · (mean
score) + b. The exam is called positive where that probability reaches the threshold. Averaging the probabilities
themselves would rank exams differently from the AUC: one member that is far off moves a mean of scores, but not a mean
of probabilities.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from mpi_model.errors import StatisticsError
from orchestrator.statistics.scores import Flags, Floats

# Probabilities of exactly 0 or 1 have no log odds; where members differ they are moved this far inside. A power of two,
# so that 1 less it is exact, and a 0 and a 1 average to one half.
_EDGE = 2.0**-53


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """The members of a cell as one model; every array has the shape of one member's, such as `[R, N]`."""

    scores: Floats
    probabilities: Floats
    """Not a number where the predictions have none."""
    thresholds: Floats
    """On the scale of probabilities; not a number where none was fixed."""
    given: Flags | None = None
    """Decisions that were made elsewhere, and that nothing here makes anew; None where there are none."""

    @classmethod
    def of(cls, scores: Floats, probabilities: Floats, thresholds: Floats, given: Flags | None = None) -> "Model":
        """The model that M members make.

        Args:
            scores: `[M, …]`.
            probabilities: `[M, …]`, in [0, 1].
            thresholds: `[M, …]`, on the scale of probabilities; the same for all members of a run's cell.
            given: `[…]`, the model's decisions where they were made elsewhere.

        Raises:
            StatisticsError: The three shapes differ.
        """
        if not scores.shape == probabilities.shape == thresholds.shape:
            shapes = f"{scores.shape}, {probabilities.shape} and {thresholds.shape}"
            raise StatisticsError(f"scores, probabilities and thresholds must have one shape, but have {shapes}")
        return cls(
            scores=score_of_members(scores),
            probabilities=_mean_odds(probabilities),
            thresholds=_mean_odds(thresholds),
            given=given,
        )

    @property
    def positive(self) -> Flags | None:
        """The decisions given, or else probability ≥ threshold; None where an exam lacks either of the two."""
        if self.given is not None:
            return self.given
        if np.isnan(self.probabilities).any() or np.isnan(self.thresholds).any():
            return None
        decided: Flags = self.probabilities >= self.thresholds
        return decided


def score_of_members(scores: Floats) -> Floats:
    """The model's score, of its M members' `[M, …]`.

    Integrated gradients are linear in the score, so the model's attributions are this of its members' attributions.
    """
    averaged: Floats = scores.mean(axis=0)
    return averaged


def _mean_odds(values: Floats) -> Floats:
    """The mean over the first axis on the scale of log odds; values that agree are returned as they are."""
    inside = np.clip(values, _EDGE, 1 - _EDGE)
    # The logit and back would change the last bits of equal values, and a probability of exactly 0 or 1 would move
    # inside.
    averaged: Floats = np.where((values == values[0]).all(axis=0), values[0], expit(logit(inside).mean(axis=0)))
    return averaged
