"""What a network was trained on, as far as it may travel with it: how far development maps lie from their centre.

Only medians, scales, a covariance matrix and quantiles are kept; nothing of a single patient.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.errors import StatisticsError
from mpi_model.vocabulary import PHASES_OF, Inputs
from orchestrator.driver.map_facts import segment_columns
from orchestrator.ledger.reading import Run
from orchestrator.statistics.map_distances import QUANTILE, MapReference, map_distances

_QUANTILES: Final = (0.5, 0.75, 0.9, 0.95, QUANTILE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DevelopmentMaps:
    """The development exams of one tracer that one input configuration can read, N of them with D segment means."""

    means: NDArray[np.float64]
    """`[N, D]`, 17 a phase, in the order of `PHASES_OF`."""
    patients: NDArray[np.int64]
    """`[N]`, whose they are, 0 to P − 1."""

    @classmethod
    def of(cls, run: Run, inputs: Inputs, tracer: str) -> "DevelopmentMaps":
        """Read them from a run that keeps facts of its maps."""
        known = run.cohort
        columns = [column for phase in PHASES_OF[inputs] for column in segment_columns(phase)]
        training = run.maps[columns]
        chosen = (known["partition"] == "development") & (known["tracer"] == tracer) & training.notna().all(axis=1)
        patients = pd.factorize(known.loc[chosen, "patient_id"], sort=True)[0].astype(np.int64)
        return cls(means=training[chosen].to_numpy(np.float64), patients=patients)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KnownMaps:
    """How far maps of one tracer may lie from the development maps and still count as of their kind."""

    exams: int
    patients: int
    reference: MapReference | None
    """None where there were too few exams."""
    quantiles: dict[str, float]
    """Of the development exams' distances, each measured from other patients; by share."""
    reason: str = ""
    """Why there is no reference."""

    @property
    def limit(self) -> float:
        """The distance beyond which a map is outside; not a number where it is not known."""
        return self.quantiles.get(str(QUANTILE), float("nan"))

    @classmethod
    def of(cls, run: Run, inputs: Inputs, tracer: str) -> "KnownMaps":
        """Measure a run's development maps."""
        if not run.paths.maps.exists():
            reason = "the run was begun by an earlier version, which kept nothing of its maps"
            return cls(exams=0, patients=0, reference=None, quantiles={}, reason=reason)
        maps = DevelopmentMaps.of(run, inputs, tracer)
        exams, patients = len(maps.means), len(np.unique(maps.patients))
        try:
            distances = map_distances(maps.means, maps.patients, maps.means[:0]).training
        except StatisticsError as error:
            return cls(exams=exams, patients=patients, reference=None, quantiles={}, reason=str(error))
        return cls(
            exams=exams,
            patients=patients,
            reference=MapReference.of(maps.means),
            quantiles={str(share): float(np.quantile(distances, share)) for share in _QUANTILES},
        )
