"""The sections of the page, in order: each has a template of its name and says something, or why it does not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Final

from orchestrator.report.layout import Table
from orchestrator.report.layout_of_run import facts_table, failure_tables, tables_of
from orchestrator.report.manuscript.checklists import CHECKLISTS, Checklist, checklist
from orchestrator.report.manuscript.methods import Methods
from orchestrator.report.page.answer import answer
from orchestrator.report.page.measures import calibration, discrimination, net_benefit, subgroups
from orchestrator.report.page.search import search
from orchestrator.report.page.stability import stability
from orchestrator.report.records import Report, ReportFigure
from orchestrator.report.traced import plain

TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "answer": "The answer",
        "flow": "Patients and exams",
        "table-one": "Characteristics of the patients",
        "discrimination": "Discrimination",
        "calibration": "Calibration",
        "net-benefit": "Net benefit",
        "subgroups": "Subgroups",
        "attribution": "Where the network looks",
        "stability": "Stability",
        "search": "The search",
        "methods": "Methods",
        "checklists": "Checklists",
        "errors": "Errors and refusals",
        "provenance": "Provenance",
        "tables": "All tables",
    }
)
"""The heading of each section by its key, in the order of the page; `templates/<key>.html` prints it."""


_IN_EVERY_RUN: Final = ("answer", "provenance", "tables")
"""Sections that a run's report has in any case."""


def _checklists(report: Report) -> tuple[Checklist, ...] | None:
    """Every checklist; None for a report without a methods paragraph, such as that of predictions made elsewhere."""
    if "methods" not in report.sections:
        return None
    return tuple(checklist_of(report, name) for name in CHECKLISTS)


def checklist_of(report: Report, name: str) -> Checklist:
    """A checklist, answered with the sections that the report's page has.

    Args:
        report: Of a run, with its sections and figures.
        name: A key of `CHECKLISTS`.
    """
    written = report.sections["methods"]
    assert isinstance(written, Methods)  # `sections` cannot say which record lies under which key
    # Only sections that say something: a link to them answers a question.
    said = (key for key, content in report.sections.items() if not isinstance(content, str))
    filled = frozenset((*_IN_EVERY_RUN, *said, *(figure.section for figure in report.figures)))
    return checklist(name, written, filled)


def _errors(report: Report) -> tuple[Table, ...]:
    """Failed cells, and every number that was refused with its reason; no table where nothing was."""
    return tuple(failure_tables(report))


def _provenance(report: Report) -> Table | None:
    """Hashes, versions, settings."""
    table = facts_table(report)
    return table if table.rows else None


def _all_tables(report: Report) -> tuple[Table, ...] | None:
    """Every table of the report, folded; None for a report without any."""
    return tuple(tables_of(report)) or None


_FROM_REPORT: Final[Mapping[str, Callable[[Report], object]]] = MappingProxyType(
    {
        "answer": answer,
        "discrimination": discrimination,
        "calibration": calibration,
        "net-benefit": net_benefit,
        "subgroups": subgroups,
        "stability": stability,
        "search": search,
        "checklists": _checklists,
        "errors": _errors,
        "provenance": _provenance,
        "tables": _all_tables,
    }
)
"""Sections that any report has; the others are in `Report.sections`, or are figures alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section with what its template prints."""

    key: str
    title: str
    content: object | None
    """The record that `templates/<key>.html` knows."""
    reason: str
    """Why there is nothing to show; empty where there is."""
    figures: tuple[tuple[ReportFigure, ...], ...]
    """Panels with one caption stand together."""

    @property
    def template(self) -> str:
        """The file that prints it."""
        return f"{self.key}.html"


def sections_of(report: Report) -> list[Section]:
    """The sections of a report that say something, or say why they do not; the others are left out."""
    found = (_section(key, report) for key in TITLES)
    return [one for one in found if one.content is not None or one.reason or one.figures]


def _section(key: str, report: Report) -> Section:
    content = _FROM_REPORT[key](report) if key in _FROM_REPORT else report.sections.get(key)
    figures = [figure for figure in report.figures if figure.section == key]
    return Section(
        key=key,
        title=TITLES[key],
        content=None if isinstance(content, str) else content,
        reason=content if isinstance(content, str) else "",
        figures=tuple(tuple(panels) for _, panels in groupby(figures, key=lambda figure: plain(figure.caption))),
    )
