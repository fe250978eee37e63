"""Mean and standard deviation of the 17 segments over a group of exams, drawn as bull's-eyes."""

from collections.abc import Iterator
from typing import Final

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Wedge

from mpi_model.maps import Maps
from mpi_model.vocabulary import PHASES
from orchestrator.cohort.segments import SEGMENTS_17, segment_means
from orchestrator.report.figures.drawing import FAINT, Drawing, key_of
from orchestrator.statistics.scores import Floats

_FEWEST: Final = 5
"""Patients of a group: a mean over fewer would nearly be one of them."""
_WIDEST: Final = 0.25
"""The standard deviation at the end of its colours; segments are 0 to 1."""


def bulls_eyes(exams: pd.DataFrame, maps: Maps, endpoints: dict[str, str]) -> Iterator[Drawing]:
    """One drawing a tracer, group and phase: development by class, the test partition without its labels.

    Args:
        exams: N exams, as in `Cohort.exams`.
        maps: Theirs.
        endpoints: What a positive label means, by tracer.
    """
    for tracer in sorted(exams["tracer"].unique()):
        mine = (exams["tracer"] == tracer).to_numpy()
        development = mine & (exams["partition"] == "development").to_numpy()
        positive = (exams["label"] == 1).to_numpy()
        endpoint = endpoints.get(str(tracer), "label 1")
        groups = {
            f"development, {endpoint}": development & positive,
            f"development, not {endpoint}": development & ~positive,
            "test partition, whatever the label": mine & ~development,
        }
        for number, (name, chosen) in enumerate(groups.items()):
            for phase in PHASES:
                rows = np.flatnonzero(chosen & getattr(maps, f"has_{phase}"))
                patients = exams["patient_id"].iloc[rows].nunique()
                if patients >= _FEWEST:
                    key = key_of("segments", str(tracer), str(number), phase)
                    about = f"{tracer}, {name}\n{phase}: {len(rows)} exams, {patients} patients"
                    yield _drawing(key, str(tracer), about, segment_means(getattr(maps, phase)[rows]).mean(axis=1))


def _drawing(key: str, tracer: str, about: str, means: Floats) -> Drawing:
    """Two bull's-eyes of `[n, 17]` segment means."""
    centre, spread = means.mean(axis=0), means.std(axis=0, ddof=1)
    figure = Figure(figsize=(3.35, 2.0))
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.8))
    axes.set(xlim=(-1.1, 3.35), ylim=(-1.12, 1.28), aspect="equal")
    axes.set_axis_off()
    _bulls_eye(axes, 0.0, centre, 1.0, "viridis")
    _bulls_eye(axes, 2.25, spread, _WIDEST, "cividis")
    for place, name in ((0.0, "mean"), (2.25, "SD")):
        axes.text(place, 1.1, name, ha="center", va="bottom", fontsize=7)
    figure.suptitle(about, fontsize=6.5)
    names = [segment.name for segment in SEGMENTS_17]
    return Drawing(
        key=key,
        section="maps",
        title=about.replace("\n", ", "),
        description="; ".join(
            f"segment {name}: {c:.0%} ± {s:.0%}" for name, c, s in zip(names, centre, spread, strict=True)
        ),
        caption=(
            f"{tracer}: segment means in % of full scale, and their standard deviation over exams; anterior above, "
            f"septum on the left, apex in the centre. Colours end at 100 % and {_WIDEST:.0%}. Groups of fewer than "
            f"{_FEWEST} patients are left out.",
        ),
        data=pd.DataFrame({"segment": names, "mean": centre, "sd": spread}),
        figure=figure,
    )


def _bulls_eye(axes: Axes, left: float, values: Floats, end: float, colours: str) -> None:
    scale = matplotlib.colormaps[colours]
    for segment, value in zip(SEGMENTS_17, values, strict=True):
        colour = scale(min(float(value) / end, 1.0))
        wedge = Wedge(
            (left, 0.0),
            segment.outer,
            segment.start,
            segment.start + segment.extent,
            width=segment.outer - segment.inner,
            facecolor=colour,
            edgecolor=FAINT,
            linewidth=0.5,
        )
        axes.add_patch(wedge)
        angle = np.radians(segment.start + segment.extent / 2)
        radius = (segment.inner + segment.outer) / 2 if segment.inner else 0.0
        axes.text(
            left + radius * np.cos(angle),
            radius * np.sin(angle),
            f"{value * 100:.0f}",
            ha="center",
            va="center",
            fontsize=5,
            color="#000000" if _luminance(colour) > 0.179 else "#ffffff",
        )


def _luminance(colour: tuple[float, float, float, float]) -> float:
    """Relative luminance (WCAG 2.2); from 0.179 on black contrasts more than white."""
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
