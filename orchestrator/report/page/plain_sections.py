"""Sections that are tables alone: what failed or was refused, and what the numbers were made with."""

from dataclasses import dataclass

from orchestrator.report.layout import Table
from orchestrator.report.layout_of_run import facts_table, failure_tables
from orchestrator.report.records import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """What failed and what was refused; no table where nothing was."""

    tables: tuple[Table, ...]


def errors(report: Report) -> Errors:
    """Failed cells, and every number that was refused with its reason."""
    return Errors(tables=tuple(failure_tables(report)))


def provenance(report: Report) -> Table | None:
    """Hashes, versions, settings."""
    table = facts_table(report)
    return table if table.rows else None
