"""Polar maps as the network's side of the program sees them: pixels and tracers, no identity and no labels.

Shape letters used in this package: N exams, B batch, P phases (1, or 2 for dual input), C image channels
(1 grey, 3 colour), H and W pixels, T tracers.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FULL_SCALE: Final = 65535
"""The stored value of a map's 1.0; a step of 1/65535 is far below the noise of any count map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps:
    """The polar maps of N exams; row i of every array is the same exam.

    There is deliberately no field for labels or patients: a worker that holds `Maps` cannot learn them.
    """

    stress: NDArray[np.uint16]
    """`[N, C, H, W]`, 0..FULL_SCALE for 0..1; zeros where the phase was not acquired."""
    rest: NDArray[np.uint16]
    """`[N, C, H, W]`, as `stress`."""
    has_stress: NDArray[np.bool_]
    """`[N]`, whether the stress phase was acquired."""
    has_rest: NDArray[np.bool_]
    """`[N]`, whether the rest phase was acquired."""
    tracer: NDArray[np.int8]
    """`[N]`, index into `mpi_model.vocabulary.TRACERS`."""

    def __len__(self) -> int:
        return len(self.tracer)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledExams:
    """Exams a network may learn from: rows of `Maps` with their labels."""

    rows: NDArray[np.int64]
    """`[n]`, row numbers into `Maps`."""
    labels: NDArray[np.int8]
    """`[n]`, 0 or 1."""

    def __len__(self) -> int:
        return len(self.rows)
