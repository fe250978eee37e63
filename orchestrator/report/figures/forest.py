"""The answer of a tracer in one picture: AUCs above, paired differences below, with the zone that counts as equal."""

from collections.abc import Sequence
from typing import Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.report.counts import NO_AUC, shows_counts
from orchestrator.report.figures.drawing import FAINT, SERIES, WASH, Drawing, key_of, shortened
from orchestrator.report.figures.whiskers import LINE, MARKS, beside, partitions_legend, whisker
from orchestrator.report.layout import PARTITION_NAMES, Record, grouped
from orchestrator.report.records import BASELINES, EVERYONE
from orchestrator.report.traced import Phrase, of_summary

# Inches: of an axis with its legend.
_AXIS: Final = 0.5


def forest(tracer: str, endpoint: str, rows: Sequence[Record], margin: float, declared: str) -> Drawing | None:
    """AUCs and differences of one tracer; None where there is no interval.

    Args:
        tracer: The tracer.
        endpoint: What was predicted.
        rows: Numbered rows of the summary.
        margin: Half the zone of equivalence, or the margin of the declared non-inferiority.
        declared: The pair of the declared non-inferiority, whose zone is open above; empty where none was declared.
    """
    leading = [row for row in rows if row["tracer"] == tracer and _leads(row)]
    shown = [row for row in leading if _is_drawn(row)]
    # What has counts in place of an AUC, or was not compared, keeps its line, so that nobody looks for it.
    areas = [row for row in leading if row["metric"] == "auc" and (_is_drawn(row) or shows_counts(row))]
    gaps = [row for row in leading if row["metric"] == "auc_difference"]
    if not any(_is_drawn(row) for row in areas):
        return None
    heights = [len(areas) + 0.2 * len(_lines(areas)), len(gaps) + 0.2 * len(_lines(gaps))]
    inches = sum(heights) * LINE + _AXIS * (2 if gaps else 1) + 0.2
    figure = Figure(figsize=(4.9, inches), layout="constrained")
    ratios = [height * LINE + _AXIS for height in heights if height]
    panels = figure.subplots(len(ratios), 1, height_ratios=ratios, squeeze=False)[:, 0]
    _draw(panels[0], areas, rows[0]["model"])
    panels[0].set_title(f"{tracer}: {shortened(endpoint, 44)}", fontweight="bold", x=0, ha="left")
    low = min(0.5, *(row["low"] for row in areas if _is_drawn(row)))
    panels[0].axvline(0.5, color=FAINT, linewidth=0.8, linestyle=":")
    panels[0].set(xlabel="AUC (0.5: chance)", xlim=(max(0.0, low - 0.03), 1.0))
    if gaps:
        _draw(panels[1], gaps, rows[0]["model"])
        _zone(panels[1], [row for row in gaps if _is_drawn(row)], margin, bool(declared))
    partitions_legend(figure, areas)
    return Drawing(
        key=key_of("forest", tracer),
        section="answer",
        title=f"AUCs and their differences: {tracer}",
        description=_described(shown),
        caption=_caption(tracer, endpoint, areas, gaps, margin, declared),
        data=pd.DataFrame(shown)[
            ["partition", "model", "inputs", "metric", "estimate", "low", "high", "method", "patients", "positives"]
        ],
        figure=figure,
    )


def _leads(row: Record) -> bool:
    return bool(
        row["metric"] in ("auc", "auc_difference")
        and row["primary"]
        and row["subgroup"] == EVERYONE
        and row["partition"] in MARKS
    )


def _is_drawn(row: Record) -> bool:
    return row["state"] == "ok" and row["low"] is not None


def _lines(rows: Sequence[Record]) -> list[tuple[tuple[str, ...], list[Record]]]:
    """Rows that stand under one name: the same model and inputs in both partitions."""
    return grouped(rows, "model", "inputs")


def _name(row: Record, judged: str) -> str:
    if row["model"] == judged:
        return str(row["inputs"]).replace("-", " − ") if row["metric"] == "auc_difference" else str(row["inputs"])
    if row["metric"] == "auc_difference":
        return f"{row['inputs']}: {str(row['model']).replace('-', ' − ')}"
    return f"{row['inputs']}: {row['model']}"


def _draw(axes: Axes, rows: Sequence[Record], judged: str) -> None:
    place, ticks, names = 0.0, [], []
    for _, mine in _lines(rows):
        ticks.append(place + (len(mine) - 1) / 2)
        names.append(_name(mine[0], judged))
        for row in mine:
            if _is_drawn(row):
                whisker(axes, row, place, SERIES[0] if row["model"] == judged else SERIES[1])
            else:
                beside(axes, place, NO_AUC if row["metric"] == "auc" else "not compared")
            place += 1
        place += 0.2
    axes.set_yticks(ticks, [shortened(name) for name in names])
    axes.set_ylim(place - 0.6, -0.7)
    axes.tick_params(axis="y", length=0)


def _zone(axes: Axes, gaps: Sequence[Record], margin: float, declared: bool) -> None:
    reach = max([margin, *(abs(row[end]) for row in gaps for end in ("low", "high"))]) * 1.1
    axes.axvspan(-margin, reach if declared else margin, color=WASH, alpha=0.28, linewidth=0)
    axes.axvline(0, color=FAINT, linewidth=0.8, linestyle=":")
    axes.set(xlabel="difference of AUCs", xlim=(-reach, reach))


def _caption(
    tracer: str, endpoint: str, areas: Sequence[Record], gaps: Sequence[Record], margin: float, declared: str
) -> tuple[Phrase, ...]:
    parts: list[Phrase] = [f"{tracer}, {endpoint}. Points: AUC; lines: "]
    drawn = next(row for row in areas if _is_drawn(row))
    parts.append(of_summary(drawn, f"{100 * drawn['level']:g}% intervals", "level"))
    for (partition,), rows in grouped(areas, "partition"):
        parts.append(f"; {PARTITION_NAMES[partition]}: ")
        text = f"{rows[0]['patients']} patients ({rows[0]['positives']} events)"
        parts.append(of_summary(rows[0], text, "patients", "positives"))
        # By the first method that drew something; without one there are counts.
        parts.append(f", {next((row['method'] for row in rows if _is_drawn(row)), NO_AUC)}")
    if gaps:
        pair = declared.replace("-", " − ")
        meant = f"not worse by the margin, which was declared for {pair}" if declared else "zone of equivalence"
        parts.append(f". Below: paired differences on the same patients; shaded: {meant}")
        refused = dict.fromkeys(row["reason"] for row in gaps if not _is_drawn(row))
        parts.append(f"; not compared: {'; '.join(refused)}" if refused else "")
    baselines = [name for name in dict.fromkeys(row["model"] for row in areas) if name in BASELINES]
    parts.append("".join(f". {name.capitalize()}: {BASELINES[name]}, in the same folds" for name in baselines))
    return (*parts, ".")


def _described(rows: Sequence[Record]) -> str:
    return "; ".join(
        f"{PARTITION_NAMES[row['partition']]}, {row['inputs']}, {row['model']}: "
        f"{'AUC' if row['metric'] == 'auc' else 'difference'} {row['estimate']:.3f} "
        f"from {row['low']:.3f} to {row['high']:.3f}"
        for row in rows
    )
