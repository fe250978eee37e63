"""From a run's ledger to its report: summary, tables, figures."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.experiment.settings import Noninferiority, StatisticsSettings
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
    tables, notices = tables_of(run), run.description["notices"]
    refused = () if incomplete else lacking(tables)
    if incomplete and any(unfinished(tables, inputs) for inputs in tables.inputs):
        tables, left_out = whole_repeats(tables)
        notices = [left_out, *notices]  # type: ignore[misc] # experiment.json's form
    summary = summarise(tables, settings_of(run.description))
    return replace(
        report_around(run, summary, run.cells, tables.exams),
        lacking=refused,
        notices=tuple(notices),  # type: ignore[arg-type] # likewise
        unstable=hardest_exams(tables),
        figures={title: svg(figure) for title, figure in figures_of(tables, summary).items()} if drawn else {},
    )


def lacking(tables: RunTables) -> tuple[str, ...]:
    """The inputs whose cross-validation is not complete, or whose final cell failed."""
    failed = set(tables.cells.loc[tables.cells["state"] == "failed", "inputs"])
    return tuple(inputs for inputs in tables.inputs if inputs in failed or unfinished(tables, inputs))


def tables_of(run: Run) -> RunTables:
    """What statistics are made from."""
    settings: Mapping[str, Any] = run.description["settings"]  # type: ignore[assignment] # experiment.json's form
    return RunTables(
        predictions=run.predictions,
        exams=run.cohort,
        folds=run.folds,
        cells=run.cells,
        inputs=tuple(settings["cohort"]["inputs"]),
        patients=settings["cohort"]["patients"],
        calibrated=settings["decision"]["calibration"] != "none",
    )


def settings_of(description: Mapping[str, Any]) -> StatisticsSettings:
    """The statistics settings that were fixed before the run."""
    stored = description["settings"]["statistics"]
    declared = stored.get("noninferiority")
    return StatisticsSettings(
        **{
            **stored,
            "subgroups": tuple(stored["subgroups"]),
            "comparisons": tuple(stored.get("comparisons", ())),
            "noninferiority": None if declared is None else Noninferiority(**declared),
        }
    )


def _file_name(title: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in title.lower()).split())
