"""The sheet: every exam of an import on one page, to look through quickly before anything is trained.

`sheet.html` shows pictures of the folder `sheet/`, one SVG a map: the map in colour with its segments, and beside it
where it was taken from. It names exams by their manifest row and files by number, and holds nothing else of a
patient. Pictures load as the reader scrolls; a page of a thousand exams stays light.
"""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orchestrator.cohort.segments import SEGMENTS_17

PANEL: Final = 100.0
"""Side of a square panel in SVG units."""
GAP: Final = 6.0
_LONGEST_SIDE: Final = 160
"""Pixels of a map's picture."""

_ANCHORS: Final = (
    (0.0, (0, 0, 0)), (0.15, (30, 10, 110)), (0.3, (20, 60, 200)), (0.45, (0, 150, 140)), (0.6, (90, 190, 40)),
    (0.75, (240, 210, 0)), (0.9, (235, 70, 20)), (1.0, (255, 255, 255)),
)  # fmt: skip


def _table() -> NDArray[np.uint8]:
    along, places = np.linspace(0, 1, 256), [place for place, _ in _ANCHORS]
    channels = [np.interp(along, places, [colour[channel] for _, colour in _ANCHORS]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def _map_panel(pixels: NDArray[Any]) -> str:
    """A map in colour with the lines of the 17 segments, at the origin."""
    lines = "".join(_segment_lines())
    half = PANEL / 2
    return (
        f"{picture(_shown(pixels))}"
        f'<g transform="translate({half} {half}) scale({half} {-half})" class="lines">{lines}</g>'
    )


def _shown(pixels: NDArray[Any]) -> Image.Image:
    """A map as a picture; grey becomes colour, 8 bits as they are, counts in percent of their maximum."""
    # Every n-th pixel: the sheet is looked at, not measured.
    step = max(1, math.ceil(max(pixels.shape[:2]) / _LONGEST_SIDE))
    seen = pixels[::step, ::step].astype(np.float64)
    if pixels.dtype != np.uint8:
        seen *= 255.0 / max(float(seen.max()), 1e-300)
    levels = np.rint(np.clip(seen, 0, 255)).astype(np.uint8)
    return Image.fromarray(_table()[levels] if levels.ndim == 2 else levels)


def picture(image: Image.Image, *, x: float = 0.0, y: float = 0.0, width: float = PANEL, height: float = PANEL) -> str:
    """An SVG image element; the pixels travel inside it."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<image x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{data}"/>'
    )


def _segment_lines() -> list[str]:
    rings = sorted({segment.outer for segment in SEGMENTS_17})
    circles = [f'<circle r="{radius:g}"/>' for radius in rings]
    spokes = []
    for segment in SEGMENTS_17[:-1]:
        turn = math.radians(segment.start)
        x, y = math.cos(turn), math.sin(turn)
        spokes.append(
            f'<path d="M{segment.inner * x:.3f} {segment.inner * y:.3f}'
            f'L{segment.outer * x:.3f} {segment.outer * y:.3f}"/>'
        )
    return circles + spokes


_LINES: Final = (
    ".lines *{fill:none;stroke:#fff;stroke-width:.008;stroke-opacity:.6}"
    ".limits *{fill:none;stroke:#3f6;stroke-width:.7}"
    "text{font:7px sans-serif;fill:#fff}"
)


def map_drawing(pixels: NDArray[Any], beside: str, panels: int) -> str:
    """One map's SVG file: the map `[side, side]`, and `beside` it the panels of where it was taken from."""
    width = PANEL * (1 + panels) + GAP * panels
    shift = f'<g transform="translate({PANEL + GAP:g} 0)">{beside}</g>' if beside else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {PANEL:g}" '
        f'width="{2 * width:g}" height="{2 * PANEL:g}"><style>{_LINES}</style>'
        f'<rect width="100%" height="100%" fill="#111"/>{_map_panel(pixels)}{shift}</svg>\n'
    )


_STYLE: Final = """
body{font:14px/1.4 system-ui,sans-serif;background:#181818;color:#ddd;margin:1.5em}
h1{font-size:1.3em}p,li{max-width:60em}
.exam{display:grid;grid-template-columns:9em 1fr;border-top:1px solid #444;padding:.6em 0}
.maps{display:flex;flex-wrap:wrap;gap:.6em 1.2em}
.exam h2{font-size:1em;margin:0}.exam h2 small{display:block;font-weight:normal;color:#aaa}
figure{margin:0}figure img{height:9.5em;display:block;background:#111}
figcaption{color:#aaa;font-size:12px;max-width:48em}
"""


def exam_html(row: int, facts: Sequence[str], maps: Mapping[str, tuple[str, str]]) -> str:
    """One exam: its manifest row, a few facts, and for each phase a picture's path and caption."""
    figures = "".join(
        # Loaded as the reader scrolls, so that a page of a thousand exams opens quickly.
        f'<figure><img src="{html.escape(path)}" alt="{phase} map of row {row}" loading="lazy">'
        f"<figcaption>{phase} · {html.escape(caption)}</figcaption></figure>"
        for phase, (path, caption) in maps.items()
    )
    small = "".join(f"<small>{html.escape(fact)}</small>" for fact in facts)
    return f'<section class="exam" id="row{row}"><h2>row {row}{small}</h2><div class="maps">{figures}</div></section>\n'


def sheet_html(title: str, notes: Sequence[str], exams: Sequence[str]) -> str:
    """The whole sheet."""
    listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>"
        "<p>Septum left, anterior up, the apex in the centre, the base at the rim. Black is no counts, white the "
        f"map's maximum (of 8-bit maps: 100 percent).</p><ul>{listed}</ul>\n{''.join(exams)}</body></html>\n"
    )
