"""Maps of single patients as the network sees them: identifying, so they stand in a file of their own."""

import base64
import io
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

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
    words: str = ""
    """What is known of it."""


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
    about = "Labels of the test partition are not shown."
    return _page(name, about, tuple(_groups(exams, maps)))


def hardest_maps_page(name: str, hardest: pd.DataFrame, exams: pd.DataFrame, maps: Maps) -> str:
    """A page with the exams that cross-validation decides wrongly most often.

    Args:
        name: The run's.
        hardest: From `orchestrator.report.hardest.hardest_over_inputs`.
        exams: N exams, as in `Cohort.exams`.
        maps: Theirs.
    """
    row_of = {number: row for row, number in enumerate(exams["manifest_row"].tolist())}
    groups = tuple(
        _Examples(
            title=f"{tracer}, hardest exams of the cross-validation",
            exams=tuple(
                replace(_example(exams, maps, row_of[found["manifest_row"]]), words=_words(found))
                for found in rows.to_dict(orient="records")
            ),
        )
        for tracer, rows in hardest.groupby("tracer", sort=True)
    )
    about = (
        "Development exams that repeats and input configurations decide wrongly most often, the worst first. Missed: "
        "called negative, with the event; false alarm: called positive, without it. Defects in words: the 17 segments "
        "beside those of development exams of the tracer without the event; they are no reading of the map."
    )
    return _page(name, about, groups)


def _page(name: str, about: str, groups: tuple[_Examples, ...]) -> str:
    return environment().get_template("single_maps.html").render(name=name, about=about, groups=groups)


def _words(found: Mapping[Hashable, Any]) -> str:
    """`missed; wrong in 75% of repeats (stress 100%, dual 50%); severe inferior defect at stress`."""
    shares = ", ".join(
        f"{str(name).removeprefix('wrong_')} {share:.0%}"
        for name, share in found.items()
        if str(name).startswith("wrong_") and not pd.isna(share)
    )
    said = f"{found['error']}; wrong in {found['wrong']:.0%} of repeats ({shares})"
    return f"{said}; {found['map']}" if found["map"] else said


def _groups(exams: pd.DataFrame, maps: Maps) -> Iterator[_Examples]:
    development = (exams["partition"] == "development").to_numpy()
    labels = exams["label"].to_numpy()
    for tracer in sorted(exams["tracer"].unique()):
        mine = (exams["tracer"] == tracer).to_numpy()
        groups = {
            "development, without the event": mine & development & (labels == 0),
            "development, with the event": mine & development & (labels == 1),
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
