"""Segment values painted as a smooth polar map: one painter for every source of segments.

Geometry. Apex r < 0.2, apical ring to 0.467, mid to 0.733, basal to 1; anterior up, septum left, lateral right
(Cerqueira et al., Circulation 2002;105:539, doi 10.1161/hc0402.102975). The 20-segment model has six apical
segments and an apex in two halves, anterior and inferior; its rings are drawn with the same radii.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from orchestrator.cohort.images import area_weights


class Segment(NamedTuple):
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


Segments = tuple[Segment, ...]

BASAL: Final = (0.733, 1.0)
MID: Final = (0.467, 0.733)
APICAL: Final = (0.2, 0.467)
APEX: Final = (0.0, 0.2)
"""Inner and outer radius of each ring."""
BLUR: Final = 0.12
"""Standard deviation of the painting kernel in map radii: 28 % of a radius full width at half maximum."""
NARROW_BLUR: Final = 0.07
"""For the 20-segment model, whose apex has halves."""

_SUPERSAMPLING: Final = 4


def ring(radii: tuple[float, float], sectors: tuple[tuple[str, float, float], ...]) -> Segments:
    """The segments of one ring: `(name, start, extent)` each."""
    return tuple(Segment(name, *radii, start, extent) for name, start, extent in sectors)


def _sixths(radii: tuple[float, float], first: int) -> Segments:
    """Six sectors of 60 degrees, the first of them anterior, then counter-clockwise."""
    return ring(radii, tuple((str(first + place), (60.0 + 60 * place) % 360, 60.0) for place in range(6)))


SEGMENTS_17: Final = (
    *_sixths(BASAL, 1),
    *_sixths(MID, 7),
    *ring(APICAL, (("13", 45, 90), ("14", 135, 90), ("15", 225, 90), ("16", 315, 90))),
    *ring(APEX, (("17", 0, 360),)),
)
"""The 17-segment model, in the order of its numbers."""
SEGMENTS_20: Final = (
    *_sixths(APICAL, 1),
    *_sixths(MID, 7),
    *_sixths(BASAL, 13),
    *ring(APEX, (("19", 0, 180), ("20", 180, 180))),
)
"""The 20-segment model: 1-6 apical, 7-12 mid, 13-18 basal, 19 anteroapical, 20 inferoapical."""


def painting_basis(size: int, segments: Segments, blur: float = BLUR) -> NDArray[np.float64]:
    """The images whose weighted sum is a map.

    The segments' tiles are blurred by a Gaussian kernel normalised inside the unit disc, then combined so
    that the mean of a map over each segment is the segment's value.

    Args:
        size: Side of a map in pixels.
        segments: S segments that cover the disc.
        blur: Of the kernel; small segments need a narrow one, or keeping their means overshoots.

    Returns:
        `[S, size, size]`; zero outside the unit disc, summing to the disc over the segments.
    """
    tiles = segment_tiles(size * _SUPERSAMPLING, segments)
    disc = tiles.sum(axis=0)
    kernel = _kernel(size * _SUPERSAMPLING, blur)
    smooth = disc * (kernel @ tiles @ kernel.T) / (kernel @ disc @ kernel.T)
    areas = tiles.sum(axis=(1, 2))
    means = np.einsum("ahw,bhw->ab", smooth, tiles) / areas  # of basis image a over segment b
    shrink = area_weights(size * _SUPERSAMPLING, size) / (size * _SUPERSAMPLING)
    preserving = np.tensordot(np.linalg.inv(means), smooth, axes=1)
    basis: NDArray[np.float64] = shrink @ preserving @ shrink.T
    return basis


def painted(percent: NDArray[np.float64], basis: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Paint one map.

    Args:
        percent: `[S]`, 0 to 100, in the order of the basis's segments.
        basis: `[S, size, size]`, from `painting_basis`.

    Returns:
        `[size, size]`, 255 for 100 percent.
    """
    image = np.tensordot(percent, basis, axes=1)
    pixels: NDArray[np.uint8] = np.rint(np.clip(image, 0, 100) * 2.55).astype(np.uint8)
    return pixels


def segment_tiles(size: int, segments: Segments) -> NDArray[np.float64]:
    """`[S, size, size]` of 0 and 1: which pixel centres lie in which segment; row 0 is anterior."""
    centres = (np.arange(size) + 0.5) / size * 2 - 1
    right, up = np.meshgrid(centres, -centres)
    radius = np.hypot(right, up)
    angle = np.degrees(np.arctan2(up, right)) % 360
    inside = [
        (segment.inner <= radius) & (radius < segment.outer) & ((angle - segment.start) % 360 < segment.extent)
        for segment in segments
    ]
    return np.stack(inside).astype(np.float64)


def _kernel(size: int, blur: float) -> NDArray[np.float64]:
    """`[size, size]`, one axis of the separable Gaussian kernel, not normalised."""
    centres = (np.arange(size) + 0.5) / size * 2
    kernel: NDArray[np.float64] = np.exp(-0.5 * ((centres[:, np.newaxis] - centres) / blur) ** 2)
    return kernel
