"""Prints a run's report on standard output."""

from orchestrator.report.records import Report
from orchestrator.report.tables import render
from orchestrator.terminal.consoles import standard_output


def print_report(report: Report, text_format: str) -> None:
    """Print a report in one of the formats of `polarmap report`."""
    render(report, text_format, standard_output())
