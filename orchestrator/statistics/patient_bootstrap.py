"""Intervals of means over exams by the patient bootstrap: whole patients are drawn again, with all their exams."""

from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from orchestrator.statistics.scores import Codes, Floats

_DRAWS: Final = 2000
_SEED: Final = 20180210
"""One for all, so that equal data give equal intervals."""


def bootstrap_intervals(values: Floats, patients: Codes, level: float) -> tuple[Floats, Floats]:
    """Percentile intervals of the means of some columns over exams.

    Args:
        values: `[N, K]`, a row an exam, or an exam and repeat.
        patients: `[N]`, whose they are; any whole numbers.
        level: Confidence level, such as 0.95.

    Returns:
        Low and high limits, `[K]` each; equal to the mean where there is one patient.

    References:
        Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapters 8 and 13; clusters are resampled whole:
        Davison & Hinkley 1997, section 3.8.
    """
    _, codes = np.unique(patients, return_inverse=True)
    count = int(codes.max()) + 1
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, codes, values)
    exams = np.bincount(codes).astype(np.float64)
    generator = np.random.default_rng(_SEED)
    # How often each patient is drawn: a mean over drawn patients is a weighted one over all of them.
    times = generator.multinomial(count, np.full(count, 1 / count), size=_DRAWS).astype(np.float64)
    # The order in which threads add changes last digits.
    with threadpool_limits(1, "blas"):
        means = (times @ sums) / (times @ exams)[:, None]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
