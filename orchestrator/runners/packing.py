"""How many cells share a GPU, computed from what one cell was measured to use."""

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mpi_model.gpu import GpuUse  # torch; the driver does without it

_HEADROOM: Final = 1.5
"""Later candidates may use more than the first: other freeze depths keep other activations."""
_USABLE: Final = 0.95
"""Of a GPU's memory; the rest is the driver's."""
_CONTEXT: Final = 600 * 2**20
"""Bytes of a process's CUDA context, which torch does not count."""
_MOST_CELLS: Final = 4
"""Cells on one GPU at most: without MPS their kernels take turns, so that more of them only divide its time."""
_GRAIN: Final = 10_000
"""Ray counts GPUs in ten-thousandths."""


def share_for(use: "GpuUse", cores: float, cells: float) -> float:
    """The share of a GPU that a cell should reserve.

    Args:
        use: What one cell's process used, and what the GPU has.
        cores: Processor cores for each GPU, in units of what a cell reserves: a cell needs one to feed it.
        cells: Cells left to do for each GPU.

    Returns:
        1, or a fraction that as many cells can have as fit.
    """
    fitting = use.total * _USABLE / (use.peak * _HEADROOM + _CONTEXT)
    # The smallest of the bounds: memory, cores that feed the GPU, cells that are left, and kernels taking turns.
    count = max(1, math.floor(min(fitting, cores, math.ceil(cells), _MOST_CELLS)))
    # Rounded down: three times .3333 fit on a GPU, three times .3334 do not.
    return math.floor(_GRAIN / count) / _GRAIN


def allowed_fraction(share: float, total: int) -> float:
    """What torch may take of a GPU's bytes in a process with a share, its context left out."""
    # At least half of the share, where the context would take most of a small GPU.
    return min(1.0, max(share * _USABLE - _CONTEXT / total, share / 2))
