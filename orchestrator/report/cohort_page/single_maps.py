"""Maps of single patients as the network sees them: identifying, so they stand in a file of their own."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from mpi_model.maps import FULL_SCALE, Maps
from mpi_model.vocabulary import PHASES
from orchestrator.report.page.rendering import environment

_EXAMPLES: Final = 4
"""Exams of a group."""
_SIDE: Final = 128
"""Pixels on the page, at least; a map's own pixels stay visible as squares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Example:
    """One exam."""

    manifest_row: int
    images: tuple[tuple[str, Markup], ...]
    """Phase, and the map as the address of an image in the page itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Examples:
    """Some exams of one tracer, partition and, in development, label."""

    title: str
    exams: tuple[_Example, ...]


def single_maps_page(name: str, exams: pd.DataFrame, maps: Maps) -> str:
    """A page with a few exams of every group, resampled and scaled as a network gets them, before augmentation.

    Args:
        name: The experiment's.
        exams: N exams, as in `Cohort.exams`; labels of the test partition are not read.
        maps: Theirs.
    """
    return environment().get_template("single_maps.html").render(name=name, groups=tuple(_groups(exams, maps)))


def _groups(exams: pd.DataFrame, maps: Maps) -> Iterator[_Examples]:
    development = (exams["partition"] == "development").to_numpy()
    labels = exams["label"].to_numpy()
    for tracer in sorted(exams["tracer"].unique()):
        mine = (exams["tracer"] == tracer).to_numpy()
        groups = {
            "development, label 0": mine & development & (labels == 0),
            "development, label 1": mine & development & (labels == 1),
            "test partition": mine & ~development,
        }
        for name, chosen in groups.items():
            rows = np.flatnonzero(chosen)
            # Evenly through the cohort, whose order says nothing about the maps.
            places = np.unique(np.linspace(0, max(len(rows) - 1, 0), _EXAMPLES).round().astype(int))
            if len(rows):
                found = tuple(_example(exams, maps, int(row)) for row in rows[places])
                yield _Examples(title=f"{tracer}, {name}", exams=found)


def _example(exams: pd.DataFrame, maps: Maps, row: int) -> _Example:
    shown = [phase for phase in PHASES if getattr(maps, f"has_{phase}")[row]]
    return _Example(
        manifest_row=int(exams["manifest_row"].iloc[row]),
        images=tuple((phase, _address(getattr(maps, phase)[row])) for phase in shown),
    )


def _address(pixels: NDArray[np.uint16]) -> Markup:
    """`[C, size, size]` as a PNG in a data URL."""
    levels = np.rint(pixels.astype(np.float64) * 255 / FULL_SCALE).astype(np.uint8)
    levels = np.kron(
        levels, np.ones((1, max(1, _SIDE // levels.shape[-1]), max(1, _SIDE // levels.shape[-1])), np.uint8)
    )
    image = Image.fromarray(levels[0] if len(levels) == 1 else np.moveaxis(levels, 0, -1))
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return Markup(f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}")
