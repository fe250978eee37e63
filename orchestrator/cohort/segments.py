"""The segments of a polar map, and the means of maps over the 17 segments: one geometry for painting and for reading.

Apex r < 0.2, apical ring to 0.467, mid to 0.733, basal to 1; apex in the centre, anterior up, septum left, lateral
right (Cerqueira et al., Circulation 2002;105:539, doi:10.1161/hc0402.102975). The 20-segment model has six apical
segments and an apex in two halves, anterior and inferior; its rings are drawn with the same radii.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpi_model.maps import FULL_SCALE


class _Segment(NamedTuple):
    """One piece of a ring."""

    name: str
    """Its number in the model, or the numbers it joins: `2+3`."""
    inner: float
    """Radius where it begins; the map's edge is 1."""
    outer: float
    """Radius where it ends."""
    start: float
    """Degrees counter-clockwise from lateral (+x) where it begins."""
    extent: float
    """Degrees it spans."""


Segments = tuple[_Segment, ...]

_BASAL: Final = (0.733, 1.0)
_MID: Final = (0.467, 0.733)
_APICAL: Final = (0.2, 0.467)
_APEX: Final = (0.0, 0.2)
"""Inner and outer radius of each ring."""

_SUPERSAMPLING: Final = 4
"""A pixel that a border divides counts by the share of 4 × 4 points in it that lie in a segment."""
POINTS: Final = _SUPERSAMPLING**2


def _ring(radii: tuple[float, float], sectors: tuple[tuple[str, float, float], ...]) -> Segments:
    """The segments of one ring: `(name, start, extent)` each."""
    return tuple(_Segment(name, *radii, start, extent) for name, start, extent in sectors)


def _sixths(radii: tuple[float, float], first: int) -> Segments:
    """Six sectors of 60 degrees, the first of them anterior, then counter-clockwise."""
    return _ring(radii, tuple((str(first + place), (60.0 + 60 * place) % 360, 60.0) for place in range(6)))


SEGMENTS_17: Final = (
    *_sixths(_BASAL, 1),
    *_sixths(_MID, 7),
    *_ring(_APICAL, (("13", 45, 90), ("14", 135, 90), ("15", 225, 90), ("16", 315, 90))),
    *_ring(_APEX, (("17", 0, 360),)),
)
"""The 17-segment model, in the order of its numbers."""
TERRITORIES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {"LAD": (1, 2, 7, 8, 13, 14, 17), "RCA": (3, 4, 9, 10, 15), "LCX": (5, 6, 11, 12, 16)}
)
"""The coronary artery that most often supplies each of the 17 segments (figure 4 of Cerqueira et al. 2002,
doi:10.1161/hc0402.102975)."""
SEGMENTS_15: Final = (
    *_ring(_BASAL, (("1", 60, 60), ("2+3", 120, 120), ("4", 240, 60), ("5", 300, 60), ("6", 0, 60))),
    *_ring(_MID, (("7", 60, 60), ("8+9", 120, 120), ("10", 240, 60), ("11", 300, 60), ("12", 0, 60))),
    *SEGMENTS_17[12:],
)
"""The 17-segment model with one septal segment in the mid and in the basal ring, as the SPECTF collection has it."""
SEGMENTS_20: Final = (
    *_sixths(_APICAL, 1),
    *_sixths(_MID, 7),
    *_sixths(_BASAL, 13),
    *_ring(_APEX, (("19", 0, 180), ("20", 180, 180))),
)
"""The 20-segment model: 1-6 apical, 7-12 mid, 13-18 basal, 19 anteroapical, 20 inferoapical."""


def segment_tiles(size: int, segments: Segments) -> NDArray[np.float64]:
    """Which pixel centres lie in which segment: `[S, size, size]` of 0 and 1; row 0 is anterior."""
    centres = (np.arange(size) + 0.5) / size * 2 - 1
    right, up = np.meshgrid(centres, -centres)
    radius = np.hypot(right, up)
    angle = np.degrees(np.arctan2(up, right)) % 360
    inside = [
        (segment.inner <= radius) & (radius < segment.outer) & ((angle - segment.start) % 360 < segment.extent)
        for segment in segments
    ]
    return np.stack(inside).astype(np.float64)


def segment_means(pixels: NDArray[np.uint16]) -> NDArray[np.float64]:
    """The means of maps over the 17 segments.

    Args:
        pixels: `[N, C, size, size]`, 0..FULL_SCALE for 0..1.

    Returns:
        `[N, C, 17]`, 0..1, in the order of `SEGMENTS_17`.
    """
    points = points_in_pixels(pixels.shape[-1])
    # Pixels and numbers of points are whole numbers, so that sums are exact in whatever order a library adds them.
    sums = pixels.reshape(*pixels.shape[:2], pixels.shape[2] * pixels.shape[3]).astype(np.float64) @ points.T
    means: NDArray[np.float64] = sums / (points.sum(axis=1) * FULL_SCALE)
    return means


@lru_cache(maxsize=8)
def points_in_pixels(size: int) -> NDArray[np.float64]:
    """`[17, size * size]`: how many of a pixel's `POINTS` points lie in a segment."""
    fine = segment_tiles(size * _SUPERSAMPLING, SEGMENTS_17)
    points: NDArray[np.float64] = fine.reshape(17, size, _SUPERSAMPLING, size, _SUPERSAMPLING).sum(axis=(2, 4))
    return points.reshape(17, -1)
