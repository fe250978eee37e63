"""From a run's ledger to its report: summary, tables, figures."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.ledger.files import write_frame
from orchestrator.ledger.locations import beside, open_storage
from orchestrator.ledger.openings import read_openings, test_exams_hash
from orchestrator.ledger.reading import Run
from orchestrator.report.export import export
from orchestrator.report.figures import figures_of, svg
from orchestrator.report.models import hardest_exams
from orchestrator.report.records import Report, RunTables
from orchestrator.report.summary import summarise

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


def report_of(run: Run, *, drawn: bool = True, stored: bool = False) -> Report:
    """The report of a run, finished or not, from its ledger alone.

    Args:
        run: The run.
        drawn: Whether figures are drawn, which takes longer than everything else and a terminal cannot show.
        stored: Whether the summary is the one the run has written, instead of being computed anew.
    """
    description: Mapping[str, Any] = run.description
    tables = tables_of(run)
    summary = run.summary if stored else summarise(tables, settings_of(description))
    return Report(
        name=str(description["name"]),
        summary=summary,
        cells=tables.cells,
        facts=_facts(description, tables.cells),
        exclusions=tuple((item["partition"], item["reason"], item["count"]) for item in description["exclusions"]),
        openings=openings_of(run, tables.exams),
        unstable=hardest_exams(tables),
        figures={title: svg(figure) for title, figure in figures_of(tables, summary).items()} if drawn else {},
        notices=tuple(description["notices"]),
    )


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
    return StatisticsSettings(**{**stored, "subgroups": tuple(stored["subgroups"])})


def openings_of(run: Run, exams: pd.DataFrame) -> int | None:
    """How often the run's test partition was opened by experiments of this folder; None where it has none."""
    if not (exams["partition"] == "test").any():
        return None
    return len(read_openings(open_storage(beside(run.paths.root, "test_openings")), test_exams_hash(exams)))


def _facts(description: Mapping[str, Any], cells: pd.DataFrame) -> dict[str, str]:
    settings = description["settings"]
    inner = settings["search"]["inner_folds"]
    return {
        "network": f"{settings['network']['backbone']}, {settings['network']['weights']} weights, "
        f"{settings['network']['heads']} heads, {settings['images']['size']} px",
        "cross-validation": f"{settings['folds']['folds']} folds × {settings['folds']['repeats']} repeats, "
        f"by patient; candidates chosen on {'one 20 % hold-out' if inner == 1 else f'{inner} inner folds'}",
        "search": f"{settings['search']['space']}, {settings['search']['candidates']} candidates a cell",
        "cells": ", ".join(f"{count} {state}" for state, count in cells["state"].value_counts().items()),
        "threshold": settings["decision"]["threshold"],
        "calibration": settings["decision"]["calibration"],
        "experiment": description["hash"][:12],
        "fold plan": description["plan"][:12],
        "software": ", ".join(
            f"{library} {description['facts'][f'versions.{library}']}"
            for library in ("polarmap-tune", "torch", "optuna")
        ),
        "device": description["facts"]["device"],
    }


def _file_name(title: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in title.lower()).split())
