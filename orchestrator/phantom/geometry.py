"""The polar map: AHA segments, the polar sampling grid, and painting it to a disc.

Orientation: +x lateral, septum left, anterior up, inferior down; the apex in the centre, the base at the rim.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.phantom.parameters import GridParameters, HeartParameters
from orchestrator.phantom.streams import Floats

SEGMENTS: Final = 17
RING_RADII: Final = (0.2, 7 / 15, 11 / 15, 1.0)
"""Outer radii of apex, apical, middle and basal ring."""
SEGMENT_NAMES: Final = (
    "basal anterior",
    "basal anteroseptal",
    "basal inferoseptal",
    "basal inferior",
    "basal inferolateral",
    "basal anterolateral",
    "mid anterior",
    "mid anteroseptal",
    "mid inferoseptal",
    "mid inferior",
    "mid inferolateral",
    "mid anterolateral",
    "apical anterior",
    "apical septal",
    "apical inferior",
    "apical lateral",
    "apex",
)
"""AHA segments 1 to 17 (doi:10.1161/hc0402.102975)."""


def segment_at(radius: Floats, angle: Floats) -> NDArray[np.int64]:
    """The AHA segment, 1 to 17, at each radius (0 to 1) and angle (degrees); 0 outside the disc.

    Segments 1 and 7 start at 60°, segment 13 at 45°, all counter-clockwise (doi:10.1161/hc0402.102975).
    """
    sixth = np.floor(np.mod(angle - 60.0, 360.0) / 60.0).astype(np.int64)
    quarter = np.floor(np.mod(angle - 45.0, 360.0) / 90.0).astype(np.int64)
    apex, apical, middle, base = (radius <= edge for edge in RING_RADII)
    return np.select([apex, apical, middle, base], [np.full_like(sixth, 17), 13 + quarter, 7 + sixth, 1 + sixth], 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolarGrid:
    """Sample positions `[rings, angles]` and their share of the myocardium."""

    radius: Floats
    """`[R, A]`, 0 to 1."""
    angle: Floats
    """`[R, A]`, degrees."""
    girth: Floats
    """`[R]`, circumference of a ring over that of the base."""
    segment_weights: Floats
    """`[17, R * A]`, rows sum to 1: the mean over a segment, weighted by mass."""
    mass: Floats
    """`[R, A]`, share of the myocardium, sums to 1."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rings and angles."""
        rings, angles = self.radius.shape
        return rings, angles

    def segment_means(self, field: Floats) -> Floats:
        """Mean over each segment of fields `[n, R, A]`, as `[n, 17]`."""
        # einsum without optimisation keeps to numpy's own loops: the same bits whatever BLAS is installed.
        return np.asarray(np.einsum("nc,sc->ns", field.reshape(len(field), -1), self.segment_weights))


@lru_cache(maxsize=8)
def polar_grid(parameters: GridParameters, heart: HeartParameters) -> PolarGrid:
    """The grid of the given parameters."""
    rings, angles = parameters.rings, parameters.angles
    radius, angle = np.meshgrid((np.arange(rings) + 0.5) / rings, np.arange(angles) * (360.0 / angles), indexing="ij")
    girth = np.sin(np.pi / 2.0 * np.minimum(radius[:, 0] / heart.cylinder_from, 1.0))
    mass = np.repeat(girth[:, None], angles, axis=1)
    mass /= mass.sum()
    weights = _finely_sampled_weights(parameters) * mass.ravel()
    weights /= weights.sum(axis=1, keepdims=True)
    return PolarGrid(radius=radius, angle=angle, girth=girth, segment_weights=weights, mass=mass)


def _finely_sampled_weights(parameters: GridParameters, times: int = 8) -> Floats:
    """Share of each polar sample's cell that lies in each segment, `[17, R * A]`: edges cut cells."""
    rings, angles = parameters.rings, parameters.angles
    radius = (np.arange(rings * times) + 0.5) / (rings * times)
    angle = ((np.arange(angles * times) + 0.5) / times - 0.5) * (360.0 / angles)
    fine = segment_at(*np.meshgrid(radius, angle, indexing="ij"))
    cells = fine.reshape(rings, times, angles, times)
    share = [(cells == segment).mean(axis=(1, 3)).ravel() for segment in range(1, SEGMENTS + 1)]
    return np.stack(share)


def angular_distance(angle: Floats, centre: Floats | float) -> Floats:
    """Signed distance in degrees from `centre`, in [-180, 180)."""
    return np.asarray(np.mod(angle - centre + 180.0, 360.0) - 180.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DiscSampler:
    """Which polar samples make which pixel: P pixels inside the disc, four samples each."""

    size: int
    """Pixels along an edge of the image."""
    pixels: NDArray[np.int64]
    """`[P]`, positions in the flattened image."""
    samples: NDArray[np.int64]
    """`[4, P]`, positions in the flattened polar grid."""
    weights: NDArray[np.float32]
    """`[4, P]`, columns sum to 1: bilinear interpolation in radius and angle."""


def pixel_positions(size: int) -> tuple[Floats, Floats]:
    """Radius and angle (degrees) of every pixel's centre, `[size, size]` each; the disc touches the edges."""
    along = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
    x, y = np.meshgrid(along, -along)
    return np.hypot(x, y), np.mod(np.degrees(np.arctan2(y, x)), 360.0)


@lru_cache(maxsize=8)
def disc_sampler(parameters: GridParameters, size: int) -> DiscSampler:
    """How to paint a polar grid to an image of `size` pixels."""
    radius, angle = pixel_positions(size)
    pixels = np.flatnonzero(radius <= 1.0)
    samples, weights = bilinear(
        parameters.rings,
        parameters.angles,
        radius.ravel()[pixels] * parameters.rings - 0.5,
        angle.ravel()[pixels] * (parameters.angles / 360.0),
    )
    return DiscSampler(size=size, pixels=pixels, samples=samples, weights=weights.astype(np.float32))


def bilinear(rings: int, angles: int, ring: Floats, step: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Samples and weights, `[4, …]` each, that interpolate at fractional ring and angle numbers.

    Inside the innermost ring the neighbour lies across the apex; outside the outermost the value stays.
    """
    low_ring, low_step = np.floor(ring), np.floor(step)
    over_ring, over_step = ring - low_ring, step - low_step
    samples, weights = [], []
    for up in (0, 1):
        for left in (0, 1):
            at = (low_ring + up).astype(np.int64)
            around = (low_step + left).astype(np.int64) + np.where(at < 0, angles // 2, 0)
            at = np.where(at < 0, -1 - at, np.minimum(at, rings - 1))
            samples.append(at * angles + np.mod(around, angles))
            weights.append(np.abs(1 - up - over_ring) * np.abs(1 - left - over_step))
    return np.stack(samples), np.stack(weights)


def paint(field: Floats, sampler: DiscSampler) -> NDArray[np.float32]:
    """Images `[n, size, size]` of polar fields `[n, R, A]`; 0 outside the disc."""
    flat = field.reshape(len(field), -1).astype(np.float32)
    values = flat[:, sampler.samples[0]] * sampler.weights[0]
    for samples, weights in zip(sampler.samples[1:], sampler.weights[1:], strict=True):
        values += flat[:, samples] * weights
    image = np.zeros((len(field), sampler.size * sampler.size), dtype=np.float32)
    image[:, sampler.pixels] = values
    return image.reshape(-1, sampler.size, sampler.size)
