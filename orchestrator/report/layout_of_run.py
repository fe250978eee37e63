"""The tables of a report that do not come from its summary, and all tables together in reading order."""

from collections.abc import Iterator
from typing import Final

import pandas as pd

from orchestrator.report.further import further_table
from orchestrator.report.layout import (
    MISSING,
    PARTITION_NAMES,
    Record,
    Table,
    as_records,
    grouped,
    number,
    numbered,
)
from orchestrator.report.manuscript.wording import times_word
from orchestrator.report.records import Report
from orchestrator.report.summary_tables import REFUSED, summary_tables
from orchestrator.report.traced import Traced, of_json

CHOSEN: Final = "chosen_hyperparameters"
"""The key in `summary.json` of what `chosen_hyperparameters` prints."""


def tables_of(report: Report, *, full: bool = True) -> list[Table]:
    """The tables of a full or of a short report, in reading order; empty ones are left out."""
    cells = as_records(report.cells)
    mixes = tuple(_case_mixes(report.case_mix))
    further = further_table(report)
    run = (
        *mixes,
        *(() if further is None else (further,)),
        chosen_hyperparameters(report.cells),
        _failures(cells),
        _exclusions(report),
        _unstable(report),
        facts_table(report),
    )
    kinds = {"always", "full" if full else "brief"}
    return [table for table in (*summary_tables(report.summary), *run) if table.rows and table.shown in kinds]


def _answers(summary: pd.DataFrame) -> list[str]:
    """The answers to the primary hypotheses, the test's before cross-validation's; empty where none was declared."""
    rows = [row for row in as_records(summary) if row["metric"] == "auc_noninferiority"]
    rows.sort(key=lambda row: (str(row["tracer"]), row["partition"] != "test"))
    names = [PARTITION_NAMES.get(row["partition"], row["partition"]) for row in rows]
    return [
        f"{row['tracer']}, {row['endpoint']}, {name}: {row['reason']}." for row, name in zip(rows, names, strict=True)
    ]


def statements(report: Report) -> list[str]:
    """The sentences of a report: the answers first, then openings of the test partition and notices."""
    return [*_answers(report.summary), *uses(report), *report.notices]


def uses(report: Report) -> list[str]:
    """How often the test partition was opened, and a cohort used for a validation."""
    opened = report.openings
    often = f"been opened {times_word(opened)}" if opened else "not been opened"
    lines = [] if opened is None else [f"The test partition has {often}."]
    used = [
        f"The cohort {name} has been used {times_word(uses)} for a validation, of {networks} "
        f"{'set' if networks == 1 else 'sets'} of frozen networks."
        for name, (uses, networks) in report.validations.items()
    ]
    return [*lines, *used]


def failure_tables(report: Report) -> list[Table]:
    """Cells that failed, and what was refused, each reason once; empty where there is neither."""
    refused = [table for table in summary_tables(report.summary) if table.title == REFUSED and table.shown == "full"]
    return [table for table in (_failures(as_records(report.cells)), *refused) if table.rows]


def _case_mixes(found: pd.DataFrame) -> Iterator[Table]:
    """Who the patients of each cohort were, one table a tracer."""
    cohorts = [str(name) for name in found.columns[3:]]
    for (tracer, endpoint), rows in grouped(numbered(found), "tracer", "endpoint") if len(found) else ():
        body = tuple(
            (row["measure"], *(of_json(str(row[name]), "case_mix", row["row"], name) for name in cohorts))
            for row in rows
        )
        yield Table(title=f"{tracer}, {endpoint}: case mix", columns=("", *cohorts), rows=body)


def chosen_hyperparameters(cells: pd.DataFrame) -> Table:
    """What searches chose: counts of stages, medians and ranges of the rest; a column an input configuration."""
    complete = cells[cells["state"] == "complete"] if "state" in cells else cells
    inputs = tuple(dict.fromkeys(complete["inputs"])) if len(complete) else ()
    varied = [str(name) for name in complete.columns if str(name).startswith("hp_") and _varies(complete[name])]
    rows: tuple[tuple[str | Traced, ...], ...] = tuple(
        (
            name.removeprefix("hp_").replace("_", " "),
            *(
                of_json(_chosen(name, complete.loc[complete["inputs"] == one, name]), CHOSEN, place, one)
                for one in inputs
            ),
        )
        for place, name in enumerate(varied)
    )
    note = "Over cells; numbers of stages: how many chose each; the others: median [smallest, largest]."
    return Table(title="Chosen hyperparameters", columns=("", *inputs), rows=rows, note=note, shown="full")


def _varies(values: pd.Series) -> bool:
    """Whether cells chose different values; a hyperparameter that is the same everywhere was not searched."""
    return bool(values.nunique(dropna=False) > 1)


def _chosen(name: str, values: pd.Series) -> str:
    series = values.dropna()
    if series.empty:
        return MISSING
    # Whole numbers with few values: counts say more than a median.
    if name in ("hp_encoder_stages", "hp_freeze_depth"):
        counted = series.astype(int).value_counts().sort_index()
        return ", ".join(f"{depth}: {count}" for depth, count in counted.items())
    return f"{series.median():.2g} [{series.min():.2g}, {series.max():.2g}]"


def _failures(cells: list[Record]) -> Table:
    body = tuple(
        (row["inputs"], _whole(row["repeat"]), _whole(row["fold"]), str(row["reason"]))
        for row in cells
        if row.get("state") == "failed"
    )
    return Table(title="Failed cells", columns=("inputs", "repeat", "fold", "reason"), rows=body)


def _exclusions(report: Report) -> Table:
    body = tuple(
        (partition, reason, of_json(str(count), "exclusions", place, "exams"))
        for place, (partition, reason, count) in enumerate(report.exclusions)
    )
    return Table(title="Exclusions", columns=("partition", "reason", "exams"), rows=body, shown="full")


def _unstable(report: Report) -> Table:
    body = tuple(
        (
            row["tracer"],
            row["inputs"],
            of_json(_whole(row["manifest_row"]), "unstable_exams", row["row"], "manifest_row"),
            of_json(number(row["repeats_wrong"]), "unstable_exams", row["row"], "repeats_wrong"),
            of_json(number(row["probability_range"]), "unstable_exams", row["row"], "probability_range"),
        )
        for row in numbered(report.unstable)
    )
    columns = ("tracer", "inputs", "manifest row", "share of repeats wrong", "probability range")
    title = "Exams most often decided wrongly in cross-validation"
    return Table(title=title, columns=columns, rows=body, shown="full")


def facts_table(report: Report) -> Table:
    """The experiment's settings and software."""
    body = tuple((name, of_json(value, "facts", name)) for name, value in report.facts.items())
    return Table(title="Experiment", columns=("what", "value"), rows=body, shown="full")


def _whole(value: float | None) -> str:
    return MISSING if value is None else str(int(value))
