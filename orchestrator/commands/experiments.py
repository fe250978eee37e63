"""Verbs that train: run, demo, permute and instability."""

import argparse
import os
import sys

from mpi_model.errors import ExperimentError, IncompleteRunError
from orchestrator.commands.checks import loaded_from
from orchestrator.driver.instability import measure_instability
from orchestrator.driver.permute import check_times, permute_labels
from orchestrator.driver.resume import RunOptions, RunOutcome
from orchestrator.driver.run import run_experiment
from orchestrator.experiment.file import load_experiment
from orchestrator.ledger.reading import Run
from orchestrator.report.stored import stored_report
from orchestrator.terminal.progress import progress_for
from orchestrator.terminal.tables import print_report


def run(arguments: argparse.Namespace) -> int:
    """`polarmap run EXPERIMENT`."""
    place = arguments.tensorboard
    if place is not None and os.path.lexists(place) and not os.path.isdir(place):
        raise ExperimentError("`--tensorboard` does not name a folder; name one, new or not")
    options = RunOptions(
        open_test=arguments.open_test,
        retry_failed=arguments.retry_failed,
        runner=arguments.runner,
        address=arguments.address,
        tensorboard=arguments.tensorboard,
    )
    return _show(run_experiment(loaded_from(arguments), options, progress_for(arguments.progress)))


def _show(outcome: RunOutcome) -> int:
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


def demo(arguments: argparse.Namespace) -> int:
    """`polarmap demo [DIR]`: a synthetic cohort, then its experiment; run again, it goes on or has ended."""
    from orchestrator.driver.demo import write_demo  # noqa: PLC0415 - the phantom, which no other of these verbs needs

    experiment = write_demo(arguments.folder, progress_for())
    print(f"a picture of the cohort: {arguments.folder / 'cohort.png'}", file=sys.stderr)
    options = RunOptions(open_test=True, runner=arguments.runner, address=arguments.address)
    return _show(run_experiment(load_experiment(experiment), options, progress_for(arguments.progress)))


def permute(arguments: argparse.Namespace) -> int:
    """`polarmap permute EXPERIMENT --times N`."""
    check_times(arguments.times)
    options = RunOptions(runner=arguments.runner, address=arguments.address)
    report = permute_labels(loaded_from(arguments), arguments.times, options, progress_for(arguments.progress))
    print_report(report, "rich", full=True)
    return 0


def instability(arguments: argparse.Namespace) -> int:
    """`polarmap instability EXPERIMENT --samples N`."""
    options = RunOptions(retry_failed=arguments.retry_failed, runner=arguments.runner, address=arguments.address)
    progress = progress_for(arguments.progress)
    report = measure_instability(loaded_from(arguments), arguments.samples, options, progress)
    print_report(report, "rich", full=True)
    return 0
