"""Result pages in the style of vendors' programs, drawn by us: no vendor's page, palette or layout is copied.

`examples/pages/columns.toml` and `rows.toml` are the layouts of the two styles.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Floats = NDArray[np.float64]
Colours = tuple[tuple[float, tuple[int, int, int]], ...]

WARM: Final[Colours] = (
    (0, (0, 0, 0)), (20, (40, 0, 90)), (40, (160, 10, 80)), (60, (230, 80, 10)), (80, (250, 190, 20)),
    (100, (255, 255, 235)),
)  # fmt: skip
COOL: Final[Colours] = (
    (0, (5, 5, 30)), (25, (0, 40, 200)), (45, (0, 190, 200)), (60, (30, 180, 30)), (75, (240, 230, 0)),
    (90, (240, 60, 0)), (100, (255, 255, 255)),
)  # fmt: skip
GREY: Final[Colours] = ((0, (0, 0, 0)), (100, (255, 255, 255)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a page looks; the numbers of its layout file."""

    size: tuple[int, int]
    background: tuple[int, int, int]
    colours: Colours
    stress: tuple[int, int]
    rest: tuple[int, int]
    radius: int
    bar: tuple[int, int, int, int]
    upright: bool
    """Whether the bar stands, its high end on top; else it lies, its high end on the right."""


COLUMNS: Final = Style(
    size=(900, 640), background=(0, 0, 0), colours=WARM, stress=(220, 330), rest=(560, 330), radius=140,
    bar=(780, 140, 804, 520), upright=True,
)  # fmt: skip
ROWS: Final = Style(
    size=(640, 900), background=(40, 44, 60), colours=COOL, stress=(320, 260), rest=(320, 580), radius=130,
    bar=(120, 780, 520, 800), upright=False,
)  # fmt: skip


def coloured(percent: NDArray[np.floating[Any]], colours: Colours) -> NDArray[np.uint8]:
    """Percent as colours, `[…, 3]`."""
    places = [place for place, _ in colours]
    channels = [np.interp(percent, places, [colour[channel] for _, colour in colours]) for channel in range(3)]
    colours_of: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colours_of


def smooth_map(side: int, seed: int) -> Floats:
    """A made-up map of percent, `[side, side]`, 100 at its highest place in the disc."""
    along = (np.arange(side) + 0.5) * (2.0 / side) - 1.0
    right, up = np.meshgrid(along, -along)
    random = np.random.default_rng(seed)
    field = np.full((side, side), 88.0)
    for depth in (55.0, 25.0, 12.0):
        x, y = random.uniform(-0.7, 0.7, 2)
        field -= depth * np.exp(-0.5 * ((right - x) ** 2 + (up - y) ** 2) / 0.22**2)
    disc = np.hypot(right, up) <= 1
    field = np.clip(field, 4, None)
    return np.asarray(np.where(disc, field * (100 / field[disc].max()), 0.0))


def draw_page(
    style: Style,
    stress: Floats,
    rest: Floats,
    *,
    name: str = "DOE^JANE  1948-02-11  MRN 00451",
    lines: bool = True,
    colours: Colours | None = None,
) -> Image.Image:
    """One page.

    Args:
        style: Its look.
        stress: `[2 radius, 2 radius]`, percent.
        rest: Likewise.
        name: Burned in around the maps, as programs do.
        lines: Whether the segments' borders are drawn over the maps.
        colours: Of the maps, where they are not those of the bar.
    """
    page = Image.new("RGB", style.size, style.background)
    draw = ImageDraw.Draw(page)
    for place, (column, row) in enumerate((style.stress, style.rest)):
        left, top = column - style.radius, row - style.radius
        disc = Image.new("L", (2 * style.radius,) * 2, 0)
        ImageDraw.Draw(disc).ellipse((0, 0, 2 * style.radius - 1, 2 * style.radius - 1), fill=255)
        picture = coloured((stress, rest)[place], colours or style.colours)
        page.paste(Image.fromarray(picture), (left, top), disc)
        if lines:
            _draw_lines(draw, column, row, style.radius)
        draw.text((left, top - 20), ("Stress", "Rest")[place], fill=(230, 230, 230))
        # In the corner of the square around the disc: inside a careless crop, outside the disc.
        draw.text((left, top + 2), name[:8], fill=(255, 255, 255))
    _draw_bar(page, style)
    draw.text((20, 16), name, fill=(255, 255, 255))
    draw.text((20, style.size[1] - 30), f"Drawn for tests: no vendor's page. {name}", fill=(180, 180, 180))
    return page


def _draw_bar(page: Image.Image, style: Style) -> None:
    left, top, right, bottom = style.bar
    length = bottom - top if style.upright else right - left
    ramp = coloured((np.arange(length) + 0.5) * (100.0 / length), style.colours)
    bar = (
        np.repeat(ramp[::-1, None], right - left, axis=1)
        if style.upright
        else np.repeat(ramp[None], bottom - top, axis=0)
    )
    page.paste(Image.fromarray(bar), (left, top))
    ImageDraw.Draw(page).rectangle((left - 1, top - 1, right, bottom), outline=(200, 200, 200))


def _draw_lines(draw: ImageDraw.ImageDraw, column: int, row: int, radius: int) -> None:
    for part in (0.2, 7 / 15, 11 / 15):
        r = part * radius
        draw.ellipse((column - r, row - r, column + r, row + r), outline=(255, 255, 255))
    spokes = [(turn, 7 / 15, 1.0) for turn in range(0, 360, 60)] + [(turn, 0.2, 7 / 15) for turn in range(45, 360, 90)]
    for turn, inner, outer in spokes:
        x, y = np.cos(np.radians(turn)) * radius, -np.sin(np.radians(turn)) * radius
        draw.line((column + inner * x, row + inner * y, column + outer * x, row + outer * y), fill=(255, 255, 255))
