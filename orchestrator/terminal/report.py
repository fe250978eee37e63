"""Prints a run's report on standard output."""

from orchestrator.report.records import Report
from orchestrator.terminal.consoles import standard_output
from orchestrator.terminal.tables import render


def print_report(report: Report, text_format: str, *, full: bool = False) -> None:
    """Print a report in one of the formats of `polarmap report`; a rich one is short unless `full`."""
    render(report, text_format, standard_output(), full=full)
