"""Verbs that read finished work: report, compare, evaluate."""

import argparse
from pathlib import Path

import pandas as pd

from mpi_model.errors import ExperimentError, IncompleteRunError, StatisticsError
from orchestrator.experiment.settings import DEFAULT_SUBGROUPS, StatisticsSettings
from orchestrator.ledger.reading import Run, open_run
from orchestrator.output_files import write_named_file
from orchestrator.report.build import report_of, settings_of, tables_of
from orchestrator.report.compare import ComparedRun, compare_runs
from orchestrator.report.evaluate import evaluate_predictions
from orchestrator.report.export import export
from orchestrator.report.records import Report
from orchestrator.storage.locations import resolved
from orchestrator.terminal.report import print_report


def report(arguments: argparse.Namespace) -> int:
    """`polarmap report RUN`.

    Raises:
        IncompleteRunError: Cells have no result, and an average over the others was not asked for.
    """
    found = report_of(open_run(arguments.run), drawn=arguments.format == "html", incomplete=arguments.incomplete)
    print_report(found, arguments.format, full=arguments.full)
    if found.lacking:
        raise IncompleteRunError(
            f"the run is incomplete ({', '.join(found.lacking)}) and averages that lack a cell are refused; finish it "
            "with `polarmap run … --retry-failed`, or ask for its whole repeats with --incomplete"
        )
    return 0


def compare(arguments: argparse.Namespace) -> int:
    """`polarmap compare RUN RUN`."""
    first, second = open_run(arguments.first), open_run(arguments.second)
    if resolved(arguments.first) == resolved(arguments.second):
        raise StatisticsError("a run cannot be compared with itself; name two run directories")
    summary = compare_runs(_compared(first), _compared(second), settings_of(first.description))
    print_report(Report(name=f"{first.name} and {second.name}, paired", summary=summary), arguments.format, full=True)
    return 0


def _compared(run: Run) -> ComparedRun:
    return ComparedRun(name=run.name, plan_hash=run.plan, tables=tables_of(run))


def evaluate(arguments: argparse.Namespace) -> int:
    """`polarmap evaluate PREDICTIONS`."""
    predictions = read_predictions(arguments.predictions)
    subgroups = tuple(column for column in DEFAULT_SUBGROUPS if column in predictions)
    settings = StatisticsSettings(level=arguments.level, subgroups=subgroups, endpoints={})
    summary = evaluate_predictions(predictions, settings)
    found = Report(name=arguments.predictions.stem, summary=summary)
    print_report(found, arguments.format, full=arguments.full)
    if arguments.json is not None:
        write_named_file(arguments.json, export(found, "json").encode("utf-8"))
    return 0


def read_predictions(path: Path) -> pd.DataFrame:
    """A table of predictions from a CSV or Parquet file; ids stay text.

    Raises:
        ExperimentError: The file cannot be read.
    """
    texts = dict.fromkeys(("patient_id", "exam_id", "tracer", "inputs", "partition"), "str")
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=texts)
    except (OSError, ValueError) as error:
        raise ExperimentError(
            f"cannot read {path.name} as a table of predictions ({type(error).__name__}); give .csv or .parquet"
        ) from error
