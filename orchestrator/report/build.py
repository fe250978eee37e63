"""From a run's ledger to its report: summary, tables, figures."""

from dataclasses import replace

from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.ledger.description import RunDescription
from orchestrator.ledger.files import write_frame
from orchestrator.ledger.reading import Run
from orchestrator.report.export import export
from orchestrator.report.figures import figures_of, svg
from orchestrator.report.models import hardest_exams
from orchestrator.report.records import Report, RunTables
from orchestrator.report.stored import report_around
from orchestrator.report.summary import summarise, unfinished
from orchestrator.report.whole_repeats import whole_repeats

WRITTEN = {"summary.json": "json", "summary.md": "markdown", "report.html": "html"}
"""The report's files with their formats, beside `summary.parquet` and `figures/`."""


def write_report(run: Run) -> Report:
    """Compute the report from the ledger and write it into the run directory."""
    report = report_of(run)
    for name, text_format in WRITTEN.items():
        run.paths.report(name).write_bytes(export(report, text_format).encode("utf-8"))
    for title, text in report.figures.items():
        run.paths.report(f"figures/{_file_name(title)}.svg").write_bytes(text.encode("utf-8"))
    write_frame(run.paths.summary, report.summary)
    return report


def report_of(run: Run, *, drawn: bool = True, incomplete: bool = False) -> Report:
    """The report of a run, finished or not, computed from its ledger alone.

    Args:
        run: The run.
        drawn: Whether figures are drawn, which takes longer than everything else and a terminal cannot show.
        incomplete: Whether an incomplete cross-validation is averaged over its whole repeats, and not refused.

    Raises:
        IncompleteRunError: `incomplete` is asked for and no repeat is whole.
    """
    description, tables = run.description, tables_of(run)
    notices, cells = description.notices, tables.cells
    refused = () if incomplete else lacking(tables)
    if incomplete and any(unfinished(tables, inputs) for inputs in tables.inputs):
        tables, left_out = whole_repeats(tables)
        notices = (left_out, *notices)
    summary = summarise(tables, settings_of(description))
    return replace(
        report_around(run, summary, cells, tables.exams),
        lacking=refused,
        notices=notices,
        unstable=hardest_exams(tables.of(tables.models[0])),
        figures={title: svg(figure) for title, figure in figures_of(tables, summary).items()} if drawn else {},
    )


def lacking(tables: RunTables) -> tuple[str, ...]:
    """The inputs whose cross-validation is not complete, or whose final cell failed."""
    failed = set(tables.cells.loc[tables.cells["state"] == "failed", "inputs"])
    return tuple(inputs for inputs in tables.inputs if inputs in failed or unfinished(tables, inputs))


def tables_of(run: Run) -> RunTables:
    """What statistics are made from."""
    settings = run.description.settings
    predictions, cells, epochs = run.tables("predictions", "cells", "epochs")
    return RunTables(
        predictions=predictions,
        exams=run.cohort,
        folds=run.folds,
        cells=cells,
        inputs=settings.cohort.inputs,
        patients=settings.cohort.patients,
        by=settings.folds.by,
        epochs=epochs,
        objective=settings.search.objective,
        calibrated=settings.decision.calibration != "none",
    )


def settings_of(description: RunDescription) -> StatisticsSettings:
    """The statistics settings that were fixed before the run."""
    return description.settings.statistics


def _file_name(title: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in title.lower()).split())
