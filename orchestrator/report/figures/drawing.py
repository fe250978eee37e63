"""One look for all figures, and a figure's files: SVG, PDF and the CSV of what is drawn."""

import io
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.report.layout import PARTITION_NAMES
from orchestrator.report.records import ReportFigure
from orchestrator.report.spreadsheets import as_csv
from orchestrator.report.traced import Phrase

INK: Final = "#1a1b1c"
"""Text and axes; the page draws it in its own colour, so that it is legible on a dark page as well."""
FAINT: Final = "#76777a"
"""Lines of reference: chance, perfect calibration."""
WASH: Final = "#9a9b9e"
"""Shaded zones, drawn transparent."""
# Of Okabe & Ito's colours those that contrast with white and with black; most colour-blind readers tell them apart.
SERIES: Final = ("#0072b2", "#d55e00", "#009e73", "#b8569a", "#8c6d00")
_DASHES: Final = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
PANEL: Final = (3.35, 3.1)
"""Inches: a column of a journal; two beside each other on a page of A4."""

_STYLE: Final = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.3,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    # Names of users may hold a dollar sign, which would begin a formula.
    "text.parse_math": False,
    # Text stays text: it can be searched, copied and read aloud.
    "svg.fonttype": "none",
    # Matplotlib otherwise draws random element ids, and the bytes would differ.
    "svg.hashsalt": "polarmap",
    "pdf.fonttype": 42,
}

_NO_LOOK: Final = (
    "_",
    "animation.",
    "backend",
    "docstring.",
    "interactive",
    "keymap.",
    "timezone",
    "tk.",
    "toolbar",
    "webagg.",
)
"""How settings begin that are of windows and of the library, and not of figures."""


def house_style() -> AbstractContextManager[None]:
    """The look in which every figure is drawn and saved."""
    # A person's own matplotlibrc, in the current folder or at home, changes no byte of a figure.
    given = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith(_NO_LOOK)}
    look: dict[str, object] = given | _STYLE
    return matplotlib.rc_context(look)  # type: ignore[arg-type] # names of settings, which matplotlib checks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawing:
    """A figure with what has to stand beside it."""

    key: str
    """The files' name: letters, digits and hyphens."""
    section: str
    """The section of the page."""
    title: str
    """In a few words."""
    description: str
    """For a reader who cannot see it: what is drawn, and what it shows."""
    caption: tuple[Phrase, ...]
    """What a line and a band are, patients (events), method."""
    data: pd.DataFrame
    """What is drawn."""
    figure: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which model is drawn, and on whom it was judged."""

    tracer: str
    endpoint: str
    partition: str
    inputs: str
    counted: tuple[Phrase, ...]
    """Patients (events) of the partition, for the caption."""

    @property
    def about(self) -> str:
        """Tracer, endpoint and partition, as captions begin."""
        return f"{self.tracer}, {self.endpoint}, {PARTITION_NAMES[self.partition]}"


def panel(width: float = PANEL[0], height: float = PANEL[1], *, left: float = 0.55) -> tuple[Figure, Axes]:
    """An empty figure of one panel, in inches; `left` is room for the names on the vertical axis.

    The margins are known beforehand: to measure text as `layout="constrained"` does takes as long as drawing.
    """
    figure = Figure(figsize=(width, height))
    return figure, add_panel(figure, left=left, below=0.45, height=height - 0.7)


def add_panel(figure: Figure, *, left: float, below: float, height: float, above: Axes | None = None) -> Axes:
    """One more panel, as wide as the figure allows, in inches from the left and from below; `above` shares its x."""
    width, whole = figure.get_size_inches()
    places = (left / width, below / whole, 1 - (left + 0.12) / width, height / whole)
    return figure.add_axes(places, sharex=above)


def square(axes: Axes, across: str, up: str) -> None:
    """Both axes from 0 to 1, with their names."""
    axes.set(xlabel=across, ylabel=up, xlim=(0, 1), ylim=(0, 1), aspect="equal")


def shortened(name: str, most: int = 30) -> str:
    """A name that leaves room for the plot; tables and the figure's CSV have it whole."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def key_of(*names: str) -> str:
    """A file's name from any names, such as `roc-tc-99m-stress`."""
    letters = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in " ".join(names).lower())
    return "-".join(letters.split())


def rendered(drawing: Drawing, *, manuscript: bool = False) -> ReportFigure:
    """The files of a figure, the same bytes every time.

    Args:
        drawing: The figure.
        manuscript: Whether it is written as PDF as well, which takes longer than everything else; empty otherwise.
    """
    svg, pdf = io.StringIO(), io.BytesIO()
    with house_style():
        # No dates: the same figure is the same file.
        drawing.figure.savefig(
            svg, format="svg", metadata={"Date": None, "Creator": "polarmap", "Title": drawing.title}
        )
        if manuscript:
            # Laid out once is enough: it takes as long as drawing.
            drawing.figure.set_layout_engine("none")
            drawing.figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Title": drawing.title})
    return ReportFigure(
        key=drawing.key,
        section=drawing.section,
        title=drawing.title,
        description=drawing.description,
        caption=drawing.caption,
        svg=svg.getvalue(),
        pdf=pdf.getvalue(),
        csv=as_csv(drawing.data, float_format="%.6g"),
    )
