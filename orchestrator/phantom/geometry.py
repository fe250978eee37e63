"""The polar map: AHA segments, the polar sampling grid, and its interpolation to an image.

Orientation: lateral right (+x), septum left, anterior up, inferior down; the apex in the centre, the base at the rim.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.phantom.parameters import GridParameters, HeartParameters
from orchestrator.statistics.scores import Floats

_SEGMENTS: Final = 17
RING_RADII: Final = (0.2, 7 / 15, 11 / 15, 1.0)
"""Outer radii of apex, apical, middle and basal ring (doi:10.1161/hc0402.102975)."""


def segment_at(radius: Floats, angle: Floats) -> NDArray[np.int64]:
    """The AHA segment at each position (doi:10.1161/hc0402.102975).

    Args:
        radius: Any shape, 0 (apex) to 1 (base).
        angle: The same shape, degrees.

    Returns:
        The same shape, segment 1 to 17; 0 outside the disc.
    """
    # Counter-clockwise, segments 1 and 7 start at 60 degrees, segment 13 at 45 degrees.
    sixth = np.floor(np.mod(angle - 60.0, 360.0) / 60.0).astype(np.int64)
    quarter = np.floor(np.mod(angle - 45.0, 360.0) / 90.0).astype(np.int64)
    apex, apical, middle, base = (radius <= edge for edge in RING_RADII)
    return np.select([apex, apical, middle, base], [np.full_like(sixth, 17), 13 + quarter, 7 + sixth, 1 + sixth], 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolarGrid:
    """A polar grid of R rings and A angles, and the share of the myocardium at each sample."""

    radius: Floats
    """`[R, A]`, 0 to 1."""
    angle: Floats
    """`[R, A]`, degrees."""
    girth: Floats
    """`[R]`, circumference of a ring relative to the base."""
    segment_weights: Floats
    """`[17, R * A]`, rows sum to 1: the mean over a segment, weighted by mass."""
    mass: Floats
    """`[R, A]`, share of the myocardium, sums to 1."""

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rings and angles."""
        rings, angles = self.radius.shape
        return rings, angles

    def segment_means(self, field: Floats) -> Floats:
        """Mass-weighted means `[n, 17]` of fields `[n, R, A]` over each segment."""
        # einsum without optimisation uses numpy's own loops, so that the result does not depend on the installed BLAS.
        return np.asarray(np.einsum("nc,sc->ns", field.reshape(len(field), -1), self.segment_weights))


@lru_cache(maxsize=8)
def polar_grid(parameters: GridParameters, heart: HeartParameters) -> PolarGrid:
    """The grid of the given parameters."""
    rings, angles = parameters.rings, parameters.angles
    # Samples lie in the middle of their ring, so that none lies on the apex or the rim.
    radius, angle = np.meshgrid((np.arange(rings) + 0.5) / rings, np.arange(angles) * (360.0 / angles), indexing="ij")
    # The circumference grows as a sine up to `cylinder_from`, and is constant beyond.
    girth = np.sin(np.pi / 2.0 * np.minimum(radius[:, 0] / heart.cylinder_from, 1.0))
    mass = np.repeat(girth[:, None], angles, axis=1)
    mass /= mass.sum()
    weights = _finely_sampled_weights(parameters) * mass.ravel()
    weights /= weights.sum(axis=1, keepdims=True)
    return PolarGrid(radius=radius, angle=angle, girth=girth, segment_weights=weights, mass=mass)


def _finely_sampled_weights(parameters: GridParameters, times: int = 8) -> Floats:
    """Share of each sample's cell in each segment, `[17, R * A]`; borders of segments divide cells."""
    rings, angles = parameters.rings, parameters.angles
    radius = (np.arange(rings * times) + 0.5) / (rings * times)
    angle = ((np.arange(angles * times) + 0.5) / times - 0.5) * (360.0 / angles)
    # 64 fine samples in each cell estimate the share of its area.
    fine = segment_at(*np.meshgrid(radius, angle, indexing="ij"))
    cells = fine.reshape(rings, times, angles, times)
    share = [(cells == segment).mean(axis=(1, 3)).ravel() for segment in range(1, _SEGMENTS + 1)]
    return np.stack(share)


def angular_distance(angle: Floats, centre: Floats | float) -> Floats:
    """Signed angular distance from `centre`, in [-180, 180); all in degrees, any shapes that broadcast."""
    return np.asarray(np.mod(angle - centre + 180.0, 360.0) - 180.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _DiscSampler:
    """The four polar samples of each of P pixels inside the disc, for bilinear interpolation."""

    pixels: NDArray[np.int64]
    """`[P]`, positions in the flattened image."""
    samples: NDArray[np.int64]
    """`[4, P]`, positions in the flattened polar grid."""
    weights: NDArray[np.float32]
    """`[4, P]`, columns sum to 1."""


def pixel_positions(size: int) -> tuple[Floats, Floats]:
    """Radius and angle (degrees) of the centre of every pixel, `[size, size]` each; the disc touches the edges."""
    along = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
    x, y = np.meshgrid(along, -along)
    return np.hypot(x, y), np.mod(np.degrees(np.arctan2(y, x)), 360.0)


@lru_cache(maxsize=8)
def _disc_sampler(rings: int, angles: int, size: int) -> _DiscSampler:
    radius, angle = pixel_positions(size)
    pixels = np.flatnonzero(radius <= 1.0)
    samples, weights = bilinear(
        rings, angles, radius.ravel()[pixels] * rings - 0.5, angle.ravel()[pixels] * (angles / 360.0)
    )
    return _DiscSampler(pixels=pixels, samples=samples, weights=weights.astype(np.float32))


def bilinear(rings: int, angles: int, ring: Floats, step: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Bilinear interpolation on a polar grid.

    Args:
        rings: Rings of the grid.
        angles: Angles of the grid.
        ring: Fractional ring numbers, any shape.
        step: Fractional angle numbers, the same shape.

    Returns:
        Positions in the flattened grid and weights, `[4, …]` each.
    """
    low_ring, low_step = np.floor(ring), np.floor(step)
    over_ring, over_step = ring - low_ring, step - low_step
    samples, weights = [], []
    for up in (0, 1):
        for left in (0, 1):
            at = (low_ring + up).astype(np.int64)
            # Inside the innermost ring the neighbour is across the apex; outside the outermost the value is constant.
            around = (low_step + left).astype(np.int64) + np.where(at < 0, angles // 2, 0)
            at = np.where(at < 0, -1 - at, np.minimum(at, rings - 1))
            samples.append(at * angles + np.mod(around, angles))
            weights.append(np.abs(1 - up - over_ring) * np.abs(1 - left - over_step))
    return np.stack(samples), np.stack(weights)


def paint(field: Floats, size: int) -> NDArray[np.float32]:
    """Interpolate polar fields `[n, R, A]` to images `[n, size, size]`; 0 outside the disc."""
    sampler = _disc_sampler(*field.shape[1:], size)
    flat = field.reshape(len(field), -1).astype(np.float32)
    values = flat[:, sampler.samples[0]] * sampler.weights[0]
    for samples, weights in zip(sampler.samples[1:], sampler.weights[1:], strict=True):
        values += flat[:, samples] * weights
    image = np.zeros((len(field), size * size), dtype=np.float32)
    image[:, sampler.pixels] = values
    return image.reshape(-1, size, size)
