"""What a run gives a manuscript beside its results: sections of the page, their figure, numbers and files."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from orchestrator.ledger.reading import Run
from orchestrator.report.figures.drawing import house_style, rendered
from orchestrator.report.figures.flow import flow
from orchestrator.report.manuscript.characteristics import left_out, table_one
from orchestrator.report.manuscript.methods import methods
from orchestrator.report.manuscript.participants import participants
from orchestrator.report.manuscript.tables import traced_tables
from orchestrator.report.records import ReportFigure, RunTables


@dataclass(frozen=True, slots=True, kw_only=True)
class ManuscriptParts:
    """Nothing but what stands in the run's description, cohort and fold plan; no patient."""

    sections: Mapping[str, object] = field(default_factory=dict)
    """By the keys of `page.sections.TITLES`."""
    extracts: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """The numbers of their tables, by the keys of `summary.json`."""
    figures: tuple[ReportFigure, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts beside the page, by name."""


def manuscript_of(run: Run, tables: RunTables, *, pdf: bool = False) -> ManuscriptParts:
    """Flow, Table 1 and the methods paragraph of a run.

    Args:
        run: The run.
        tables: Its tables, with whole repeats only where a report over them was asked for.
        pdf: Whether the flow diagram is PDF as well.
    """
    settings, exams = run.description.settings, tables.exams
    # Labels of the test partition are counted only where somebody has opened it.
    opened = bool((tables.predictions["partition"] == "test").any())
    tested = bool((exams["partition"] == "test").any())
    ones = traced_tables(table_one(exams, settings, test_labels=opened), "table_one")
    missing = traced_tables(left_out(exams, settings, test_labels=opened), "left_out")
    written = methods(run.description, tuple(exams.columns), opened=opened, tested=tested)
    with house_style():
        diagram = rendered(flow(participants(exams, tables.folds, settings, test_labels=opened)), manuscript=pdf)
    return ManuscriptParts(
        sections={"flow": missing, "table-one": ones, "methods": written},
        extracts={"table_one": ones.numbers, "left_out": missing.numbers},
        figures=(diagram,),
        files={
            "methods.md": f"{written.text}\n",
            "references.bib": "\n\n".join(one.bibtex for one in written.references) + "\n",
        },
    )
