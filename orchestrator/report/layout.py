"""Tables of texts, and how the numbers of the summary are written in them."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from orchestrator.report.records import EVERYONE
from orchestrator.report.traced import Phrase

PARTITION_NAMES = {"development": "cross-validation", "test": "test partition"}
MISSING = "—"

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
    note: str = ""
    shown: Shown = "always"
    """`brief`: only in a short report; `full`: only in a full one."""


def as_records(frame: pd.DataFrame) -> list[Record]:
    """The rows of a frame, None where a value is missing."""
    cleaned = frame.astype("object").where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in cleaned.to_dict(orient="records")]


def numbered(summary: pd.DataFrame) -> list[Record]:
    """The rows of a whole summary, each with its place in it as `row`, so that its numbers can be traced."""
    return [{**record, "row": place} for place, record in enumerate(as_records(summary))]


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


def estimate(row: Record) -> str:
    """The estimate with its spread, and its interval on the next line."""
    spread = "" if row["sd"] is None else f" ± {number(row['sd'])}"
    if row["metric"] == "auc_above_chance":
        return f"p {_p_value(row['p'])}"
    test = f", p {_p_value(row['p'])}" if row["subgroup"] != EVERYONE and row["p"] is not None else ""
    interval = "" if row["low"] is None else f"\n[{number(row['low'])}, {number(row['high'])}]"
    return f"{_small(row)}{spread}{test}{interval}"


def counts(row: Record) -> str:
    """Patients and events of a row."""
    patients, events = (MISSING if row[name] is None else str(row[name]) for name in ("patients", "positives"))
    return f"{patients} ({events})"


def p_values(row: Record) -> str:
    """The p-value, and below it Holm's where the row has one."""
    return _p_value(row["p"]) if row["p_holm"] is None else f"{_p_value(row['p'])}\nHolm {_p_value(row['p_holm'])}"


def _small(row: Record) -> str:
    """The estimate; a variance of fold AUCs, some thousandths, as the standard deviation it stands for."""
    return number(row["estimate"] ** 0.5 if row["metric"] == "fold_auc_variance" else row["estimate"])
