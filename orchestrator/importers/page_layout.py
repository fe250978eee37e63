"""A layout file: where on a program's result page the maps and the colour bar lie.

program = "name of the program"       # for import.json
version = "its version"
page = [1024, 768]                    # width and height in pixels; pages of another size are refused

[colour_bar]
box = [960, 100, 980, 600]            # left, top, right, bottom; right and bottom not included
high = "top"                          # the end with the higher percent: top, bottom, left or right
percent = [0, 100]                    # at the low end and at the high end

[[map]]
phase = "stress"                      # or rest
centre = [250, 300]                   # of the disc, column and row
radius = 120                          # to the disc's edge
# tracer = "Tc-99m"                   # where the program draws it in a fixed place
# frame = 1                           # of a multi-frame DICOM page
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from mpi_model.errors import ExperimentError
from mpi_model.vocabulary import Phase, Tracer
from orchestrator.cohort.spellings import tracer_of
from orchestrator.importers.supplied_facts import phase_of
from search_spaces.toml_text import read_toml_file

_SMALLEST_RADIUS: Final = 16
_SHORTEST_BAR: Final = 32
"""Pixels: a shorter bar has too few colours to read a percent from."""
_ENDS: Final[tuple[Literal["top", "bottom", "left", "right"], ...]] = ("top", "bottom", "left", "right")
_KEYS: Final = {
    "": {"program", "version", "page", "colour_bar", "map"},
    "colour_bar": {"box", "high", "percent"},
    "map": {"phase", "centre", "radius", "tracer", "frame"},
}


_TEXTS: Final = frozenset({"program", "version", "tracer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourBar:
    """Where the colours are, and what they mean."""

    left: int
    top: int
    right: int
    bottom: int
    high: Literal["top", "bottom", "left", "right"]
    low_percent: float
    high_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PageMap:
    """Where one map is."""

    phase: Phase
    tracer: Tracer | None
    column: float
    row: float
    radius: float
    frame: int
    """1-based."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLayout:
    """What lies where on a page."""

    program: str
    version: str
    width: int
    height: int
    bar: ColourBar
    maps: tuple[PageMap, ...]


def read_layout(path: Path) -> PageLayout:
    """Read a layout file.

    Raises:
        ExperimentError: It is missing, no TOML, or something in it is missing, unknown or off the page; all at once.
    """
    try:
        content = read_toml_file(path)
    except OSError as error:
        raise ExperimentError(f"cannot read the layout {path} ({error.strerror}); name a layout file") from error
    except ValueError as error:
        raise ExperimentError(f"the layout {path} is no TOML: {error}") from error
    problems: list[str] = []
    bar, maps = content.get("colour_bar"), content.get("map")
    bar = bar if isinstance(bar, dict) else {}
    maps = [each for each in maps if isinstance(each, dict)] if isinstance(maps, list) else []
    for place, table in (("", content), ("colour_bar", bar), *(("map", each) for each in maps)):
        problems += [
            f"the layout's {key} must be a text, but is {type(value).__name__}"
            for key, value in table.items()
            if key in _TEXTS and not isinstance(value, str)
        ]
        problems += [f"the layout knows no {place or 'top-level'} key {key!r}" for key in table.keys() - _KEYS[place]]
    size = _numbers(content.get("page"), 2)
    if size is None or not all(16 <= side <= 8192 and side == int(side) for side in size):
        problems.append("the layout needs page = [width, height] in pixels")
        # Large enough that a wrong page size does not make every other coordinate wrong too.
        size = [8192.0, 8192.0]
    layout = PageLayout(
        program=str(content.get("program", "")),
        version=str(content.get("version", "")),
        width=int(size[0]),
        height=int(size[1]),
        bar=_bar(bar, size, problems),
        maps=tuple(_map(each, number, size, problems) for number, each in enumerate(maps, start=1)),
    )
    if not layout.maps:
        problems.append("the layout names no [[map]]")
    if len({(each.phase, each.tracer) for each in layout.maps}) < len(layout.maps):
        problems.append("the layout has two maps of one phase and tracer")
    if problems:
        raise ExperimentError(*problems)
    return layout


def _numbers(value: object, count: int) -> list[float] | None:
    if not isinstance(value, list) or len(value) != count:
        return None
    return [float(each) for each in value] if all(map(_is_number, value)) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _bar(table: Mapping[str, Any], size: list[float], problems: list[str]) -> ColourBar:
    box, percent = _numbers(table.get("box"), 4), _numbers(table.get("percent", [0, 100]), 2)
    left, top, right, bottom = (int(each) for each in box or (0, 0, 1, 1))
    high = table.get("high")
    if (
        box is None
        or box != [left, top, right, bottom]
        or not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1])
    ):
        problems.append("colour_bar.box must be [left, top, right, bottom] on the page, whole numbers")
    if high not in _ENDS:
        problems.append(f"colour_bar.high must be one of {', '.join(_ENDS)}")
    elif box and (bottom - top if high in {"top", "bottom"} else right - left) < _SHORTEST_BAR:
        problems.append(f"the colour bar must be {_SHORTEST_BAR} pixels long or longer")
    if percent is None or not 0 <= percent[0] < percent[1] <= 100:
        problems.append("colour_bar.percent must be [low, high] between 0 and 100")
    low_percent, high_percent = percent or (0.0, 100.0)
    return ColourBar(
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        high=high if high in _ENDS else "top",
        low_percent=low_percent,
        high_percent=high_percent,
    )


def _map(table: Mapping[str, Any], number: int, size: list[float], problems: list[str]) -> PageMap:
    place = f"map {number} of the layout"
    phase, tracer = phase_of(str(table.get("phase", ""))), tracer_of(str(table.get("tracer", "")))
    centre, radius = _numbers(table.get("centre"), 2) or [0.0, 0.0], table.get("radius")
    reach = float(radius) if isinstance(radius, int | float) and _is_number(radius) else 0.0
    frame = table.get("frame", 1)
    if phase is None:
        problems.append(f"{place}: phase must be stress or rest")
    if "tracer" in table and tracer is None:
        problems.append(f"{place}: tracer must be Tc-99m or Tl-201")
    inside = all(reach <= at <= side - reach for at, side in zip(centre, size, strict=True))
    if reach < _SMALLEST_RADIUS or not inside:
        problems.append(f"{place}: centre and radius must make a disc on the page, radius {_SMALLEST_RADIUS} or more")
    if type(frame) is not int or frame < 1:
        problems.append(f"{place}: frame must be 1, 2, …")
        frame = 1
    return PageMap(phase=phase or "stress", tracer=tracer, column=centre[0], row=centre[1], radius=reach, frame=frame)
