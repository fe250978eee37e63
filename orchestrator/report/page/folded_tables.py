"""Every table of the report, folded."""

from dataclasses import dataclass

from orchestrator.report.layout import Table
from orchestrator.report.layout_of_run import tables_of
from orchestrator.report.records import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class _FoldedTables:
    """The tables of a full report."""

    tables: tuple[Table, ...]


def folded_tables(report: Report) -> _FoldedTables | None:
    """All tables; None for a report without any."""
    tables = tuple(tables_of(report))
    return _FoldedTables(tables=tables) if tables else None
