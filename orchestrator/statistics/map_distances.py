"""How unlike the training maps a new map is: Mahalanobis distances of a few summaries of each map.

A large distance means that a map is unlike the training maps (another scaling, another orientation, another
population). It does not mean that the network is wrong there.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.covariance import LedoitWolf

from mpi_model.errors import StatisticsError
from orchestrator.statistics.scores import Codes, Floats

QUANTILE: Final = 0.975
"""The quantile of the training exams' distances beyond which a map counts as unlike them."""
_FEWEST: Final = 20
_PARTS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapDistances:
    """Distances of training exams, each from the others, and of new exams from all training exams."""

    training: Floats
    """`[N]`."""
    new: Floats
    """`[M]`."""

    @property
    def limit(self) -> float:
        """The `QUANTILE` of the training exams' distances."""
        return float(np.quantile(self.training, QUANTILE))

    @property
    def ratio(self) -> float:
        """The new exams' median distance as a multiple of the training exams'."""
        return float(np.median(self.new) / np.median(self.training))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapReference:
    """What a distance from the training maps is measured with: D summaries, and nothing of a single patient."""

    centre: Floats
    """`[D]`, medians."""
    scale: Floats
    """`[D]`, of a standard deviation's size; infinite for a summary that is constant."""
    precision: Floats
    """`[D, D]`, inverse of the shrunken covariance of the scaled summaries."""

    @classmethod
    def of(cls, training: Floats) -> "MapReference":
        """The reference of `[N, D]` summaries."""
        centre = np.median(training, axis=0)
        # 1.349 interquartile ranges make a standard deviation of a normal distribution; a constant summary carries no
        # information.
        scale = np.subtract(*np.quantile(training, [0.75, 0.25], axis=0)) / 1.349
        # Division by infinity sets a constant summary to 0, so that it adds nothing to the distance.
        scale = np.where(scale > 0, scale, np.inf)
        # The median was subtracted already; the estimator must not subtract the mean again.
        fitted = LedoitWolf(assume_centered=True).fit((training - centre) / scale)
        return cls(centre=centre, scale=scale, precision=np.asarray(fitted.get_precision(), dtype=np.float64))

    def distances(self, asked: Floats) -> Floats:
        """Mahalanobis distances of `[M, D]` summaries: `[M]`."""
        apart = (asked - self.centre) / self.scale
        found: Floats = np.sqrt(np.einsum("md,de,me->m", apart, self.precision, apart))
        return found


def map_distances(training: Floats, patients: Codes, new: Floats) -> MapDistances:
    """Distances from the median of the training exams, in units of their shrunken covariance.

    Centre and scale are medians and interquartile ranges, so that a few odd training maps do not hide others. The
    covariance is shrunken (Ledoit & Wolf 2004, doi:10.1016/S0047-259X(03)00096-4), because there may be few more exams
    than summaries. A training exam is measured against the other nine tenths of the patients. Against a covariance that
    it had a part in, it would seem nearer than a new exam of the same kind.

    Args:
        training: `[N, D]`, summaries of the training exams.
        patients: `[N]`, whose they are, 0 to P − 1.
        new: `[M, D]`.

    Raises:
        StatisticsError: Too few training exams.
    """
    if len(training) < _FEWEST:
        raise StatisticsError(f"distances need {_FEWEST} training exams, but there are {len(training)}")
    distances = np.empty(len(training))
    for part in range(_PARTS):
        # By patient, not by exam: two exams of a patient are alike and would shorten each other's distance.
        held_out = patients % _PARTS == part
        if held_out.any():
            distances[held_out] = MapReference.of(training[~held_out]).distances(training[held_out])
    return MapDistances(training=distances, new=MapReference.of(training).distances(new))
