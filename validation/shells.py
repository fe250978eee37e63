"""Analytic left ventricles as short-axis volumes: a wall of known shape with a known defect, blurred and counted.

The wall is a cylinder with a hemispherical cap (or half an ellipsoid), ten millimetres thick; a defect is a range of
angles and of lengths along the wall with less uptake. The volume is made on a fine grid, blurred by the resolution
(Gaussian) and averaged onto the voxels; counts are Poisson numbers smoothed like a reconstruction. Everything is in the
one form that `Volume` describes; `short_axis_dicom` stores it in the many forms in which it comes.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from orchestrator.importers.short_axis import Volume

Floats = NDArray[np.float64]
FINE_MM = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """Less uptake in a part of the wall."""

    angle: float = 0.0
    """Degrees counter-clockwise from lateral: anterior is 90."""
    width: float = 0.0
    """Degrees."""
    inner: float = 0.3
    outer: float = 0.9
    """From the apex, as part of the way along the wall's middle to the base."""
    depth: float = 0.5
    """Part of the uptake that is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """A left ventricle and how it is imaged."""

    radius: float = 26.0
    """Millimetres to the wall's middle."""
    length: float = 80.0
    """Millimetres along the axis from the wall's middle at the apex to the base."""
    wall: float = 10.0
    ellipsoid: bool = False
    defect: Defect = field(default_factory=Defect)
    fwhm: float = 12.0
    """Millimetres."""
    peak: float = 200.0
    """Expected counts of the hottest voxel; 0 for no noise."""
    spacing: tuple[float, float, float] = (6.4, 6.4, 6.4)
    shape: tuple[int, int, int] = (24, 40, 40)
    offset: tuple[float, float] = (0.0, 0.0)
    """Millimetres by which the axis lies lower and more to the right than the middle of the slices."""
    tilt: tuple[float, float] = (0.0, 0.0)
    """Degrees by which the base lies lower and more to the right than the apex."""
    liver: float = 0.0
    """Uptake of a sphere of 35 mm below the inferior wall, in parts of the wall's."""
    seed: int = 0


def arc_length(shell: Shell) -> float:
    """Millimetres along the wall's middle from apex to base (cylinder and cap)."""
    return float(np.pi / 2 * shell.radius + shell.length - shell.radius)


def defect_extent(defect: Defect) -> float:
    """Percent of a polar map's area that a defect covers."""
    return float(100.0 * defect.width / 360.0 * (defect.outer**2 - defect.inner**2))


def shell_volume(shell: Shell) -> Volume:
    """The volume that a camera shows of a shell; whole counts, as they are stored."""
    factors = tuple(max(1, round(step / FINE_MM)) for step in shell.spacing)
    fine = np.array([step / factor for step, factor in zip(shell.spacing, factors, strict=True)])
    shape = tuple(length * factor for length, factor in zip(shell.shape, factors, strict=True))
    axes = [
        (np.arange(length) + 0.5) * step - 0.5 * coarse
        for length, step, coarse in zip(shape, fine, shell.spacing, strict=True)
    ]
    uptake = _uptake(shell, *np.meshgrid(*axes, indexing="ij", sparse=True))
    sigma = shell.fwhm / np.sqrt(8 * np.log(2))
    seen = gaussian_filter(uptake, sigma / fine, mode="nearest", truncate=3.5)
    for axis, factor in enumerate(factors):
        seen = np.add.reduceat(seen, np.arange(0, seen.shape[axis], factor), axis=axis) / factor
    return Volume(counts=_counted(seen, shell), spacing=shell.spacing)


def apex_of(shell: Shell) -> tuple[float, float, float]:
    """Millimetres (slice, row, column) of the wall's middle at the apex."""
    middle = [0.5 * (length - 1) * step for length, step in zip(shell.shape, shell.spacing, strict=True)]
    return middle[0] - 0.5 * shell.length, middle[1] + shell.offset[0], middle[2] + shell.offset[1]


def _uptake(shell: Shell, slices: Floats, rows: Floats, columns: Floats) -> Floats:
    apex = apex_of(shell)
    tilt = np.tan(np.radians(shell.tilt))
    along = slices - apex[0]
    down = rows - apex[1] - tilt[0] * (along - 0.5 * shell.length)
    right = columns - apex[2] - tilt[1] * (along - 0.5 * shell.length)
    across = np.hypot(down, right)
    angle = np.degrees(np.arctan2(-down, right))
    if shell.ellipsoid:
        from_base = shell.length - along
        polar = np.arctan2(across / shell.radius, from_base / shell.length)  # 0 at the apex
        level = np.hypot(across / shell.radius, from_base / shell.length)
        distance = (level - 1) * np.hypot(shell.radius * np.sin(polar), shell.length * np.cos(polar))
        place = polar / (np.pi / 2)
    else:
        cap = np.maximum(shell.radius - along, 0.0)
        distance = np.hypot(across, cap) - shell.radius
        arc = np.pi / 2 * shell.radius
        way = np.where(along < shell.radius, shell.radius * np.arctan2(across, cap), arc + along - shell.radius)
        place = way / arc_length(shell)
    wall = np.clip(0.5 * shell.wall - np.abs(distance) + 0.5, 0, 1) * (along <= shell.length)
    defect = shell.defect
    inside = np.abs(np.mod(angle - defect.angle + 180, 360) - 180) <= defect.width / 2
    inside = inside & (place >= defect.inner) & (place <= defect.outer)
    uptake = wall * np.where(inside, 1 - defect.depth, 1.0)
    if shell.liver:
        far = np.sqrt((along - 0.6 * shell.length) ** 2 + (down - shell.radius - 55) ** 2 + (right + 20) ** 2)
        uptake = np.maximum(uptake, shell.liver * (far <= 35))
    return np.asarray(uptake)


def _counted(seen: Floats, shell: Shell) -> Floats:
    if not shell.peak:
        return np.asarray(np.rint(seen * (20000 / seen.max())))
    # A body gives a background of a tenth; the reconstruction's filter correlates the noise over a voxel.
    random = np.random.default_rng(shell.seed)
    expected = shell.peak * (0.92 * seen / seen.max() + 0.08)
    noise = gaussian_filter(random.normal(size=expected.shape), 0.7)
    noise *= np.sqrt(expected) / noise.std()
    return np.asarray(np.rint(np.maximum(expected + noise, 0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredDefect:
    """What a polar map shows of a defect."""

    angle: float
    """Degrees, of the centre of what is missing."""
    extent: float
    """Percent of the map in the largest region below half of the defect's depth, where a blurred border lies."""
    depth: float
    """Part of the counts that is missing at its deepest."""


def measured_defect(image: NDArray[np.generic]) -> MeasuredDefect:
    """Read a single defect from a map `[size, size]`."""
    size = len(image)
    along = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
    right, up = np.meshgrid(along, -along)
    disc = np.hypot(right, up) < 1.0
    values = np.asarray(image, dtype=np.float64)[disc]
    normal = np.percentile(values, 75)
    missing = np.clip(1 - values / normal, 0, None)
    depth = float(np.percentile(missing, 98))
    below = np.zeros((size, size), dtype=np.int64)
    below[disc] = missing > 0.5 * depth
    # The largest connected region, as a reader sees one defect and specks of noise beside it.
    regions, _ = label(below)
    cold = (regions == np.bincount(regions.ravel())[1:].argmax() + 1)[disc]
    weight = np.where(cold, missing, 0.0)
    turn = np.arctan2(up[disc], right[disc])
    angle = np.degrees(np.arctan2((weight * np.sin(turn)).sum(), (weight * np.cos(turn)).sum()))
    return MeasuredDefect(angle=float(angle % 360), extent=float(100 * cold.mean()), depth=depth)
