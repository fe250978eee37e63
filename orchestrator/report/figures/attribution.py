"""Where the network looks: mean attributions on the bull's-eye, shares of segments, and random weights beside them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Wedge

from orchestrator.cohort.segments import SEGMENTS_17, TERRITORIES
from orchestrator.report.figures.drawing import INK, PANEL, SERIES, Drawing, add_panel, key_of
from orchestrator.report.layout import PARTITION_NAMES, Record, as_records
from orchestrator.report.traced import Phrase, Traced, plain

_HEIGHT: Final = 2.6
# Inches from the left and from below, and the width, of the bull's-eyes and of the colour bar.
_MAPS: Final = ((0.02, 1.33, 0.9), (0.93, 1.33, 0.9), (2.42, 1.33, 0.9))
_BAR: Final = (1.88, 1.38, 0.06, 0.8)
_COLOURS: Final = dict(zip(TERRITORIES, SERIES, strict=False))
_TERRITORY: Final = {number: name for name, numbers in TERRITORIES.items() for number in numbers}
# Purple and orange: told apart by most colour-blind readers, and neither means "hot" on a perfusion map.
_MAP: Final = colormaps["PuOr_r"].resampled(31)
_MARKS: Final = {
    ("trained", 0): ("o", "without event"),
    ("randomised", 1): ("x", "random weights"),
    # What a network would give that only adds up how dark a map is.
    ("none", 1): ("_", "the map alone"),
    # Only where a permutation was explained as well.
    ("permuted", 1): ("^", "permuted labels"),
}
"""What stands beside the bars, by network and label: marker and name."""
_LUMINANCE: Final = (0.2126, 0.7152, 0.0722)
_DARK: Final = 0.35
_SHOWN: Final = (
    ("trained", 1, "with event"),
    ("trained", 0, "without event"),
    ("randomised", 1, "random weights,\nwith event"),
)


def attribution(tracer: str, endpoint: str, groups: pd.DataFrame) -> Iterator[Drawing]:
    """One figure an input configuration and phase; none where nothing was explained, or every group is too small.

    Args:
        tracer: The tracer.
        endpoint: What was predicted.
        groups: The run's `attributions`; it may be empty.
    """
    if groups.empty:
        return
    chosen = groups[(groups["tracer"] == tracer) & groups["outcome"].isna()]
    # The cross-validation judges every development patient; the test partition is often small.
    partition = "development" if "development" in set(chosen["partition"]) else "test"
    chosen = chosen[chosen["partition"] == partition]
    found = {str(inputs): as_records(rows) for inputs, rows in chosen.groupby("inputs", sort=False)}
    found = {inputs: records for inputs, records in found.items() if any(row["state"] == "ok" for row in records)}
    if not found:
        return
    # One caption of all, so that they stand beside each other.
    caption = _caption(tracer, endpoint, partition, found)
    for inputs, records in found.items():
        for phase in _phases(records):
            yield _drawing(tracer, inputs, phase, records, caption)


def _phases(records: Sequence[Record]) -> list[str]:
    return [phase for phase in ("stress", "rest") if any(row["phase"] == phase for row in records)]


def _key(tracer: str, inputs: str, phase: str) -> str:
    return key_of("attribution", tracer, inputs, *([phase] if inputs != phase else []))


def _data(records: Sequence[Record], phase: str) -> list[Record]:
    """What stands beside a figure: its phase, and what is about both."""
    return [row for row in records if row["phase"] in (phase, None)]


def _traced(row: Record, tracer: str, inputs: str, records: Sequence[Record], text: str, *columns: str) -> Traced:
    """A text from a row of the CSV beside the configuration's first figure (RFC 7111: the header is row 0)."""
    phase = _phases(records)[0]
    line = next(place for place, one in enumerate(_data(records, phase), start=1) if one is row)
    return Traced(text, " ".join([f"figures/{_key(tracer, inputs, phase)}.csv#row={line}", *columns]))


def _drawing(tracer: str, inputs: str, phase: str, records: Sequence[Record], caption: tuple[Phrase, ...]) -> Drawing:
    figure = Figure(figsize=(PANEL[0], _HEIGHT))
    name = inputs if inputs == phase else f"{inputs}: the {phase} map"
    figure.text(0.5, 1 - 0.1 / _HEIGHT, name, ha="center", va="center", fontsize=8)
    # One scale for both maps of dual input, so that they can be compared.
    net = [row for row in _of(records, "trained", "attribution") if row["phase"] is not None and _is_segment(row)]
    limit = max((abs(row["estimate"]) for row in net), default=1.0)
    for (left, below, size), (network, label, title) in zip(_MAPS, _SHOWN, strict=True):
        axes = figure.add_axes((left / PANEL[0], below / _HEIGHT, size / PANEL[0], size / _HEIGHT))
        mine = [row for row in _of(records, network, "attribution", label) if row["phase"] == phase]
        _bulls_eye(axes, mine, limit if network == "trained" else None)
        axes.set_title(title, fontsize=6.5, pad=1)
    left, below, width, height = _BAR
    scale = figure.add_axes((left / PANEL[0], below / _HEIGHT, width / PANEL[0], height / _HEIGHT))
    bar = figure.colorbar(ScalarMappable(Normalize(-limit, limit), _MAP), cax=scale)
    # As shapes: the page allows no picture, and matplotlib would draw one.
    assert bar.solids is not None
    bar.solids.set(rasterized=False, edgecolor="face")
    bar.ax.tick_params(labelsize=6, length=2, pad=1)
    bar.set_label("log odds", fontsize=6, labelpad=0)
    shares = add_panel(figure, left=0.45, below=0.4, height=0.75)
    _shares(shares, records, phase)
    measured = [row for row in records if row["metric"] == "share" and row["state"] == "ok" and _is_segment(row)]
    tops = [row["high"] if row["network"] == "trained" else row["estimate"] for row in measured if row["phase"]]
    shares.set_ylim(0, 1.05 * max(tops, default=1.0))
    return Drawing(
        key=_key(tracer, inputs, phase),
        section="attribution",
        title=f"Where the network looks: {tracer}, {name}",
        description=_described(records, phase),
        caption=caption,
        data=pd.DataFrame(_data(records, phase))[list(_COLUMNS)],
        figure=figure,
    )


_COLUMNS: Final = ("network", "label", "metric", "phase", "region", "estimate", "low", "high", "patients", "exams")


def _of(records: Sequence[Record], network: str, metric: str, label: int | None = None) -> list[Record]:
    return [
        row
        for row in records
        if row["network"] == network
        and row["metric"] == metric
        and row["state"] == "ok"
        and (label is None or row["label"] == label)
    ]


def _is_segment(row: Record) -> bool:
    return str(row["region"]).isdigit()


def _bulls_eye(axes: Axes, rows: Sequence[Record], limit: float | None) -> None:
    """Draw the 17 segments by their net attribution; None scales them by their own largest one."""
    values = {int(row["region"]): row["estimate"] for row in rows if _is_segment(row)}
    axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
    axes.axis("off")
    if not values:
        axes.text(0, 0, "too few\npatients", ha="center", va="center", fontsize=6.5)
        return
    scale = limit or max(map(abs, values.values())) or 1.0
    for number, segment in enumerate(SEGMENTS_17, start=1):
        ends = (segment.start, segment.start + segment.extent)
        colour = _MAP(0.5 + 0.5 * values[number] / scale)
        width = segment.outer - segment.inner
        axes.add_patch(Wedge((0, 0), segment.outer, *ends, width=width, facecolor=colour, edgecolor=INK, linewidth=0.5))
        middle = np.radians(segment.start + segment.extent / 2)
        radius = (segment.inner + segment.outer) / 2 if segment.inner else 0.0
        # Black or white by the segment's colour; the page's own ink is light on a dark page.
        axes.text(radius * np.cos(middle), radius * np.sin(middle), str(number), ha="center", va="center", fontsize=4.5,
                  color="#ffffff" if np.dot(colour[:3], _LUMINANCE) < _DARK else "#000000")  # fmt: skip
        if segment.outer == 1:
            shade = _COLOURS[_TERRITORY[number]]
            axes.add_patch(Wedge((0, 0), 1.16, *ends, width=0.1, facecolor=shade, alpha=0.45, linewidth=0))


def _shares(axes: Axes, records: Sequence[Record], phase: str) -> None:
    """Bars of the segments' shares among abnormal exams, by territory; marks for normal exams and random weights."""
    rows = {
        (network, label): {
            int(row["region"]): row
            for row in _of(records, network, "share", label)
            if row["phase"] == phase and _is_segment(row)
        }
        for network, label in (("trained", 1), *_MARKS)
    }
    order = [number for numbers in TERRITORIES.values() for number in numbers]
    for place, number in enumerate(order):
        row = rows["trained", 1].get(number)
        if row is not None:
            errors = [[row["estimate"] - row["low"]], [row["high"] - row["estimate"]]]
            axes.bar(place, row["estimate"], color=_COLOURS[_TERRITORY[number]], alpha=0.6, yerr=errors, ecolor=INK,
                     error_kw={"linewidth": 0.7})  # fmt: skip
    for key, (marker, name) in _MARKS.items():
        found = [(place, rows[key][number]["estimate"]) for place, number in enumerate(order) if number in rows[key]]
        if found:
            axes.plot(
                *zip(*found, strict=True), marker, color=INK, markersize=2.5, linewidth=0, label=name, fillstyle="none"
            )
    axes.set_xticks(range(len(order)), [str(number) for number in order], fontsize=5.5)
    axes.tick_params(axis="x", length=0, pad=2)
    axes.tick_params(axis="y", labelsize=6)
    axes.set_ylabel("share of segment", fontsize=6.5)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=5.5, loc="upper right", ncols=4, borderpad=0, handletextpad=0, columnspacing=0.4,
                    bbox_to_anchor=(1, 1.14))  # fmt: skip
    for name, numbers in TERRITORIES.items():
        places = [order.index(number) for number in numbers]
        axes.text(float(np.mean(places)), -0.22, name, transform=axes.get_xaxis_transform(), ha="center", va="top",
                  fontsize=6.5, color=_COLOURS[name])  # fmt: skip


def _caption(tracer: str, endpoint: str, partition: str, found: Mapping[str, Sequence[Record]]) -> tuple[Phrase, ...]:
    patients = {inputs: _patients(tracer, inputs, records) for inputs, records in found.items()}
    if len({plain(words) for words in patients.values()}) == 1:
        counted = list(next(iter(patients.values())))
    else:
        counted = [part for inputs, words in patients.items() for part in (f"{inputs}: ", *words, "; ")][:-1]
    checks: list[Phrase] = []
    for network, name in (("randomised", "random weights"), ("none", "the map alone"), ("permuted", "permuted labels")):
        alike = [
            (", ", f"{inputs} ", _traced(row, tracer, inputs, records, _interval(row), "estimate", "low", "high"))
            for inputs, records in found.items()
            for row in _of(records, network, "rank_correlation", 1)[:1]
        ]
        if alike:
            parts = [part for parts in alike for part in parts][1:]
            begin = "; " if checks else " Likeness of the shares' order to the network's (rank correlation, 0: none): "
            checks += [f"{begin}{name} ", *parts]
    first = next(row for rows in found.values() for row in rows if row["metric"] == "share" and row["state"] == "ok")
    return (
        f"{tracer}, {endpoint}, {PARTITION_NAMES[partition]}: ",
        *counted,
        ". Above: mean integrated gradients from the mean normal map, summed over each of the 17 segments. Orange "
        "raises the score, purple lowers it; random weights have a scale of their own. Below: each segment's share of "
        f"all attribution. Bars: exams with the event (lines: {100 * first['level']:g}% of patient bootstraps). Marks: "
        "exams without it, networks that learned nothing, and how dark the map alone is. Ring and bars: territories "
        "of the left anterior descending (LAD), right (RCA) and left circumflex (LCX) coronary artery, as usual.",
        *checks,
        "." if checks else "",
    )


def _interval(row: Record) -> str:
    return f"{row['estimate']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def _patients(tracer: str, inputs: str, records: Sequence[Record]) -> tuple[Phrase, ...]:
    """How many patients have the event, and how many have not."""
    phase = _phases(records)[0]
    rows = {row["label"]: row for row in records if row["network"] == "trained" and row["phase"] == phase}
    parts: list[Phrase] = []
    for label, name in ((1, " patients with the event"), (0, " without")):
        if label in rows:
            text = str(rows[label]["patients"])
            parts += [", " if parts else "", _traced(rows[label], tracer, inputs, records, text, "patients"), name]
    return tuple(parts)


def _described(records: Sequence[Record], phase: str) -> str:
    shares = {
        row["region"]: row
        for row in _of(records, "trained", "share", 1)
        if row["region"] in TERRITORIES and row["phase"] == phase
    }
    return "Share of the attribution among exams with the event: " + "; ".join(
        f"{name} {row['estimate']:.2f} from {row['low']:.2f} to {row['high']:.2f}" for name, row in shares.items()
    )
