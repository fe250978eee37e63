"""What sections of the page say that is not in summary and figures: computed from a run, without patients' ids."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.ledger.reading import Run
from orchestrator.report.figures.drawing import house_style, rendered
from orchestrator.report.figures.flow import flow
from orchestrator.report.manuscript.characteristics import left_out, table_one
from orchestrator.report.manuscript.methods import Methods, methods
from orchestrator.report.manuscript.participants import participants
from orchestrator.report.manuscript.tables import traced_tables
from orchestrator.report.records import ReportFigure, RunTables


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSections:
    """What a run's sections need."""

    content: Mapping[str, object] = field(default_factory=dict)
    """By the keys of `page.sections.TITLES`: a frozen record for the section's template, or why there is none."""
    figures: tuple[ReportFigure, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """Beside the page, by name."""


def run_sections(run: Run, tables: RunTables) -> RunSections:
    """The sections that a run alone can fill.

    Args:
        run: The run.
        tables: Its tables, with whole repeats only where a report over them was asked for.
    """
    settings, exams = run.description.settings, tables.exams
    opened = bool((tables.predictions["partition"] == "test").any())
    ones = traced_tables(table_one(exams, settings, test_labels=opened), "table_one.csv")
    missing = traced_tables(left_out(exams, settings, test_labels=opened), "left_out.csv")
    written = methods_of(run, tables)
    with house_style():
        diagram = rendered(flow(participants(exams, tables.folds, settings, test_labels=opened)))
    return RunSections(
        content={"flow": missing, "table-one": ones, "methods": written},
        figures=(diagram,),
        files={
            "table_one.csv": ones.csv,
            **({"left_out.csv": missing.csv} if missing.tables else {}),
            "methods.md": f"{written.text}\n",
            "references.bib": "\n\n".join(one.bibtex for one in written.references) + "\n",
        },
    )


def methods_of(run: Run, tables: RunTables) -> Methods:
    """The methods paragraph of a run."""
    partitions = tables.exams["partition"]
    return methods(
        run.description,
        tuple(tables.exams.columns),
        opened=bool((tables.predictions["partition"] == "test").any()),
        tested=bool((partitions == "test").any()),
    )
