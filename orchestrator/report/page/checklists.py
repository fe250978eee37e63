"""The checklists of a report: answered with what the page has."""

from orchestrator.report.manuscript.checklists import CHECKLISTS, Checklist, checklist
from orchestrator.report.manuscript.methods import Methods
from orchestrator.report.records import Report

_IN_EVERY_RUN = ("answer", "provenance", "tables")
"""Sections that a run's report has in any case."""


def checklists(report: Report) -> tuple[Checklist, ...] | None:
    """Every checklist; None for a report without a methods paragraph, such as that of predictions made elsewhere."""
    found = report.sections.get("methods")
    if not isinstance(found, Methods):
        return None
    return tuple(checklist(name, found, sections_with_content(report)) for name in CHECKLISTS)


def sections_with_content(report: Report) -> frozenset[str]:
    """Keys of the sections that say something, so that a link to them answers a question."""
    said = (key for key, content in report.sections.items() if not isinstance(content, str))
    return frozenset((*_IN_EVERY_RUN, *said, *(figure.section for figure in report.figures)))
