"""Colours of a page turned back into percent by the page's own colour bar.

Every pixel inside a map's disc is projected onto the line that the bar's colours draw through CIELAB (CIE 1976, the
distances of which match visible differences). The place on the line is its percent, the distance from the line its
residual. Lines and letters drawn over the map have a residual or stand out from their surroundings: such pixels take
the value around them. Where too many colours are not on the line, the page was drawn with another palette, and the map
is refused.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, median_filter

from mpi_model.errors import CohortError
from orchestrator.importers.page_layout import ColourBar, PageMap

FOREIGN: Final = 12.0
"""CIELAB distance from which a pixel is not of the palette; JPEG of quality 85 stays below it inside a map."""
_LARGEST_MEDIAN: Final = 4.0
_MOST_FOREIGN: Final = 0.15
"""Median distance and share of foreign pixels from which a palette does not fit."""
_SHORTEST_PATH: Final = 40.0
"""CIELAB length of a bar's colours: a shorter one is a single colour, most likely a wrong box."""
_TRIMMED: Final = 1
_LINE_PIXELS: Final = 5

# sRGB to XYZ under D65 (IEC 61966-2-1), rows divided by the white point's X, Y and Z.
_TO_XYZ: Final = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
) / np.array([[0.95047], [1.0], [1.08883]])


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourReading:
    """A map read from its colours."""

    percent: NDArray[np.float64]
    """`[side, side]`, 0 to 100; 0 outside the disc."""
    residual: NDArray[np.float64]
    """`[side, side]`, CIELAB distance from the palette; 0 outside the disc."""
    median_residual: float
    foreign: float
    """Share of the disc's pixels that are not of the palette."""


def _cielab(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """8-bit sRGB `[…, 3]` as CIELAB."""
    scaled = pixels.astype(np.float64) / 255.0
    # The sRGB transfer function (IEC 61966-2-1), then CIE 1976 L*a*b*.
    linear = np.where(scaled <= 0.04045, scaled / 12.92, ((scaled + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T
    cube = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(cube, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _palette(page: NDArray[np.uint8], bar: ColourBar) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The bar's colours from low to high, `[n, 3]` in CIELAB, and their percents `[n]`.

    Raises:
        CohortError: The bar's box shows hardly any colours.
    """
    box = page[bar.top : bar.bottom, bar.left : bar.right].astype(np.float64)
    along = box if bar.high in {"top", "bottom"} else np.moveaxis(box, 1, 0)
    width = along.shape[1]
    # The middle half across the bar: its frame and its ticks are at the sides.
    colours = along[:, width // 4 : max(width - width // 4, width // 4 + 1)].mean(axis=1)
    if bar.high in {"top", "left"}:
        colours = colours[::-1]
    count = len(colours)
    percent = bar.low_percent + (bar.high_percent - bar.low_percent) * (np.arange(count) + 0.5) / count
    # The first and last row of the box are often the bar's frame.
    kept = slice(_TRIMMED, count - _TRIMMED)
    lab = _cielab(colours[kept])
    if np.sqrt((np.diff(lab, axis=0) ** 2).sum(axis=1)).sum() < _SHORTEST_PATH:
        raise CohortError("the colour bar's box of the layout shows hardly any colours; correct the layout")
    return lab, percent[kept]


def read_colours(page: NDArray[np.uint8], place: PageMap, bar: ColourBar) -> ColourReading:
    """Read one map.

    Args:
        page: `[H, W, 3]`.
        place: Where it is.
        bar: Where the page's colours are.

    Returns:
        The map as a square around its disc.

    Raises:
        CohortError: The palette does not fit.
    """
    colours, percents = _palette(page, bar)
    side = 2 * round(place.radius)
    top, left = round(place.row - side / 2), round(place.column - side / 2)
    crop = page[top : top + side, left : left + side]
    if crop.shape[:2] != (side, side):
        raise CohortError("a map of the layout does not lie on the page; correct the layout")
    along = (np.arange(side) + 0.5) * (2.0 / side) - 1.0
    inside = np.hypot(along[:, None], along[None, :]) <= 1.0
    # A map repeats its colours: each is looked up once.
    seen, which = np.unique(crop[inside], axis=0, return_inverse=True)
    found, far = _projected(_cielab(seen), colours, percents)
    values, distances = found[which.ravel()], far[which.ravel()]
    foreign = distances > FOREIGN
    # The rim is half background by its nature; it does not speak against a palette.
    core = (np.hypot(along[:, None], along[None, :]) <= 0.95)[inside]
    median, share = float(np.median(distances[core])), float(foreign[core].mean())
    if median > _LARGEST_MEDIAN or share > _MOST_FOREIGN:
        raise CohortError(
            f"the colours do not fit the page's colour bar (median distance {median:.1f}, {share:.0%} foreign); "
            "another palette, or the layout is of another page"
        )
    percent, residual = np.zeros((side, side)), np.zeros((side, side))
    percent[inside], residual[inside] = values, distances
    trusted = inside.copy()
    trusted[inside] = ~foreign
    return ColourReading(
        percent=_interpolated(percent, trusted, inside), residual=residual, median_residual=median, foreign=share
    )


def _projected(
    colours: NDArray[np.float64], line: NDArray[np.float64], percents: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percent and distance of each colour's nearest point on the palette's line."""
    # The nearest vertex first, then the two segments at it: exact where the line does not fold back on itself.
    squares = (colours**2).sum(axis=1)[:, None] + (line**2).sum(axis=1) - 2 * colours @ line.T
    nearest = squares.argmin(axis=1)
    best_percent, best_square = percents[nearest], np.full(len(colours), np.inf)
    for start in (np.maximum(nearest - 1, 0), np.minimum(nearest, len(line) - 2)):
        step = line[start + 1] - line[start]
        length = np.maximum((step**2).sum(axis=1), 1e-12)
        part = np.clip(((colours - line[start]) * step).sum(axis=1) / length, 0.0, 1.0)
        square = ((colours - line[start] - part[:, None] * step) ** 2).sum(axis=1)
        closer = square < best_square
        best_square = np.where(closer, square, best_square)
        best_percent = np.where(closer, percents[start] + part * (percents[start + 1] - percents[start]), best_percent)
    return best_percent, np.sqrt(best_square)


def _interpolated(
    percent: NDArray[np.float64], trusted: NDArray[np.bool_], inside: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Foreign pixels take the nearest trusted value, thin lines what is around them."""
    nearest = distance_transform_edt(~trusted, return_distances=False, return_indices=True)
    filled = percent[tuple(nearest)]
    smooth = median_filter(filled, _LINE_PIXELS, mode="nearest")
    interpolated: NDArray[np.float64] = np.where(inside, np.clip(smooth, 0.0, 100.0), 0.0)
    return interpolated
