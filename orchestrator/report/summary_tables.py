"""The summary as the tables of a paper, independent of where they are printed.

A table speaks of one tracer and one partition and names the endpoint. Counts stand at the head of each column
or beside each row, the method beside each interval, and a ± is a spread over folds, never a standard error.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import pandas as pd

from orchestrator.report.counts import is_told, shows_counts
from orchestrator.report.layout import (
    MISSING,
    PARTITION_NAMES,
    Record,
    Shown,
    Table,
    counts,
    estimate,
    grouped,
    number,
    numbered,
    p_values,
)
from orchestrator.report.records import BASELINES, EVERYONE, HELD_OUT_SITE, MEASURES
from orchestrator.report.remarks import NAMES, noted, short_name
from orchestrator.report.traced import Phrase, joined, of_summary

REFUSED: Final = "Refused"
"""The title of the table of what was refused."""
_COUNTED = "patients (events)"
# The rows of the overview: partition and measure.
_OVERVIEW = (
    ("development", "auc"),
    ("development", "auc_of_new_site"),
    ("development", "balanced_accuracy"),
    ("test", "auc"),
    ("test", "sensitivity"),
    ("test", "specificity"),
)
# The same for a cohort of another centre.
_OVERVIEW_OF_VALIDATION = ("auc", "sensitivity", "specificity", "calibration_slope", "map_distance_ratio")
# What a short report says was refused; a full one says everything.
_LEADING = ("auc", "balanced_accuracy", "auc_difference")

# Rows that a plan is made from; beside what was found they say nothing.
_OF_PLANS = ("auc_expected",)


def summary_tables(summary: pd.DataFrame) -> Iterator[Table]:
    """The tables of every tracer and partition, the cross-validation of a tracer before its test; some may be empty."""
    # Where counts stand in place of an AUC, one row says so; rows of other methods would repeat it.
    records = [row for row in _labelled(numbered(summary)) if row["primary"] or not shows_counts(row)]
    for (tracer, endpoint), rows in grouped(records, "tracer", "endpoint"):
        yield _overview(f"{tracer}, {endpoint}", rows)
        yield _leading_differences(f"{tracer}, {endpoint}", rows)
    for (tracer, endpoint, partition), rows in grouped(records, "tracer", "endpoint", "partition"):
        about = f"{tracer}, {endpoint}: {PARTITION_NAMES.get(partition, partition)}"
        for (model,), mine in grouped(rows, "model"):
            judged = model == records[0]["model"]
            # What is remarked on the judged model stands above the table of its baseline.
            before = [] if judged else [row for row in rows if row["model"] == records[0]["model"]]
            yield _main(about if judged else f"{about}, {model}", mine, before)
        yield _sites(about, rows)
        yield from (_comparisons(about, rows), _subgroups(about, rows), _net_benefit(about, rows))
    # Two versions of this table: leading measures for a short report, everything for a full one.
    yield _refusals([row for row in records if row["subgroup"] == EVERYONE and row["metric"] in _LEADING], "brief")
    yield _refusals(records, "full")


def _of_everyone(rows: Iterable[Record], *metrics: str) -> list[Record]:
    """Estimates of the whole partition, or counts in place of them, of these metrics in the rows' order."""
    return [row for row in rows if row["subgroup"] == EVERYONE and row["metric"] in metrics and is_told(row)]


def _labelled(records: list[Record]) -> list[Record]:
    """Rows with `of`: their inputs, and who predicts unless that is the model that is judged, which comes first."""
    judged = records[0]["model"] if records else None
    return [
        {**row, "of": row["inputs"] if row["model"] == judged else f"{row['inputs']}: {row['model']}"}
        for row in records
    ]


def _overview(about: str, rows: list[Record]) -> Table:
    """What a paper's first table has, one column an input configuration."""
    leading = [row for row in _of_everyone(rows, *MEASURES) if row["primary"] and row["at"] is None]
    inputs = list(dict.fromkeys(row["inputs"] for row in leading if row["metric"] == "auc"))
    body = []
    # Of a baseline the AUC only: its other measures stand in the full report.
    asked = (*_OVERVIEW, *_overview_of_validations(leading))
    models = dict.fromkeys(row["model"] for row in leading)
    lines = [(*of, model) for of in asked for model in models if model == rows[0]["model"] or of[1] == "auc"]
    for partition, metric, model in lines:
        place = (partition, metric, model)
        mine = {row["inputs"]: row for row in leading if (row["partition"], row["metric"], row["model"]) == place}
        if not mine:
            continue
        cells = (
            joined("\n", (estimate(mine[name]), counts(mine[name]))) if name in mine else MISSING for name in inputs
        )
        name = f"{short_name(partition)} {MEASURES[metric]}" + ("" if model == rows[0]["model"] else f", {model}")
        body.append((name, *cells))
    baselines = "".join(f" {model}: {BASELINES[model]}." for model in models if model in BASELINES)
    shown = [row for row in leading if (row["partition"], row["metric"]) in asked]
    # The methods stand in the note, so that the table fits a terminal of 80 columns.
    note = (
        "CV: cross-validation, mean ± SD over folds (a spread). Below each estimate its interval and patients (events)."
        f"{baselines} {_methods(shown)}"
    )
    return Table(title=f"{about}: overview", columns=("", *inputs), rows=tuple(body), note=noted(note, shown))


def _methods(rows: Sequence[Record]) -> str:
    """By which method the intervals of each measure are: `Intervals by Wilson (test sensitivity)`."""
    named: dict[str, list[str]] = {}
    for row in rows:
        if row["low"] is not None:
            named.setdefault(row["method"], []).append(
                f"{short_name(row['partition'])} {NAMES.get(row['metric'], row['metric'])}"
            )
    parts = [f"{method} ({', '.join(dict.fromkeys(names))})" for method, names in named.items()]
    return f"Intervals by {'; '.join(parts)}." if parts else ""


def _overview_of_validations(rows: list[Record]) -> list[tuple[str, str]]:
    cohorts = dict.fromkeys(row["partition"] for row in rows if row["partition"] not in PARTITION_NAMES)
    return [(cohort, metric) for cohort in cohorts for metric in _OVERVIEW_OF_VALIDATION]


def _leading_differences(about: str, rows: list[Record]) -> Table:
    """The primary comparison of every pair, cross-validation before test."""
    chosen = [row for row in _of_everyone(rows, "auc_noninferiority", "auc_difference") if row["primary"]]
    body = tuple(
        (joined(" ", (short_name(row["partition"]), _pair(row, "\n"))), estimate(row), p_values(row), counts(row))
        for row in chosen
    )
    columns = ("first − second", "AUC difference", "p", _COUNTED)
    note = noted(_methods(chosen), chosen)
    return Table(title=f"{about}: differences", columns=columns, rows=body, note=note, shown="brief")


def _main(about: str, rows: list[Record], before: list[Record]) -> Table:
    """One column an input configuration, one row a measure and method."""
    chosen = _of_everyone(rows, *(metric for metric in MEASURES if metric not in _OF_PLANS))
    inputs = list(dict.fromkeys(row["inputs"] for row in chosen))
    body = list(_count_rows(chosen, inputs))
    for metric in MEASURES:
        mine = [row for row in chosen if row["metric"] == metric]
        for (_, method), same in grouped(mine, "at", "method"):
            # A method that an input configuration lacks leaves a dash in its column.
            cells = {row["inputs"]: estimate(row) for row in same}
            another = "" if metric != "auc" or same[0]["primary"] else ", another interval"
            name = joined("", (_measure(same[0]), another))
            named = MISSING if all(map(shows_counts, same)) else method
            body.append((name, *(cells.get(one, MISSING) for one in inputs), named))
    # All rows of a run have one level.
    levels = [row["level"] for row in chosen if row["level"] is not None]
    interval = f"{100 * levels[0]:g}% interval by" if levels else "method"
    note = "± is the standard deviation over folds, a spread."
    return Table(
        title=about,
        columns=("", *inputs, interval),
        rows=tuple(body) if chosen else (),
        note=noted(note if any(row["sd"] is not None for row in chosen) else "", chosen, before),
        shown="full",
    )


def _count_rows(chosen: list[Record], inputs: Sequence[str]) -> Iterator[tuple[Phrase, ...]]:
    # Reversed, so that the first row of each input configuration is the one that stays.
    first = {row["inputs"]: row for row in reversed(chosen)}
    for name, column in (("patients", "patients"), ("exams", "exams"), ("events (positive exams)", "positives")):
        yield (name, *(of_summary(first[one], str(first[one][column]), column) for one in inputs), "")


def _measure(row: Record) -> Phrase:
    metric, at = row["metric"], row["at"]
    if at is None:
        whole = metric == "fold_auc_variance" and row["primary"]
        return "SD of the fold AUCs" if whole else MEASURES[metric]
    named = {"sensitivity": "sensitivity at a specificity of", "specificity": "specificity achieved there, wanted"}
    return of_summary(row, f"{named.get(metric, MEASURES[metric])} {at:g}", "at")


def _comparisons(about: str, rows: list[Record]) -> Table:
    metrics = ("auc_noninferiority", "auc_difference", "sensitivity_difference", "specificity_difference")
    chosen = _of_everyone(rows, *metrics)
    bayes = _of_everyone(rows, "probability_first_worse", "probability_equivalent", "probability_first_better")
    body: list[tuple[Phrase, ...]] = [
        (_pair(row), estimate(row), p_values(row), row["method"], counts(row)) for row in chosen
    ]
    for (compared, rope, method), found in grouped(bayes, "of", "at", "method"):
        shares = joined(
            "\n",
            (
                of_summary(row, f"{name} {number(row['estimate'])}", "estimate")
                for name, row in zip(("below", "within", "above"), found, strict=True)
            ),
        )
        named = of_summary(found[0], f"{method}, ±{rope:g}", "at")
        body.append((compared, shares, MISSING, named, counts(found[0])))
    columns = ("first − second", "difference", "p", "method", _COUNTED)
    note = "Of each comparison the first method leads; the others show whether the answer depends on the method."
    if bayes:
        note += " Below, within, above: the probability that the difference lies below, in or above the zone around 0."
    return Table(
        title=f"{about}: differences",
        columns=columns,
        rows=tuple(body),
        note=noted(note, [*chosen, *bayes]),
        shown="full",
    )


def _pair(row: Record, divider: str = " ") -> Phrase:
    """The pair of a comparison, with what is compared unless it is an AUC."""
    if row["metric"] == "auc_noninferiority":
        return of_summary(row, f"{row['of']}:{divider}non-inferiority, margin {row['at']:g}", "at")
    what = {"sensitivity_difference": ": sensitivity", "specificity_difference": ": specificity"}
    return f"{row['of']}{what.get(row['metric'], '')}"


def _sites(about: str, rows: list[Record]) -> Table:
    """Every site that was held out, with the AUC that its exams gave or the reason why there is none."""
    chosen = [row for row in rows if row["subgroup"].startswith(HELD_OUT_SITE) and row["model"] == rows[0]["model"]]
    body = []
    for (subgroup, of), found in grouped(chosen, "subgroup", "of"):
        by_metric = {row["metric"]: row for row in found}
        area = by_metric["auc"]
        refused = of_summary(area, area["reason"], "reason")
        shown: list[Phrase] = [refused if area["state"] == "refused" else estimate(area)]
        shown += [
            estimate(by_metric[name]) if name in by_metric else MISSING for name in ("sensitivity", "specificity")
        ]
        body.append((subgroup.removeprefix(HELD_OUT_SITE), of, *shown, counts(area)))
    columns = ("site held out", "inputs", "AUC", "sensitivity", "specificity", _COUNTED)
    return Table(title=f"{about}: sites", columns=columns, rows=tuple(body), note="")


def _subgroups(about: str, rows: list[Record]) -> Table:
    chosen = [
        row
        for row in rows
        if row["subgroup"] != EVERYONE and is_told(row) and not row["subgroup"].startswith(HELD_OUT_SITE)
    ]
    body = tuple(
        (
            row["inputs"],
            row["subgroup"],
            NAMES[row["metric"]],
            estimate(row),
            MISSING if shows_counts(row) else row["method"],
            counts(row),
        )
        for row in chosen
    )
    columns = ("inputs", "subgroup", "measure", "estimate", "interval by", _COUNTED)
    return Table(title=f"{about}: subgroups", columns=columns, rows=body, note=noted("", chosen), shown="full")


def _net_benefit(about: str, rows: list[Record]) -> Table:
    chosen = _of_everyone(rows, "net_benefit")
    body = []
    for (inputs, at), (model, everyone, nobody) in grouped(chosen, "of", "at"):
        others = joined(" / ", (of_summary(row, number(row["estimate"]), "estimate") for row in (everyone, nobody)))
        threshold = of_summary(model, f"{at:g}", "at")
        body.append((inputs, threshold, estimate(model), others, model["method"], counts(model)))
    columns = ("inputs", "threshold", "net benefit", "treat all / none", "interval by", _COUNTED)
    note = "True positives a patient, less false positives times the odds of the threshold; at these exams' prevalence."
    title, noticed = f"{about}: net benefit", noted(note, chosen)
    return Table(title=title, columns=columns, rows=tuple(body), note=noticed, shown="full")


def _refusals(records: list[Record], shown: Shown) -> Table:
    """What was refused, once a reason."""
    refused = [row for row in records if row["state"] == "refused" and not shows_counts(row)]
    body = []
    for (tracer, partition, metric, reason), found in grouped(refused, "tracer", "partition", "metric", "reason"):
        name = f"{PARTITION_NAMES.get(partition, partition)}, {NAMES.get(metric, metric.replace('_', ' '))}"
        # Three columns, so that words stay whole in a terminal of 80 characters.
        what = joined(": ", (name, joined(", ", dict.fromkeys(map(_where, found)))))
        body.append((tracer, what, of_summary(found[0], reason, "reason")))
    columns = ("tracer", "what was refused", "reason")
    return Table(title=REFUSED, columns=columns, rows=tuple(body), shown=shown)


def _where(row: Record) -> Phrase:
    if row["subgroup"] == EVERYONE:
        return str(row["of"])
    if row["patients"] is None:
        return f"{row['inputs']} ({row['subgroup']})"
    text = f"{row['inputs']} ({row['subgroup']}, {row['patients']} patients, {row['positives']} events)"
    return of_summary(row, text, "patients", "positives")
