"""Estimates with their intervals, one below the other, their numbers beside them."""

from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from orchestrator.report.figures.drawing import FAINT, INK
from orchestrator.report.layout import PARTITION_NAMES, Record

MARKS: Final[Mapping[str, str]] = {"development": "o", "test": "s"}
"""The marker of each partition; that of the test is filled."""
LINE: Final = 0.152
"""Inches that an estimate takes."""


def whisker(axes: Axes, row: Record, place: float, colour: str) -> None:
    """One estimate of the summary with its interval, and both as text right of the plot."""
    errors = [[row["estimate"] - row["low"]], [row["high"] - row["estimate"]]]
    axes.errorbar(
        row["estimate"], place, xerr=errors, fmt=MARKS[row["partition"]], color=colour, markersize=4, linewidth=1.2,
        markerfacecolor=colour if row["partition"] == "test" else "none",
    )  # fmt: skip
    sign = "+" if row["metric"].endswith("_difference") else ""
    text = f"{row['estimate']:{sign}.3f} [{row['low']:{sign}.3f}, {row['high']:{sign}.3f}]"
    beside(axes, place, text, INK)


def partitions_legend(figure: Figure, rows: Sequence[Record]) -> None:
    """Which marker is which partition, above the plot."""
    handles = [
        Line2D([], [], marker=MARKS[partition], color=INK, linewidth=1.2, markersize=4,
               markerfacecolor=INK if partition == "test" else "none", label=PARTITION_NAMES[partition])
        for partition in dict.fromkeys(row["partition"] for row in rows)
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", ncols=2, handletextpad=0.4)


def beside(axes: Axes, place: float, text: str, colour: str = FAINT) -> None:
    """A text right of the plot, in one column with all others."""
    axes.annotate(text, (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=7, color=colour)
