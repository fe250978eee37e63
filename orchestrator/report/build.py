"""From a run's ledger to its report: summary, tables, figures."""

import hashlib
import json
from dataclasses import replace

import pandas as pd

from mpi_model.errors import IncompleteRunError
from orchestrator.ledger.compaction import read_compaction
from orchestrator.ledger.files import read_frame
from orchestrator.ledger.reading import Run
from orchestrator.ledger.seals import write_sealed
from orchestrator.report.export import export
from orchestrator.report.figures.of_run import figures_of
from orchestrator.report.manuscript_of_run import ManuscriptParts, manuscript_of
from orchestrator.report.models import hardest_exams
from orchestrator.report.records import Report, RunTables
from orchestrator.report.run_extracts import extracts_of
from orchestrator.report.stored import made_of, report_around
from orchestrator.report.summary import summarise, unfinished
from search_spaces.stored import read_stored_space

# The report's files with their formats, beside `summary.parquet` and `figures/`.
_WRITTEN = {"summary.json": "json", "summary.md": "markdown", "report.html": "html"}


def write_report(run: Run) -> Report:
    """Compute the report from the ledger and write it into the run directory."""
    report = report_of(run)
    # `summary.parquet` is written last: where it exists, the other files are complete.
    texts = {name: export(report, text_format) for name, text_format in _WRITTEN.items()} | dict(report.files)
    files = {name: text.encode("utf-8") for name, text in texts.items()}
    for figure in report.figures:
        files[f"figures/{figure.key}.svg"] = figure.svg.encode("utf-8")
        files[f"figures/{figure.key}.csv"] = figure.csv.encode("utf-8")
    for name, content in files.items():
        run.paths.report(name).write_bytes(content)
    experiment = run.description.hash
    tables = made_of(read_compaction(run.paths, experiment))
    seals = json.dumps({name: hashlib.sha256(content).hexdigest() for name, content in files.items()}, sort_keys=True)
    write_sealed(run.paths.summary, report.summary, experiment, {"tables": tables, "files": seals})
    return report


def report_of(run: Run, *, drawn: bool = True, incomplete: bool = False, manuscript: bool = False) -> Report:
    """The report of a run, finished or not, computed from its ledger alone.

    Args:
        run: The run.
        drawn: Whether figures are drawn, which takes longer than everything else and a terminal cannot show.
        incomplete: Whether an incomplete cross-validation is averaged over its whole repeats, and not refused.
        manuscript: Whether figures are PDF as well, which takes twice as long again.

    Raises:
        IncompleteRunError: `incomplete` is asked for and no repeat is whole.
    """
    description, tables = run.description, run_tables(run)
    left_out, cells = "", tables.cells
    # Noted before repeats are left out, because what remains is complete by construction.
    refused = () if incomplete else _incomplete_inputs(tables)
    if incomplete and any(unfinished(tables, inputs) for inputs in tables.inputs):
        tables, left_out = _whole_repeats(tables)
    summary = summarise(tables, description.settings.statistics)
    parts = manuscript_of(run, tables, pdf=manuscript) if drawn else ManuscriptParts()
    around = report_around(run, summary, cells, tables.exams)
    return replace(
        around,
        incomplete_inputs=refused,
        notices=(left_out, *around.notices) if left_out else around.notices,
        unstable=hardest_exams(tables.of(tables.models[0])),
        extracts={**extracts_of(tables, summary), **parts.extracts},
        sections=parts.sections,
        files=parts.files,
        figures=(*parts.figures, *figures_of(tables, summary, description.settings.statistics, manuscript=manuscript))
        if drawn
        else (),
    )


def _incomplete_inputs(tables: RunTables) -> tuple[str, ...]:
    """The inputs whose cross-validation is not complete, or whose final cell failed."""
    failed = set(tables.cells.loc[tables.cells["state"] == "failed", "inputs"])
    return tuple(inputs for inputs in tables.inputs if inputs in failed or unfinished(tables, inputs))


def _whole_repeats(tables: RunTables) -> tuple[RunTables, str]:
    """Leave out every repeat in which a cell of any inputs has no result, so that all inputs keep the same ones.

    Args:
        tables: Of an incomplete run.

    Returns:
        What is left, and the sentence that says what was left out; test predictions stay as they are.

    Raises:
        IncompleteRunError: No repeat is whole.
    """
    # A repeat is kept only if all its folds are done for all input configurations, so that comparisons stay paired.
    due = tables.folds.groupby("repeat")["fold"].nunique() * len(tables.inputs)
    done = tables.cells[tables.cells["repeat"].notna() & (tables.cells["state"] == "complete")].groupby("repeat").size()
    kept = [repeat for repeat, cells in due.items() if done.get(repeat, 0) == cells]
    if not kept:
        failed = " --retry-failed" if (tables.cells["state"] == "failed").any() else ""
        raise IncompleteRunError(
            f"none of {len(due)} repeats is whole, so there is nothing to average over; finish the run with "
            f"`polarmap run …{failed}`"
        )
    cells, predictions = (
        table[table["repeat"].isna() | table["repeat"].isin(kept)] for table in (tables.cells, tables.predictions)
    )
    folds = tables.folds[tables.folds["repeat"].isin(kept)]
    left_out = (
        f"INCOMPLETE, as asked for: cross-validation over {len(kept)} of {len(due)} repeats; the others lack cells, "
        "and cells fail for reasons that have to do with their results"
    )
    return replace(tables, cells=cells, predictions=predictions, folds=folds), left_out


def run_tables(run: Run) -> RunTables:
    """What statistics are made from."""
    settings = run.description.settings
    predictions, cells, epochs, candidates = run.tables("predictions", "cells", "epochs", "candidates")
    # The parts of a flat search judge nobody: what they found is kept apart from what the run's networks predict.
    searched = predictions[predictions["partition"] == "search"]
    predictions, cells, candidates = (
        table[table["partition"] != "search"].reset_index(drop=True) for table in (predictions, cells, candidates)
    )
    return RunTables(
        predictions=predictions,
        searched=searched,
        search=settings.search,
        members=settings.training.members,
        budget=settings.training.budget,
        exams=run.cohort,
        folds=run.folds,
        cells=cells,
        inputs=settings.cohort.inputs,
        patients=settings.cohort.patients,
        by=settings.folds.by,
        epochs=epochs,
        candidates=candidates,
        space=read_stored_space(run.description.space),
        maps=read_frame(run.paths.maps) if run.paths.maps.exists() else None,
        attributions=run.attributions if run.paths.table("attributions").exists() else pd.DataFrame(),
        calibrated=settings.decision.calibration != "none",
    )
