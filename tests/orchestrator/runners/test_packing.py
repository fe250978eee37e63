"""How many cells share a GPU."""

import pytest

from mpi_model.gpu import GpuUse
from orchestrator.runners.packing import _CONTEXT, _MOST_CELLS, allowed_fraction, share_for

GIBIBYTE = 2**30


@pytest.mark.parametrize(
    ("peak", "total", "cores", "cells", "expected"),
    [
        (1, 80, 16, 100, 1 / _MOST_CELLS),  # room for many: the ceiling
        (1, 80, 3, 100, 0.3333),  # a core each to feed them
        (1, 80, 16, 2, 0.5),  # no more than are left
        (20, 80, 16, 100, 0.5),  # two and a half fit
        (60, 80, 16, 100, 1.0),  # with headroom not even one: it is tried all the same
        (1, 80, 0.5, 100, 1.0),  # never none at all
    ],
)
def test_as_many_cells_share_a_gpu_as_memory_cores_and_work_allow(peak, total, cores, cells, expected):
    """Each of the four limits holds where it is the tightest."""
    assert share_for(GpuUse(peak=peak * GIBIBYTE, total=total * GIBIBYTE), cores, cells) == expected


@pytest.mark.parametrize("peak", [0.2, 1, 3, 7, 11])
@pytest.mark.parametrize("total", [8, 16, 24, 80])
def test_cells_that_share_a_gpu_cannot_take_more_than_it_has(peak, total):
    """What all processes may take, contexts included, fits the GPU; and each may take what was measured."""
    share = share_for(GpuUse(peak=int(peak * GIBIBYTE), total=total * GIBIBYTE), 16, 100)
    cells = int(1 / share)
    allowed = allowed_fraction(share, total * GIBIBYTE) * total * GIBIBYTE

    assert cells * (allowed + _CONTEXT) <= total * GIBIBYTE or cells == 1
    assert allowed >= peak * GIBIBYTE or cells == 1
