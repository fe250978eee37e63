"""How far predictions for the same exams move when the procedure learns from bootstrap samples of its patients.

Riley & Collins 2023, doi:10.1002/bimj.202200302: the mean absolute prediction error, and the classification instability
index. No label takes part: both compare predictions with predictions.
"""

from dataclasses import dataclass

import numpy as np

from orchestrator.statistics.scores import Flags, Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instability:
    """Every array is `[N]`, by exam."""

    low: Floats
    """The smaller limit of the samples' central predictions."""
    high: Floats
    error: Floats
    """The mean absolute difference of a sample's probability from the original model's."""
    flips: Floats
    """The share of samples that decide otherwise than the original model; not a number without decisions."""
    error_out_of_bag: Floats
    """`error` over the samples that the exam's patient is not in; not a number where there are none."""
    flips_out_of_bag: Floats

    @classmethod
    def of(
        cls,
        original: tuple[Floats, Flags | None],
        samples: tuple[Floats, Flags | None],
        in_bag: Flags,
        level: float,
    ) -> "Instability":
        """Compare the models of B samples with the original one.

        Args:
            original: Probabilities `[N]` and decisions `[N]`, None without thresholds.
            samples: The same of every sample, `[B, N]`.
            in_bag: `[B, N]`, whether the sample was trained on the exam's patient.
            level: Of the central interval of predictions.
        """
        error = np.abs(samples[0] - original[0])
        if original[1] is None or samples[1] is None:
            flips = np.full(error.shape, np.nan)
        else:
            flips = (samples[1] != original[1]).astype(np.float64)
        low, high = np.quantile(samples[0], [(1 - level) / 2, (1 + level) / 2], axis=0)
        return cls(
            low=low,
            high=high,
            error=error.mean(axis=0),
            flips=flips.mean(axis=0),
            error_out_of_bag=_mean_where(error, ~in_bag),
            flips_out_of_bag=_mean_where(flips, ~in_bag),
        )


def _mean_where(values: Floats, chosen: Flags) -> Floats:
    """The mean over the first axis of the values chosen; not a number where none is."""
    counts = chosen.sum(axis=0)
    total = np.where(chosen, values, 0).sum(axis=0)
    mean: Floats = np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
    return mean
