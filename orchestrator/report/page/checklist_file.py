"""One checklist of a run's report as a file."""

from orchestrator.report.manuscript.checklist_files import checklist_file
from orchestrator.report.manuscript.checklists import checklist
from orchestrator.report.manuscript.methods import Methods
from orchestrator.report.page.checklists import sections_with_content
from orchestrator.report.page.sections import TITLES
from orchestrator.report.records import Report


def checklist_of(report: Report, name: str, text_format: str) -> bytes:
    """A checklist, answered with the sections that the report's page has.

    Args:
        report: Of a run, with its sections and figures.
        name: A key of `CHECKLISTS`.
        text_format: A key of `CHECKLIST_FORMATS`.

    Raises:
        ExperimentError: DOCX was asked for and its package is not installed.
    """
    written = report.sections["methods"]
    assert isinstance(written, Methods)  # every run has a methods paragraph
    answered = checklist(name, written, sections_with_content(report))
    return checklist_file(answered, report.name, TITLES, text_format)
