"""Verbs that train: run and permute."""

import argparse
import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from mpi_model.errors import ExperimentError, IncompleteRunError
from orchestrator.commands.checks import loaded_from
from orchestrator.commands.engine import engine_loader
from orchestrator.driver.resume import RunOptions, RunOutcome, ended, recognise
from orchestrator.experiment.settings import LoadedExperiment
from orchestrator.ledger.reading import Run
from orchestrator.monitoring.progress import Progress
from orchestrator.report.records import Report
from orchestrator.report.stored import stored_report
from orchestrator.terminal.progress import progress_for
from orchestrator.terminal.report import print_report

if TYPE_CHECKING:
    from orchestrator.driver.engine import Engine


def run(arguments: argparse.Namespace) -> int:
    """`polarmap run EXPERIMENT`."""
    options = RunOptions(open_test=arguments.open_test, retry_failed=arguments.retry_failed)
    progress = progress_for(arguments.progress)
    return show(run_or_recognise(loaded_from(arguments), options, engine_loader(arguments), progress))


def run_or_recognise(
    loaded: LoadedExperiment, options: RunOptions, load_engine: "Callable[[], Engine]", progress: Progress
) -> RunOutcome:
    """`orchestrator.driver.run.run_experiment`, whose imports a finished run does not wait for."""
    known = recognise(loaded, options, load_engine, progress)
    finished = ended(known)
    if finished is not None:
        return finished
    outcome: RunOutcome = importlib.import_module("orchestrator.driver.run").carry_out(known, load_engine, progress)
    return outcome


def show(outcome: RunOutcome) -> int:
    """Print how a run ended.

    Raises:
        IncompleteRunError: Some cells failed.
    """
    if not (outcome.done_now or outcome.opened_now):
        print(f"nothing to do: {outcome.cells} of {outcome.cells} cells have ended", file=sys.stderr)
    print_report(stored_report(Run(outcome.paths)), "rich")
    print(f"every method and subgroup: polarmap report {outcome.paths.root} --full", file=sys.stderr)
    print(f"report and figures: {outcome.paths.root}/report/report.html", file=sys.stderr)
    if outcome.failed:
        raise IncompleteRunError(
            f"{len(outcome.failed)} of {outcome.cells} cells failed; the reasons are in the report; "
            "`polarmap run … --retry-failed` does them again"
        )
    return 0


def permute(arguments: argparse.Namespace) -> int:
    """`polarmap permute EXPERIMENT --times N`."""
    if arguments.times < 1:
        raise ExperimentError(f"`--times` must be at least 1, but is {arguments.times}")
    permute_labels = importlib.import_module("orchestrator.driver.permute").permute_labels
    progress = progress_for(arguments.progress)
    report: Report = permute_labels(loaded_from(arguments), arguments.times, engine_loader(arguments), progress)
    print_report(report, "rich", full=True)
    return 0
