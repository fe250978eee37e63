"""Where the network looks: mean attributions on the bull's-eye, shares of segments, and random weights beside them."""

from collections.abc import Iterator, Sequence
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
from orchestrator.report.figures.drawing import FAINT, INK, SERIES, Drawing, key_of
from orchestrator.report.layout import PARTITION_NAMES, Record, as_records

_WIDTH: Final = 7.0
_ROW: Final = 1.75
_COLOURS: Final = dict(zip(TERRITORIES, SERIES, strict=False))
_TERRITORY: Final = {number: name for name, numbers in TERRITORIES.items() for number in numbers}
# Purple and orange: told apart by most colour-blind readers, and neither means "hot" on a perfusion map.
_MAP: Final = colormaps["PuOr_r"]
_PANELS: Final = (("trained", 1, "label 1"), ("trained", 0, "label 0"), ("randomised", 1, "random, label 1"))


def attribution(tracer: str, endpoint: str, groups: pd.DataFrame) -> Iterator[Drawing]:
    """One figure an input configuration; none where the run was not explained, or every group is too small.

    Args:
        tracer: The tracer.
        endpoint: What was predicted.
        groups: The run's `attributions`; it may be empty.
    """
    if groups.empty:
        return
    chosen = groups[(groups["tracer"] == tracer) & groups["outcome"].isna()]
    # The cross-validation judges every development patient; the test partition is often small.
    partitions = set(chosen["partition"])
    partition = "development" if "development" in partitions else "test"
    for inputs, rows in chosen[chosen["partition"] == partition].groupby("inputs", sort=False):
        if (rows["state"] == "ok").any():
            yield _drawing(tracer, endpoint, str(inputs), partition, rows)


def _drawing(tracer: str, endpoint: str, inputs: str, partition: str, rows: pd.DataFrame) -> Drawing:
    records = as_records(rows)
    phases = [phase for phase in ("stress", "rest") if (rows["phase"] == phase).any()]
    figure = Figure(figsize=(_WIDTH, 0.45 + _ROW * len(phases)), layout="constrained")
    axes = figure.subplots(len(phases), 5, width_ratios=(1, 1, 0.06, 1, 1.9), squeeze=False)
    drawn = [row for row in _of(records, "trained", "attribution") if row["phase"] is not None and _is_segment(row)]
    limit = max((abs(row["estimate"]) for row in drawn), default=1.0)
    for line, phase in zip(axes, phases, strict=True):
        for place, (network, label, title) in zip((0, 1, 3), _PANELS, strict=True):
            mine = [row for row in _of(records, network, "attribution", label) if row["phase"] == phase]
            _bulls_eye(line[place], mine, limit if network == "trained" else None)
            line[place].set_title(f"{phase}, {title}", fontsize=7)
        bar = figure.colorbar(ScalarMappable(Normalize(-limit, limit), _MAP), cax=line[2])
        bar.set_label("log odds", fontsize=6.5)
        bar.ax.tick_params(labelsize=6)
        _shares(line[4], records, phase)
        # One scale, so that stress and rest can be compared.
        if line[4] is not axes[0, 4]:
            line[4].sharey(axes[0, 4])
    if axes[0, 4].get_legend_handles_labels()[0]:
        axes[0, 4].legend(fontsize=5.5, loc="upper right", borderpad=0, handletextpad=0)
    first = next((row for row in records if row["metric"] == "share" and row["state"] == "ok"), records[0])
    return Drawing(
        key=key_of("attribution", tracer, inputs),
        section="attribution",
        title=f"Where the network looks: {tracer}, {inputs}",
        description=_described(records, inputs),
        caption=(_caption(tracer, endpoint, inputs, partition, first, records),),
        data=rows[["network", "label", "metric", "phase", "region", "estimate", "low", "high", "patients", "exams"]],
        figure=figure,
    )


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
    axes.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
    axes.axis("off")
    if not values:
        axes.text(0, 0, "too few\npatients", ha="center", va="center", fontsize=7)
        return
    scale = limit or max(map(abs, values.values())) or 1.0
    for number, segment in enumerate(SEGMENTS_17, start=1):
        ends = (segment.start, segment.start + segment.extent)
        colour = _MAP(0.5 + 0.5 * values[number] / scale)
        width = segment.outer - segment.inner
        axes.add_patch(Wedge((0, 0), segment.outer, *ends, width=width, facecolor=colour, edgecolor=INK, linewidth=0.5))
        middle = np.radians(segment.start + segment.extent / 2)
        radius = (segment.inner + segment.outer) / 2 if segment.inner else 0.0
        axes.text(radius * np.cos(middle), radius * np.sin(middle), str(number), ha="center", va="center", fontsize=4,
                  color=FAINT)  # fmt: skip
        if segment.outer == 1:
            shade = _COLOURS[_TERRITORY[number]]
            axes.add_patch(Wedge((0, 0), 1.16, *ends, width=0.1, facecolor=shade, alpha=0.45, linewidth=0))
    for name, degrees in (("LAD", 100), ("RCA", 250), ("LCX", 340)):
        across, up = 1.02 * np.cos(np.radians(degrees)), 1.02 * np.sin(np.radians(degrees))
        axes.text(across * 1.22, up * 1.22, name, ha="center", va="center", fontsize=5.5, color=INK)


def _shares(axes: Axes, records: Sequence[Record], phase: str) -> None:
    """Bars of the segments' shares among abnormal exams, by territory; marks for normal exams and random weights."""
    rows = {
        (network, label): {
            int(row["region"]): row
            for row in _of(records, network, "share", label)
            if row["phase"] == phase and _is_segment(row)
        }
        for network, label, _ in _PANELS
    }
    order = [number for numbers in TERRITORIES.values() for number in numbers]
    for place, number in enumerate(order):
        row = rows["trained", 1].get(number)
        if row is not None:
            errors = [[row["estimate"] - row["low"]], [row["high"] - row["estimate"]]]
            axes.bar(place, row["estimate"], color=_COLOURS[_TERRITORY[number]], alpha=0.6, yerr=errors, ecolor=INK,
                     error_kw={"linewidth": 0.7})  # fmt: skip
    for key, marker, name in ((("trained", 0), "o", "label 0"), (("randomised", 1), "x", "random, label 1")):
        found = [(place, rows[key][number]["estimate"]) for place, number in enumerate(order) if number in rows[key]]
        if found:
            axes.plot(
                *zip(*found, strict=True), marker, color=INK, markersize=3, linewidth=0, label=name, fillstyle="none"
            )
    axes.set_xticks(range(len(order)), [str(number) for number in order], fontsize=5.5)
    axes.set_ylabel("share of segment", fontsize=7)
    axes.tick_params(axis="y", labelsize=6)
    axes.axhline(0, color=FAINT, linewidth=0.5)
    axes.set_title(f"{phase}, bars: label 1", fontsize=7)


def _similarity(records: Sequence[Record]) -> Record | None:
    return next(iter(_of(records, "randomised", "rank_correlation", 1)), None)


def _caption(tracer: str, endpoint: str, inputs: str, partition: str, first: Record, records: Sequence[Record]) -> str:
    counts = {row["label"]: row["patients"] for row in records if row["network"] == "trained"}
    alike = _similarity(records)
    check = (
        ""
        if alike is None
        else " Shares under random weights are ordered like the network's with a correlation of "
        f"{alike['estimate']:.2f} ({alike['low']:.2f} to {alike['high']:.2f}); 0 would be no likeness."
    )
    return (
        f"{tracer}, {endpoint}, {inputs}, {PARTITION_NAMES[partition]}: {counts.get(1, 0)} patients with label 1, "
        f"{counts.get(0, 0)} with label 0. Mean integrated gradients from the mean normal map, summed over each "
        "segment: orange raises the score, purple lowers it; random weights have a scale of their own. Ring and bars: "
        f"territories of LAD, RCA and LCX. Lines: {first['level']:.0%} of patient bootstraps.{check}"
    )


def _described(records: Sequence[Record], inputs: str) -> str:
    shares = {
        row["region"]: row
        for row in _of(records, "trained", "share", 1)
        if row["region"] in TERRITORIES and row["phase"] == (None if inputs == "dual" else inputs)
    }
    return "Share of the attribution among exams with label 1: " + "; ".join(
        f"{name} {row['estimate']:.2f} from {row['low']:.2f} to {row['high']:.2f}" for name, row in shares.items()
    )
