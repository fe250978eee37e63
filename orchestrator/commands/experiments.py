"""Verbs that train: run and permute."""

import argparse
import sys

from mpi_model.errors import ExperimentError, IncompleteRunError
from orchestrator.commands.checks import loaded_from
from orchestrator.commands.engine import engine_loader
from orchestrator.ledger.reading import Run
from orchestrator.permutations import permute_labels
from orchestrator.reporting import report_of
from orchestrator.run import RunOptions, RunOutcome, run_experiment
from orchestrator.terminal.progress import progress_for
from orchestrator.terminal.report import print_report


def run(arguments: argparse.Namespace) -> int:
    """`polarmap run EXPERIMENT`."""
    options = RunOptions(open_test=arguments.open_test, retry_failed=arguments.retry_failed)
    outcome = run_experiment(loaded_from(arguments), options, engine_loader(arguments), progress_for())
    return show(outcome)


def show(outcome: RunOutcome) -> int:
    """Print how a run ended.

    Raises:
        IncompleteRunError: Some cells failed.
    """
    if not (outcome.done_now or outcome.opened_now):
        print(f"nothing to do: {outcome.cells} of {outcome.cells} cells have ended", file=sys.stderr)
    print_report(report_of(Run(outcome.paths), drawn=False, stored=True), "rich")
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
    report = permute_labels(loaded_from(arguments), arguments.times, engine_loader(arguments), progress_for())
    print_report(report, "rich", full=True)
    return 0
