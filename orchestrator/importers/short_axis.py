"""A polar map from a short-axis volume: the sampling, once the limits are known.

The left ventricle is taken as a cylinder with a hemispherical cap of the wall's middle radius. Rays leave the long axis
at right angles along the cylinder, and leave the cap's centre inside the cap. Each keeps its highest count (Germano et
al., J Nucl Med 1995;36:2107; maximum count sampling, J Nucl Med Technol 2006;34:3). Rings of the map are equally spaced
along the wall from the apex to the base, so that a map shows length along the wall, not depth.

Between voxels the counts are those of cubic splines. Take a wall of 12 mm full width and voxels of 6.8 mm. Linear
interpolation would lose a tenth of the maximum there wherever the wall's crest falls between two voxels.

What no sampling can give back: a wall thinner than the resolution shows fewer counts the thinner it is, and a defect is
filled by its surroundings (partial volume). A defect without any counts does not read zero.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from scipy.ndimage import map_coordinates, spline_filter

from mpi_model.errors import CohortError, ExperimentError
from orchestrator.statistics.scores import Floats

_RAY_STEP_MM: Final = 2.0
_RAY_START: Final = 0.3
"""Of the radius: nearer to the axis lies the cavity."""
_ANGLE_OF_BASE: Final = np.pi / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A short-axis volume in one form, however it was stored."""

    counts: Floats
    """`[slices, rows, columns]`: from apex to base, from anterior down to inferior, from septum right to lateral."""
    spacing: tuple[float, float, float]
    """Millimetres between slices, rows and columns; all positive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How finely a map is sampled."""

    rings: int = 24
    angles: int = 60
    size: int = 64
    """Pixels of a side of the map."""

    def check(self) -> None:
        """Refuse numbers that cannot sample a heart.

        Raises:
            ExperimentError: A number is out of its range.
        """
        ranges = (("rings", self.rings, 8, 128), ("angles", self.angles, 12, 360), ("size", self.size, 16, 1024))
        problems = [
            f"--{name} must be {low} to {high}, not {at}" for name, at, low, high in ranges if not low <= at <= high
        ]
        if problems:
            raise ExperimentError(*problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Where the left ventricle lies: millimetres from the centre of the first voxel (apical, anterior, septal)."""

    apex: float
    """Slice position of the wall's middle at the apex."""
    base: float
    """Slice position where the wall ends."""
    apex_row: float
    apex_column: float
    """Where the long axis passes at `apex`."""
    base_row: float
    base_column: float
    """Where it passes at `base`."""
    radius: float
    """Of the wall's middle."""
    search: float
    """How far from the axis a ray looks for its maximum."""

    def recorded(self) -> dict[str, float]:
        """Rounded to a tenth of a millimetre, for `import.json`."""
        return {f"{name}_mm": round(value, 1) for name, value in asdict(self).items()}


LIMITS: Final = tuple(Limits.__slots__)


def with_overrides(limits: Limits | None, supplied: Mapping[str, str], spacing: tuple[float, float, float]) -> Limits:
    """Limits, some or all of them replaced by a person's, in millimetres.

    Args:
        limits: As proposed; None where all are supplied.
        supplied: Numbers as text, by `apex_mm`, `base_mm`, … as `import.json` names them.
        spacing: Of the volume.

    Raises:
        CohortError: A value is no number, or the limits make no ventricle.
    """
    values = asdict(limits) if limits else {}
    try:
        values |= {name: float(supplied[f"{name}_mm"]) for name in LIMITS if supplied.get(f"{name}_mm")}
    except ValueError as error:
        raise CohortError("a limit of --files is no number of millimetres") from error
    changed = Limits(**values)
    if not changed.base - changed.apex > 2 * spacing[0] or not changed.search > changed.radius > 5:
        raise CohortError("the limits must have base_mm well above apex_mm and search_mm above radius_mm")
    return changed


def polar_samples(volume: Volume, limits: Limits, sampling: Sampling) -> Floats:
    """The highest count along each ray.

    Returns:
        `[rings, angles]`; ring 0 at the apex, angle 0 lateral, then counter-clockwise (anterior at a quarter).
    """
    counts, corner = _around_the_heart(volume, limits)
    origin, direction = _rays(limits, sampling)
    steps = np.arange(_RAY_START * limits.radius, limits.search + _RAY_STEP_MM, _RAY_STEP_MM)
    places = origin[..., np.newaxis] + direction[..., np.newaxis] * steps  # [3, rings, angles, steps]
    spacing = np.asarray(volume.spacing).reshape(3, 1, 1, 1)
    voxels = places / spacing - np.asarray(corner, dtype=np.float64).reshape(3, 1, 1, 1)
    # Filtered once for all rays; `nearest`, since zeros beyond the volume would ring into its edge.
    values = map_coordinates(spline_filter(counts, 3, mode="nearest"), voxels, order=3, mode="nearest", prefilter=False)
    # Cubic splines undershoot beside a hot wall; counts cannot be negative.
    return np.maximum(_crests(values), 0.0)


def _crests(values: Floats) -> Floats:
    """The maximum along the last axis, between samples by the parabola through three."""
    place = np.clip(values.argmax(axis=-1), 1, values.shape[-1] - 2)[..., np.newaxis]
    before, at, after = (np.take_along_axis(values, place + step, axis=-1)[..., 0] for step in (-1, 0, 1))
    bend = before + after - 2 * at
    # Only where the middle one is the highest does the parabola have its crest between the three.
    crest = (at >= before) & (at >= after) & (bend < 0)
    peak = at - (after - before) ** 2 / (8 * np.where(crest, bend, -np.inf))
    crests: Floats = np.maximum(peak, np.maximum(before, after))
    return crests


def _around_the_heart(volume: Volume, limits: Limits) -> tuple[Floats, tuple[int, int, int]]:
    """The part of the volume that rays can reach: a spline over the rest would be thrown away."""
    rows = sorted((limits.apex_row, limits.base_row))
    columns = sorted((limits.apex_column, limits.base_column))
    low = (limits.apex - limits.search, rows[0] - limits.search, columns[0] - limits.search)
    high = (limits.base, rows[1] + limits.search, columns[1] + limits.search)
    pairs = zip(low, high, volume.spacing, volume.counts.shape, strict=True)
    spans = [(max(int(a / step) - 4, 0), min(int(b / step) + 6, length)) for a, b, step, length in pairs]
    if any(end - start < 4 for start, end in spans):
        raise CohortError("the limits lie outside the volume; correct them in --files")
    cut = volume.counts[tuple(slice(start, end) for start, end in spans)]
    return cut, (spans[0][0], spans[1][0], spans[2][0])


def _rays(limits: Limits, sampling: Sampling) -> tuple[Floats, Floats]:
    """Origin and unit direction of each ray, `[3, rings, angles]`, in millimetres (slice, row, column)."""
    axis = np.array([limits.base - limits.apex, limits.base_row - limits.apex_row,
                     limits.base_column - limits.apex_column])  # fmt: skip
    length = float(np.hypot(np.hypot(axis[0], axis[1]), axis[2]))
    axis = axis / length
    # At least a tenth of the length stays a cylinder, however short the ventricle.
    cap = min(limits.radius, 0.9 * length)
    arc = _ANGLE_OF_BASE * cap
    along = (np.arange(sampling.rings) + 0.5) / sampling.rings * (arc + length - cap)
    polar = np.minimum(along / cap, _ANGLE_OF_BASE)  # 0 at the apex, a right angle on the cylinder
    centre = cap + np.maximum(along - arc, 0.0)  # from the apex along the axis
    turn = np.arange(sampling.angles) * (2 * np.pi / sampling.angles)
    # A right-handed frame across the axis that starts in the plane of the slices: up is anterior, right is lateral.
    right = np.array([0.0, 0.0, 1.0]) - axis[2] * axis
    right /= np.sqrt((right * right).sum())
    up = np.array([0.0, -1.0, 0.0])
    up = up - (up * axis).sum() * axis - (up * right).sum() * right
    up /= np.sqrt((up * up).sum())
    across = right[:, None] * np.cos(turn) + up[:, None] * np.sin(turn)  # [3, angles]
    direction = np.sin(polar)[None, :, None] * across[:, None, :] - np.cos(polar)[None, :, None] * axis[:, None, None]
    apex = np.array([limits.apex, limits.apex_row, limits.apex_column])
    origin = apex[:, None, None] + axis[:, None, None] * centre[None, :, None]
    return np.broadcast_to(origin, direction.shape), direction


def disc_image(samples: Floats, size: int) -> Floats:
    """Polar samples as a bull's-eye: septum left, anterior up, apex in the centre; 0 outside the disc.

    Args:
        samples: `[rings, angles]`.
        size: Pixels of a side; the disc touches the edges.

    Returns:
        `[size, size]`, linearly interpolated between rings and angles.
    """
    rings, angles = samples.shape
    along = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
    right, up = np.meshgrid(along, -along)
    radius = np.hypot(right, up)
    ring = radius * rings - 0.5
    turn = np.mod(np.arctan2(up, right), 2 * np.pi) * (angles / (2 * np.pi))
    # Inside the innermost ring the mean of the ring stands for the apex, so that no angle is favoured there.
    grid = np.vstack([np.full((1, angles), samples[0].mean()), samples, samples[-1:]])
    wrapped = np.hstack([grid, grid[:, :1]])
    inner = np.clip(2 * ring + 1, 0, 1)  # 0 in the centre, 1 on the innermost ring
    place = np.where(ring < 0, inner, ring + 1)
    image = map_coordinates(wrapped, [place, turn], order=1, mode="nearest")
    disc: Floats = np.where(radius <= 1.0, image, 0.0)
    return disc
