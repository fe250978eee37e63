"""The 17 segment means of a map."""

import math

import numpy as np
import pytest

from mpi_model.maps import FULL_SCALE
from orchestrator.cohort.segments import segment_means

# Cerqueira et al. 2002, figure 4, counter-clockwise from lateral: walls of six and of four, from their first degree on.
SIXTHS = {6: 0, 1: 60, 2: 120, 3: 180, 4: 240, 5: 300}
QUARTERS = {16: 315, 13: 45, 14: 135, 15: 225}


def segment_of(right: float, up: float) -> int | None:
    """The segment of a point of the unit disc."""
    radius, angle = math.hypot(right, up), math.degrees(math.atan2(up, right)) % 360
    if radius >= 1:
        return None
    if radius < 0.2:
        return 17
    if radius < 0.467:
        return next(name for name, start in QUARTERS.items() if (angle - start) % 360 < 90)
    sixth = next(name for name, start in SIXTHS.items() if (angle - start) % 360 < 60)
    return sixth + 6 if radius < 0.733 else sixth


@pytest.mark.parametrize("size", [5, 16])
def test_segment_means_are_those_of_a_loop_over_points(size):
    """Sixteen points a pixel, each given its segment by hand, have these means; of every exam and colour."""
    pixels = np.random.default_rng(size).integers(0, FULL_SCALE + 1, size=(2, 3, size, size)).astype(np.uint16)
    values = {name: [] for name in range(1, 18)}
    for row in range(size):
        for column in range(size):
            for point in range(16):
                right = (column + (point % 4 + 0.5) / 4) / size * 2 - 1
                up = 1 - (row + (point // 4 + 0.5) / 4) / size * 2
                name = segment_of(right, up)
                if name is not None:
                    values[name].append(pixels[:, :, row, column] / FULL_SCALE)
    expected = np.stack([np.mean(values[name], axis=0) for name in range(1, 18)], axis=-1)

    assert segment_means(pixels) == pytest.approx(expected, rel=1e-12)


def test_walls_lie_where_clinicians_see_them():
    """Dark quadrants of a map darken the anterior wall above, the septum on the left, and the apex in the middle."""
    size = 64
    maps = np.full((3, 1, size, size), FULL_SCALE, dtype=np.uint16)
    maps[0, 0, :20, 22:42] = 0
    maps[1, 0, 22:42, :20] = 0
    maps[2, 0, 28:36, 28:36] = 0
    darkest = segment_means(maps)[:, 0].argsort(axis=1) + 1

    assert set(darkest[0, :2]) == {1, 7}
    assert set(darkest[1, :4]) <= {2, 3, 8, 9, 14}
    assert darkest[2, 0] == 17
