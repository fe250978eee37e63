"""The limits drawn over the volume: a short-axis slice and both long-axis cuts, for the sheet."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orchestrator.importers.sheet import GAP, PANEL, picture
from orchestrator.importers.short_axis import Limits, Volume
from orchestrator.statistics.scores import Floats

PANELS: Final = 3
_MARGIN_MM: Final = 18.0


def limits_panels(volume: Volume, limits: Limits) -> str:
    """Three square panels: short axis in the middle, vertical and horizontal long axis (apex left)."""
    middle = 0.5 * (limits.apex + limits.base)
    row, column = 0.5 * (limits.apex_row + limits.base_row), 0.5 * (limits.apex_column + limits.base_column)
    half = max(limits.search, 0.5 * (limits.base - limits.apex)) + _MARGIN_MM
    slices, rows, columns = volume.spacing
    at = [
        int(np.clip(round(place / step), 0, length - 1))
        for place, step, length in zip((middle, row, column), volume.spacing, volume.counts.shape, strict=True)
    ]
    rings = "".join(f'<circle cx="{column:.1f}" cy="{row:.1f}" r="{r:.1f}"/>' for r in (limits.radius, limits.search))
    panels = (
        _panel(volume.counts[at[0]], (rows, columns), (row, column), half, rings, "short axis"),
        _panel(volume.counts[:, :, at[2]].T, (rows, slices), (row, middle), half,
               _long_axis(limits, limits.apex_row, limits.base_row), "vertical long axis"),
        _panel(volume.counts[:, at[1], :].T, (columns, slices), (column, middle), half,
               _long_axis(limits, limits.apex_column, limits.base_column), "horizontal long axis"),
    )  # fmt: skip
    return "".join(
        f'<g transform="translate({(PANEL + GAP) * place:g} 0)">{panel}</g>' for place, panel in enumerate(panels)
    )


def _panel(
    cut: Floats, spacing: tuple[float, float], centre: tuple[float, float], half: float, lines: str, name: str
) -> str:
    """A cut `[down, right]` in millimetres around a centre, its lines over it."""
    spans = [
        (max(int((middle - half) / step), 0), min(int((middle + half) / step) + 2, length))
        for middle, step, length in zip(centre, spacing, cut.shape, strict=True)
    ]
    (top, bottom), (left, right) = spans
    image = picture(
        _grey_picture(cut[top:bottom, left:right]),
        x=(left - 0.5) * spacing[1],
        y=(top - 0.5) * spacing[0],
        width=(right - left) * spacing[1],
        height=(bottom - top) * spacing[0],
    )
    view = f"{centre[1] - half:.1f} {centre[0] - half:.1f} {2 * half:.1f} {2 * half:.1f}"
    return (
        f'<svg width="{PANEL:g}" height="{PANEL:g}" viewBox="{view}">{image}<g class="limits">{lines}</g></svg>'
        f'<text x="2" y="97">{name}</text>'
    )


def _long_axis(limits: Limits, at_apex: float, at_base: float) -> str:
    """The axis, the wall's middle along cylinder and cap, and the base, in a long-axis cut."""
    apex, base, radius = limits.apex, limits.base, limits.radius
    slope = (at_base - at_apex) / (base - apex)
    shoulder = at_apex + slope * radius
    walls = [
        f'<path d="M{base:.1f} {at_base + side * radius:.1f}L{apex + radius:.1f} {shoulder + side * radius:.1f}'
        f'A{radius:.1f} {radius:.1f} 0 0 {0 if side < 0 else 1} {apex:.1f} {at_apex:.1f}"/>'
        for side in (-1, 1)
    ]
    rim = f"M{base:.1f} {at_base - limits.search:.1f}V{at_base + limits.search:.1f}"
    return "".join(walls) + f'<path d="{rim}M{apex:.1f} {at_apex:.1f}L{base:.1f} {at_base:.1f}"/>'


def _grey_picture(values: NDArray[np.float64]) -> Image.Image:
    """Counts `[H, W]` as grey levels, white for the highest."""
    levels = np.clip(values, 0, None) * (255.0 / max(float(values.max()), 1e-300))
    return Image.fromarray(np.rint(levels).astype(np.uint8))
