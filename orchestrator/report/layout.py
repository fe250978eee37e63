"""Tables of texts, and how the numbers of the summary are written in them."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from orchestrator.report.counts import NO_DIFFERENCE, shows_counts
from orchestrator.report.records import EVERYONE
from orchestrator.report.traced import Phrase, of_summary

PARTITION_NAMES = {"development": "cross-validation", "test": "test partition"}
MISSING = "—"
_NUMBERS = ("estimate", "sd", "low", "high", "p", "p_holm")

Shown = Literal["always", "brief", "full"]

Record = dict[str, Any]
"""A row of the summary by column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of texts."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Phrase, ...], ...]
    """Cells; those with numbers know their source."""
    note: Phrase = ""
    shown: Shown = "always"
    """`brief`: only in a short report; `full`: only in a full one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TablesWithWarnings:
    """What a section of the cohort page shows, and what of it is repeated under its heading "What to look at"."""

    tables: tuple[Table, ...]
    warnings: tuple[str, ...]


def as_records(frame: pd.DataFrame) -> list[Record]:
    """The rows of a frame, None where a value is missing."""
    cleaned = frame.astype("object").where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in cleaned.to_dict(orient="records")]


def numbered(summary: pd.DataFrame) -> list[Record]:
    """The rows of a whole summary as reports may show them, each with its place in it as `row`, to trace its numbers.

    A row that has counts in place of an AUC comes without its numbers, so that no table or figure can show them.
    """
    return [{**_shown(record), "row": place} for place, record in enumerate(as_records(summary))]


def _shown(record: Record) -> Record:
    return {**record, **dict.fromkeys(_NUMBERS)} if shows_counts(record) else record


def grouped(records: Iterable[Record], *columns: str) -> list[tuple[tuple[Any, ...], list[Record]]]:
    """Records with equal values in some columns, tracers first in order, others as they come."""
    groups: dict[tuple[Hashable, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record[name] for name in columns), []).append(record)
    if columns[0] == "tracer":
        return sorted(groups.items(), key=lambda item: str(item[0][0]))
    return list(groups.items())


def number(value: float | None) -> str:
    """Three decimals, or a dash where there is none."""
    return MISSING if value is None else f"{value:.3f}"


def _p_value(value: float | None) -> str:
    """Three decimals, never 0."""
    return "< 0.001" if value is not None and value < 0.001 else number(value)


def estimate(row: Record) -> Phrase:
    """The estimate with its spread, and its interval on the next line; or the counts in place of it."""
    if shows_counts(row):
        # The numbers of exams stand beside a difference already.
        return NO_DIFFERENCE if str(row["reason"]).endswith(NO_DIFFERENCE) else of_summary(row, row["reason"], "reason")
    if row["metric"] == "auc_above_chance":
        return of_summary(row, f"p {_p_value(row['p'])}", "p")
    text, columns = _small(row), ["estimate"]
    if row["sd"] is not None:
        text, columns = f"{text} ± {number(row['sd'])}", [*columns, "sd"]
    if row["subgroup"] != EVERYONE and row["p"] is not None:
        text, columns = f"{text}, p {_p_value(row['p'])}", [*columns, "p"]
    if row["low"] is not None:
        text, columns = f"{text}\n[{number(row['low'])}, {number(row['high'])}]", [*columns, "low", "high"]
    return of_summary(row, text, *columns)


def counts(row: Record) -> Phrase:
    """Patients and events of a row."""
    patients, events = (MISSING if row[name] is None else str(row[name]) for name in ("patients", "positives"))
    return of_summary(row, f"{patients} ({events})", "patients", "positives")


def p_values(row: Record) -> Phrase:
    """The p-value, and below it Holm's where the row has one."""
    if row["p_holm"] is None:
        return of_summary(row, _p_value(row["p"]), "p")
    return of_summary(row, f"{_p_value(row['p'])}\nHolm {_p_value(row['p_holm'])}", "p", "p_holm")


def _small(row: Record) -> str:
    """The estimate; a variance of fold AUCs, some thousandths, as the standard deviation it stands for."""
    if row["metric"] == "patients_of_next_study" and row["estimate"] is not None:
        return f"{row['estimate']:.0f}"
    return number(row["estimate"] ** 0.5 if row["metric"] == "fold_auc_variance" else row["estimate"])
