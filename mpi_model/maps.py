"""Polar maps as a network reads them: pixels and tracers, without identity and without labels.

Shape letters used in this package: N exams, B batch, P phases (1, or 2 for dual input), C image channels (1 grey, 3
colour). H and W are pixels, T tracers.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mpi_model.errors import CohortError
from mpi_model.vocabulary import PHASES_OF, Inputs

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

    def pixels(self, inputs: Inputs) -> NDArray[np.uint16]:
        """The declared phases of every exam: `[N, P, C, H, W]`, 0..FULL_SCALE, zeros where one was not acquired."""
        return np.stack([self.stress if phase == "stress" else self.rest for phase in PHASES_OF[inputs]], axis=1)

    def check_acquired(self, rows: NDArray[np.int64], inputs: Inputs) -> None:
        """Refuse exams `[n]` (row numbers) that lack a declared phase.

        Raises:
            CohortError: An exam lacks a phase.
        """
        for phase in PHASES_OF[inputs]:
            acquired = self.has_stress if phase == "stress" else self.has_rest
            missing = int((~acquired[rows]).sum())
            if missing:
                raise CohortError(
                    f"inputs: {inputs!r} needs a {phase} map, which {missing} of {len(rows)} exams lack; leave them "
                    "out or choose other inputs"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledExams:
    """Exams a network may learn from: rows of `Maps` with their labels."""

    rows: NDArray[np.int64]
    """`[n]`, row numbers into `Maps`."""
    labels: NDArray[np.int8]
    """`[n]`, 0 or 1."""

    def __len__(self) -> int:
        return len(self.rows)
