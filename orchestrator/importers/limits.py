"""A proposal for the limits of the left ventricle in a short-axis volume; a person looks at it on the sheet.

1. The seed: the place where a ring of counts with a cold middle fits best, over a slab of slices.
2. The axis: circles fitted to the radial maxima of each slice, then a straight line through their centres.
3. The ends: where the counts of the wall, followed slice by slice, fall to half of what they are in the middle. At the
   apex the crest of the counts along the axis is taken where there is one. The base is set `_BASE_INSET_MM` inside,
   where the wall is still seen whole.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter, map_coordinates, uniform_filter1d

from mpi_model.errors import CohortError
from orchestrator.importers.short_axis import Limits, Volume
from orchestrator.statistics.scores import Floats

_RADII_MM: Final = (18.0, 22.0, 26.0, 30.0, 35.0, 41.0)
"""Of the wall's middle, tried for the seed."""
_SLAB_MM: Final = 30.0
_CENTRE_MM: Final = 60.0
"""Standard deviation of where hearts are expected around the middle of the slices."""
_BASE_INSET_MM: Final = 5.0
_EDGE_TO_CREST_MM: Final = 8.0
"""From where counts have halved to the middle of the wall: half of what a wall of 10 mm shows at 12 mm resolution."""
_LEAST_CONTRAST: Final = 0.85
"""Of what lies inside and outside the wall to the wall, above which it is no ventricle."""
_SEARCH_BEYOND_MM: Final = 12.0
_ANGLES: Final = 36
_COARSEST_MM: Final = 5.0


def proposed_limits(volume: Volume) -> Limits:
    """Find the left ventricle.

    Raises:
        CohortError: Nothing in the volume looks like one.
    """
    # 4 mm full width at half maximum (2.355 standard deviations): less noise, hardly less resolution.
    smooth = gaussian_filter(volume.counts, [4.0 / step / 2.355 for step in volume.spacing], mode="nearest")
    middle, centre, radius = _seed(smooth, volume.spacing)
    finder = _Finder(smooth, volume.spacing)
    # Each fit starts from the last centre: radial maxima are better around a better centre.
    for _ in range(3):
        centre, radius = finder.circle(middle, centre, radius)
    start, end = finder.ends(middle, (centre, (0.0, 0.0)), radius)
    axis, radius = finder.axis(start, end, middle, centre, radius)
    middle = 0.5 * (start + end)
    start, end = finder.ends(middle, axis, radius)
    # A left ventricle is longer than its radius; what lies beside it may look like a ring in a few slices.
    if end - start < 1.2 * radius:
        raise CohortError("no left ventricle was found; give its limits in --files, or leave the file out")
    if finder.contrast(middle, axis, radius) > _LEAST_CONTRAST:
        raise CohortError("no left ventricle was found; give its limits in --files, or leave the file out")
    apex = finder.apex(start, axis, radius, middle)
    base = end - _BASE_INSET_MM
    (row, column), (row_slope, column_slope) = axis
    return Limits(
        apex=apex,
        base=base,
        apex_row=row + row_slope * apex,
        apex_column=column + column_slope * apex,
        base_row=row + row_slope * base,
        base_column=column + column_slope * base,
        radius=radius,
        search=radius + _SEARCH_BEYOND_MM,
    )


_Pair = tuple[float, float]
_Axis = tuple[_Pair, _Pair]
"""Row and column at slice position 0, and their change per millimetre."""


def _seed(counts: Floats, spacing: tuple[float, float, float]) -> tuple[float, _Pair, float]:
    """Slice position, centre and radius where a ring fits best."""
    steps = [max(1, int(_COARSEST_MM / step)) for step in spacing]
    cut = counts[tuple(slice(0, length - length % step) for length, step in zip(counts.shape, steps, strict=True))]
    blocks = [part for length, step in zip(cut.shape, steps, strict=True) for part in (length // step, step)]
    coarse = cut.reshape(blocks).mean(axis=(1, 3, 5))
    sizes = [step * factor for step, factor in zip(spacing, steps, strict=True)]
    slab = uniform_filter1d(coarse, max(1, round(_SLAB_MM / sizes[0])), axis=0, mode="nearest")
    rows, columns = slab.shape[1:]
    # Correlation with a ring of every radius at every place: by Fourier transform, since the kernel is large.
    spectrum = rfft2(slab)
    y = (np.fft.fftfreq(rows) * rows * sizes[1])[:, None]
    x = (np.fft.fftfreq(columns) * columns * sizes[2])[None, :]
    away_y = ((np.arange(rows) - 0.5 * (rows - 1)) * sizes[1])[:, None]
    away_x = ((np.arange(columns) - 0.5 * (columns - 1)) * sizes[2])[None, :]
    expected = np.exp(-0.5 * (away_y**2 + away_x**2) / _CENTRE_MM**2)
    best, found = -np.inf, (0, 0, 0, _RADII_MM[0])
    for radius in _RADII_MM:
        score = irfft2(spectrum * rfft2(_ring(np.hypot(y, x), radius)), s=(rows, columns)) * expected
        place = int(score.argmax())
        if score.flat[place] > best:
            at = np.unravel_index(place, score.shape)
            best, found = float(score.flat[place]), (int(at[0]), int(at[1]), int(at[2]), radius)
    if not best > 0:
        raise CohortError("no left ventricle was found; give its limits in --files, or leave the file out")
    slice_, row, column, radius = found
    centred = [(index + 0.5) * size - 0.5 * step for index, size, step in
               zip((slice_, row, column), sizes, spacing, strict=True)]  # fmt: skip
    return centred[0], (centred[1], centred[2]), radius


def _ring(distance: Floats, radius: float) -> Floats:
    """A ring of weight 1, its cold middle, and a fainter surrounding: what a left ventricle looks like in a slice."""
    ring = np.exp(-0.5 * ((distance - radius) / 5.0) ** 2)
    inside = np.exp(-0.5 * (distance / (0.45 * radius)) ** 2)
    outside = np.exp(-0.5 * ((distance - radius - 20.0) / 6.0) ** 2)
    # Weights sum to zero, so that a uniform surrounding scores nothing.
    kernel: Floats = ring / ring.sum() - 0.7 * inside / inside.sum() - 0.3 * outside / outside.sum()
    return kernel


class _Finder:
    """Measurements around an axis in one smoothed volume."""

    def __init__(self, counts: Floats, spacing: tuple[float, float, float]) -> None:
        self.counts = counts
        self.spacing = spacing
        turn = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
        self.down, self.right = -np.sin(turn), np.cos(turn)

    def profiles(self, position: float, centre: _Pair, radii: NDArray[np.float64]) -> Floats:
        """Counts `[angles, radii]` around a centre in the slice at a position, all in millimetres."""
        rows = (centre[0] + self.down[:, None] * radii) / self.spacing[1]
        columns = (centre[1] + self.right[:, None] * radii) / self.spacing[2]
        slices = np.full_like(rows, position / self.spacing[0])
        values: Floats = map_coordinates(self.counts, [slices, rows, columns], order=1, mode="constant")
        return values

    def circle(self, position: float, centre: _Pair, radius: float) -> tuple[_Pair, float]:
        """The circle through the wall's crest around a rough centre, weighted by counts (least squares, Kåsa)."""
        radii = np.arange(max(0.4 * radius, 8.0), radius + 14.0, 2.0)
        values = self.profiles(position, centre, radii)
        # The middle of the wall as a mean weighted by the counts near the crest, less shaken by noise than the crest.
        crest = values.max(axis=1, keepdims=True)
        weights = np.clip(values - 0.7 * crest, 0.0, None)
        distance = (weights * radii).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-300)
        hot = crest[:, 0] / max(float(crest.max()), 1e-300)
        y, x = self.down * distance, self.right * distance
        for _ in range(2):
            # Hot and near the median distance: a defect or the right ventricle pulls the circle less.
            trust = hot**2 * np.exp(-0.5 * ((distance - np.median(distance)) / 8.0) ** 2)
            design = np.stack([2 * y, 2 * x, np.ones_like(y)], axis=1)
            solution = np.linalg.lstsq(design * trust[:, None], (y * y + x * x) * trust, rcond=None)[0]
            fitted = float(np.sqrt(max(solution[2] + solution[0] ** 2 + solution[1] ** 2, 1.0)))
            off = np.hypot(y - solution[0], x - solution[1]) - fitted
            hot = hot * np.exp(-0.5 * (off / 6.0) ** 2)
        shift = np.clip(solution[:2], -10.0, 10.0)
        return (centre[0] + float(shift[0]), centre[1] + float(shift[1])), float(np.clip(fitted, 14.0, 48.0))

    def wall(self, position: float, axis: _Axis, radius: float) -> float:
        """The wall's counts in a slice: high enough to miss a defect, low enough to miss a hot spot."""
        values = self.profiles(position, _at(axis, position), np.arange(0.0, radius + 9.0, 3.0))
        return float(np.percentile(values.max(axis=1), 70))

    def contrast(self, middle: float, axis: _Axis, radius: float) -> float:
        """Counts in the cavity and outside the wall over those of the wall."""
        values = self.profiles(middle, _at(axis, middle), np.array([0.0, 3.0, radius + 20.0, radius + 24.0]))
        around = 0.5 * (float(np.median(values[:, :2])) + float(np.median(values[:, 2:])))
        return around / max(self.wall(middle, axis, radius), 1e-300)

    def ends(self, middle: float, axis: _Axis, radius: float) -> _Pair:
        """Where the wall's counts halve, towards the apex and towards the base."""
        step = self.spacing[0]
        positions = np.arange(len(self.counts), dtype=np.float64) * step
        walls = np.array([self.wall(position, axis, radius) for position in positions])
        at = int(np.clip(round(middle / step), 0, len(walls) - 1))
        around = walls[max(at - 2, 0) : at + 3]
        # The median of five slices around the middle: one slice with a hot spot does not move the ends.
        half = 0.5 * float(np.median(around))
        return _crossing(positions, walls, at, half, -1), _crossing(positions, walls, at, half, 1)

    def axis(self, start: float, end: float, middle: float, centre: _Pair, radius: float) -> tuple[_Axis, float]:
        """A straight line through the centres of the slices that cross the cylinder, and the radius."""
        positions = np.arange(len(self.counts)) * self.spacing[0]
        inside = positions[(positions > start + radius) & (positions < end - 8.0)]
        if len(inside) < 3:
            return (centre, (0.0, 0.0)), radius
        fits = [self.circle(position, *self.circle(position, centre, radius)) for position in inside]
        rows, columns = (np.array([fit[0][which] for fit in fits]) for which in (0, 1))
        lines = [np.polynomial.polynomial.polyfit(inside - middle, values, 1) for values in (rows, columns)]
        # Axes of reoriented volumes are nearly straight: a slope that a few slices suggest is shrunk.
        shrink = min(1.0, float(inside[-1] - inside[0]) / 40.0)
        slopes = [float(np.clip(line[1] * shrink, -0.3, 0.3)) for line in lines]
        starts = [float(line[0]) - slope * middle for line, slope in zip(lines, slopes, strict=True)]
        radii = float(np.median([fit[1] for fit in fits]))
        return ((starts[0], starts[1]), (slopes[0], slopes[1])), radii

    def apex(self, start: float, axis: _Axis, radius: float, middle: float) -> float:
        """The crest of the counts along the axis, or a set distance inside the edge where the apex is a defect."""
        step = self.spacing[0]
        first = int(np.floor(start / step))
        positions = np.arange(first - 1, first + 3 + int(24.0 / step)) * step
        near = np.arange(0.0, 8.0, 2.0)
        along = np.array([self.profiles(position, _at(axis, position), near).mean() for position in positions])
        crest = int(along.argmax())
        if 0 < crest < len(along) - 1 and along[crest] > 0.55 * self.wall(middle, axis, radius):
            # A blurred wall is nearly Gaussian: a parabola through the logarithms finds its crest between slices.
            before, at, after = np.log(np.maximum(along[crest - 1 : crest + 2], 1e-300))
            return float(positions[crest] + 0.5 * step * (before - after) / min(before + after - 2 * at, -1e-9))
        return start + _EDGE_TO_CREST_MM


def _at(axis: _Axis, position: float) -> _Pair:
    (row, column), (row_slope, column_slope) = axis
    return row + row_slope * position, column + column_slope * position


def _crossing(positions: Floats, walls: Floats, start: int, half: float, step: int) -> float:
    """Where the values fall below `half` on the way from `start`, between two slices; the volume's end if nowhere."""
    place = start
    while 0 <= place + step < len(walls):
        here, there = walls[place], walls[place + step]
        if there < half:
            part = (here - half) / max(here - there, 1e-300)
            return float(positions[place] + part * (positions[place + step] - positions[place]))
        place += step
    return float(positions[place])
