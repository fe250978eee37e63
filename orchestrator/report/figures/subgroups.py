"""Subgroups: the AUC in each of them, and where two exclude each other, the difference as a test of interaction."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from orchestrator.report.figures.drawing import FAINT, SERIES, WASH, Drawing, key_of, shortened
from orchestrator.report.figures.whiskers import LINE, MARKS, beside, partitions_legend, whisker
from orchestrator.report.layout import Record, grouped
from orchestrator.report.records import EVERYONE, HELD_OUT_SITE
from orchestrator.report.traced import Phrase, of_summary

_AXIS = 0.6
_COLUMNS = (
    *("partition", "inputs", "subgroup", "metric", "estimate", "low", "high"),
    *("method", "patients", "positives", "state"),
)


def subgroups(tracer: str, endpoint: str, rows: Sequence[Record]) -> Drawing | None:
    """The forest of one tracer's subgroups; None where there are none with an AUC.

    Args:
        tracer: The tracer.
        endpoint: What was predicted.
        rows: Numbered rows of the summary.
    """
    chosen = [row for row in rows if row["tracer"] == tracer and _is_subgroup(row) and row["model"] == rows[0]["model"]]
    areas = [row for row in chosen if row["metric"] == "auc"]
    gaps = [row for row in chosen if row["metric"] == "auc_difference" and row["state"] == "ok"]
    shown = [row for row in areas if row["state"] == "ok"]
    if not shown:
        return None
    panels = [part for part in (areas, gaps) if part]
    heights = [(len(part) + 0.25 * len(_lines(part))) * LINE + _AXIS for part in panels]
    figure = Figure(figsize=(5.4, sum(heights) + 0.2), layout="constrained")
    for axes, part in zip(
        figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0], panels, strict=True
    ):
        place, ticks, names = 0.0, [], []
        for (subgroup, inputs), mine in _lines(part):
            ticks.append(place + (len(mine) - 1) / 2)
            names.append(f"{shortened(subgroup.replace('=', ' '))}: {inputs}")
            for row in mine:
                if row["state"] == "ok":
                    whisker(axes, row, place, SERIES[0])
                else:
                    beside(axes, place, _few(row))
                place += 1
            place += 0.25
        axes.set_yticks(ticks, names)
        axes.set_ylim(place - 0.6, -0.7)
        axes.tick_params(axis="y", length=0)
        axes.axvline(0.5 if part is areas else 0, color=FAINT, linewidth=0.8, linestyle=":")
        axes.set(xlabel="AUC (0.5: chance)" if part is areas else "difference of the two subgroups' AUCs")
        if part is areas:
            axes.set_xlim(max(0.0, min(0.5, *(row["low"] for row in shown)) - 0.03), 1.0)
            partitions_legend(figure, shown)
            axes.set_title(f"{tracer}: {shortened(endpoint, 44)}", fontweight="bold", x=0, ha="left")
        else:
            axes.axvspan(-1e-9, 1e-9, color=WASH, linewidth=0)
    return Drawing(
        key=key_of("subgroups", tracer),
        section="subgroups",
        title=f"AUCs in subgroups: {tracer}",
        description="; ".join(f"{row['subgroup']}, {row['inputs']}: AUC {row['estimate']:.3f}" for row in shown),
        caption=_caption(tracer, endpoint, shown, gaps),
        data=pd.DataFrame(chosen)[list(_COLUMNS)],
        figure=figure,
    )  # fmt: skip


def _is_subgroup(row: Record) -> bool:
    return row["subgroup"] != EVERYONE and not row["subgroup"].startswith(HELD_OUT_SITE) and row["partition"] in MARKS


def _lines(rows: Sequence[Record]) -> list[tuple[tuple[str, str], list[Record]]]:
    return grouped(rows, "subgroup", "inputs")


def _few(row: Record) -> str:
    if row["patients"] is None:
        return "refused"
    return f"too few: {row['patients']} patients ({row['positives']} events)"


def _caption(tracer: str, endpoint: str, shown: Sequence[Record], gaps: Sequence[Record]) -> tuple[Phrase, ...]:
    parts: list[Phrase] = [f"{tracer}, {endpoint}. Lines: "]
    parts.append(of_summary(shown[0], f"{100 * shown[0]['level']:g}% intervals", "level"))
    parts.append(". Patients (events)")
    for (partition, subgroup), rows in grouped(shown, "partition", "subgroup"):
        counted = f"{rows[0]['patients']} ({rows[0]['positives']})"
        parts.append(
            f"; {'cross-validation' if partition == 'development' else 'test'}, {subgroup.replace('=', ' ')}: "
        )
        parts.append(of_summary(rows[0], counted, "patients", "positives"))
    if gaps:
        parts.append(". Below: first minus second subgroup, a test of interaction, not adjusted for multiplicity")
    return (*parts, ".")
