"""The summary as the tables of a paper, independent of where they are printed.

A table speaks of one tracer and one partition and names the endpoint. Counts stand at the head of each column
or beside each row, the method beside each interval, and a ± is a spread over folds, never a standard error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from orchestrator.report.records import EVERYONE, Report

PARTITION_NAMES = {"development": "cross-validation", "test": "test partition"}
MEASURES = {
    "auc": "AUC",
    "auc_ensemble": "AUC of the ensemble over repeats",
    "auc_expected": "to be expected for these counts at AUC",
    "auc_above_chance": "AUC against 0.5",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "brier": "Brier score",
    "calibration_intercept": "calibration in the large (0 is perfect)",
    "calibration_slope": "calibration slope (1 is perfect)",
    "fold_auc_variance": "variance of the AUC over cells",
    "exams_with_flipped_decision": "exams whose decision changes with the repeat",
    "probability_range": "range of an exam's probability over repeats",
}
"""The rows of a main table, in order, as people read them."""
MISSING = "—"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def tables_of(report: Report) -> list[Table]:
    """All tables of a report, in reading order; empty ones are left out."""
    summary = report.summary
    tables = []
    for (tracer, endpoint, partition), rows in summary.groupby(["tracer", "endpoint", "partition"], sort=True):
        about = f"{tracer}, {endpoint}: {PARTITION_NAMES.get(str(partition), str(partition))}"
        tables += [_main(about, rows), _comparisons(about, rows), _subgroups(about, rows), _net_benefit(about, rows)]
    tables += [_hyperparameters(report.cells), _failures(report.cells), _exclusions(report), _unstable(report)]
    return [table for table in [*tables, _refusals(summary), _facts(report)] if table.rows]


def statements(report: Report) -> list[str]:
    """The sentences below the tables: openings of the test partition, then notices."""
    times = {1: "once", 2: "twice"}
    opened = report.openings
    lines = [] if opened is None else [f"The test partition has been opened {times.get(opened, f'{opened} times')}."]
    return [*lines, *report.notices]


def number(value: object) -> str:
    """Three decimals, or a dash where there is none."""
    return MISSING if value is None or pd.isna(value) else f"{float(value):.3f}"  # type: ignore[arg-type]


def p_value(value: object) -> str:
    """Three decimals, never 0."""
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return MISSING
    return "< 0.001" if float(value) < 0.001 else f"{float(value):.3f}"  # type: ignore[arg-type]


def estimate(row: "pd.Series[object]") -> str:
    """The estimate with its spread, and its interval on the next line."""
    if row["state"] == "refused":
        return MISSING
    text = number(row["estimate"])
    if not pd.isna(row["sd"]):
        text += f" ± {number(row['sd'])}"
    if not pd.isna(row["p"]) and row["metric"] == "auc_above_chance":
        text += f", p {p_value(row['p'])}"
    return text if pd.isna(row["low"]) else f"{text}\n[{number(row['low'])}, {number(row['high'])}]"


def _main(about: str, rows: pd.DataFrame) -> Table:
    """One column an inputs, one row a measure and method."""
    chosen = rows[(rows["subgroup"] == EVERYONE) & rows["metric"].isin(list(MEASURES))]
    inputs = list(dict.fromkeys(chosen["inputs"]))
    if not (chosen["state"] == "ok").any():
        return Table(title=about, columns=(), rows=())
    body = [*_count_rows(chosen, inputs)]
    for metric in MEASURES:
        mine = chosen[(chosen["metric"] == metric) & (chosen["state"] == "ok")]
        for (_, at), same in mine.groupby([mine["method"], mine["at"].fillna(-1.0)], sort=False):
            cells = {row["inputs"]: estimate(row) for _, row in same.iterrows()}
            body.append(
                (_measure(metric, float(at)), *(cells.get(name, MISSING) for name in inputs), same["method"].iloc[0])
            )
    level = chosen["level"].dropna()
    interval = f"{level.iloc[0]:.0%} interval by" if len(level) else "method"
    note = "± is the standard deviation over folds: a spread, not a standard error."
    return Table(title=about, columns=("", *inputs, interval), rows=tuple(body), note=note if "cross" in about else "")


def _count_rows(chosen: pd.DataFrame, inputs: Sequence[str]) -> Iterator[tuple[str, ...]]:
    counts = chosen[chosen["patients"].notna()].drop_duplicates("inputs").set_index("inputs")
    for name, column in (("patients", "patients"), ("exams", "exams"), ("events (positive exams)", "positives")):
        yield (name, *(str(counts[column].get(one, MISSING)) for one in inputs), "")


def _measure(metric: str, at: float) -> str:
    if metric == "auc_expected":
        return f"{MEASURES[metric]} {at:g}"
    if at >= 0 and metric == "sensitivity":
        return f"sensitivity at a specificity of {at:g}"
    if at >= 0 and metric == "specificity":
        return f"specificity achieved for {at:g}"
    return MEASURES[metric]


def _comparisons(about: str, rows: pd.DataFrame) -> Table:
    chosen = rows[(rows["subgroup"] == EVERYONE) & (rows["metric"] == "auc_difference") & (rows["state"] == "ok")]
    bayes = rows[rows["metric"].str.startswith("probability_") & (rows["method"] == "correlated Bayesian t")]
    body = [
        (row["inputs"], estimate(row), p_value(row["p"]), p_value(row["p_holm"]), row["method"], *_counts(row))
        for _, row in chosen.iterrows()
    ]
    for inputs, found in bayes[bayes["state"] == "ok"].groupby("inputs", sort=False):
        parts = found.set_index("metric")["estimate"]
        row = found.iloc[0]
        shares = " / ".join(
            number(parts[f"probability_{name}"]) for name in ("first_worse", "equivalent", "first_better")
        )
        body.append(
            (
                str(inputs),
                shares,
                MISSING,
                MISSING,
                f"{row['method']}: first worse / within ±{row['at']:g} / better",
                *_counts(row),
            )
        )
    columns = ("pair", "difference of AUC", "p", "p (Holm)", "method", "patients", "events")
    note = "Holm over all pairs and tracers of this partition."
    return Table(title=f"{about}, differences", columns=columns, rows=tuple(body), note=note)


def _subgroups(about: str, rows: pd.DataFrame) -> Table:
    chosen = rows[(rows["subgroup"] != EVERYONE) & (rows["state"] == "ok")]
    names = {**MEASURES, "auc_difference": "difference of AUC"}
    body = [
        (
            row["inputs"],
            row["subgroup"],
            names[row["metric"]],
            estimate(row),
            p_value(row["p"]),
            row["method"],
            *_counts(row),
        )
        for _, row in chosen.iterrows()
    ]
    columns = ("inputs", "subgroup", "measure", "estimate", "p", "interval by", "patients", "events")
    return Table(title=f"{about}, subgroups", columns=columns, rows=tuple(body))


def _net_benefit(about: str, rows: pd.DataFrame) -> Table:
    chosen = rows[(rows["metric"] == "net_benefit") & (rows["state"] == "ok")]
    body = []
    for (inputs, at), found in chosen.groupby(["inputs", "at"], sort=False):
        model, everyone = found[found["primary"]].iloc[0], found[found["method"] == "treat all"].iloc[0]
        body.append(
            (
                inputs,
                number(at),
                estimate(model),
                number(everyone["estimate"]),
                "0.000",
                model["method"],
                *_counts(model),
            )
        )
    columns = ("inputs", "threshold", "net benefit", "treat all", "treat none", "interval by", "patients", "events")
    return Table(title=f"{about}, net benefit", columns=columns, rows=tuple(body))


def _counts(row: "pd.Series[object]") -> tuple[str, str]:
    return tuple(MISSING if pd.isna(row[name]) else str(row[name]) for name in ("patients", "positives"))  # type: ignore[return-value]


def _hyperparameters(cells: pd.DataFrame) -> Table:
    """What the searches chose: counts of freeze depths, medians and ranges of the rest."""
    names = [name for name in cells if name.startswith("hp_")]
    if not names:
        return Table(title="", columns=(), rows=())
    body = []
    for inputs, found in cells[cells["state"] == "complete"].groupby("inputs", sort=False):
        for name in names:
            values = found[name].dropna()
            body.append(
                (str(inputs), name.removeprefix("hp_").replace("_", " "), _chosen(name, values), str(len(values)))
            )
    columns = ("inputs", "hyperparameter", "chosen", "cells")
    note = "Freeze depth: how many cells chose each; the others: median [smallest, largest]."
    return Table(title="Chosen hyperparameters", columns=columns, rows=tuple(body), note=note)


def _chosen(name: str, values: "pd.Series[float]") -> str:
    if values.empty:
        return MISSING
    if name == "hp_freeze_depth":
        counts = values.astype(int).value_counts().sort_index()
        return ", ".join(f"{depth}: {count}" for depth, count in counts.items())
    return f"{values.median():.2g} [{values.min():.2g}, {values.max():.2g}]"


def _failures(cells: pd.DataFrame) -> Table:
    failed = cells[cells["state"] == "failed"] if "state" in cells else cells
    body = tuple(
        (str(row["inputs"]), _whole(row["repeat"]), _whole(row["fold"]), str(row["reason"]))
        for _, row in failed.iterrows()
    )
    return Table(title="Failed cells", columns=("inputs", "repeat", "fold", "reason"), rows=body)


def _whole(value: object) -> str:
    return MISSING if pd.isna(value) else str(int(value))  # type: ignore[call-overload]


def _exclusions(report: Report) -> Table:
    body = tuple((partition, reason, str(count)) for partition, reason, count in report.exclusions)
    return Table(title="Exclusions", columns=("partition", "reason", "exams"), rows=body)


def _unstable(report: Report) -> Table:
    body = tuple(
        (
            str(row["tracer"]),
            str(row["inputs"]),
            _whole(row["manifest_row"]),
            number(row["repeats_wrong"]),
            number(row["probability_range"]),
        )
        for _, row in report.unstable.iterrows()
    )
    columns = ("tracer", "inputs", "manifest row", "share of repeats wrong", "probability range")
    return Table(title="Exams most often decided wrongly in cross-validation", columns=columns, rows=body)


def _refusals(summary: pd.DataFrame) -> Table:
    refused = summary[summary["state"] == "refused"]
    body = []
    keys = ["tracer", "endpoint", "partition", "metric", "reason"]
    for (tracer, endpoint, partition, metric, reason), found in refused.groupby(keys, sort=False):
        where = ", ".join(dict.fromkeys(_where(row) for _, row in found.iterrows()))
        body.append(
            (
                f"{tracer}, {endpoint}",
                PARTITION_NAMES.get(partition, partition),
                metric.replace("_", " "),
                where,
                reason,
            )
        )
    columns = ("tracer, endpoint", "partition", "measure", "inputs", "reason")
    return Table(title="Refused", columns=columns, rows=tuple(body))


def _where(row: "pd.Series[object]") -> str:
    counted = (
        "" if row["subgroup"] == EVERYONE or pd.isna(row["patients"]) else f": {row['positives']} + {row['negatives']}"
    )
    return str(row["inputs"]) if row["subgroup"] == EVERYONE else f"{row['inputs']} ({row['subgroup']}{counted})"


def _facts(report: Report) -> Table:
    body = tuple((name, value) for name, value in report.facts.items())
    return Table(title="Experiment", columns=("what", "value"), rows=body)
