"""One run, from an experiment file to its tables: the straight line that everything else hangs from."""

import logging

from orchestrator.cells.records import CellKey
from orchestrator.cells.tasks import cell_task
from orchestrator.driver.prepare import Prepared
from orchestrator.driver.resume import (
    ResolvedRun,
    RunOptions,
    RunOutcome,
    finished_outcome,
    is_test_open,
    outcome_of,
    resolve_run,
)
from orchestrator.experiment.processor import check_precision
from orchestrator.experiment.settings import LoadedExperiment
from orchestrator.ledger.compaction import compact, is_compacted
from orchestrator.ledger.directory import open_run
from orchestrator.ledger.identity import experiment_hash
from orchestrator.ledger.integrity import mend
from orchestrator.ledger.parts import (
    candidates_among,
    committed_markers,
    committed_states,
    files_of_cells,
    forget_report,
    set_aside,
)
from orchestrator.ledger.paths import RunPaths
from orchestrator.ledger.reading import Run
from orchestrator.monitoring.log import event, logging_to
from orchestrator.monitoring.progress import Progress
from orchestrator.runners.runner import Job, Runner


def run_experiment(
    loaded: LoadedExperiment, options: RunOptions, progress: Progress, runner: Runner | None = None
) -> RunOutcome:
    """Run an experiment, or what is left of it; run it again to resume.

    Args:
        loaded: The experiment.
        options: Whether the test is opened, whether failed cells are tried again, and who runs the cells.
        progress: Told what goes on.
        runner: Runs the cells instead of the one that `options` names.

    Raises:
        PolarmapError: See `mpi_model.errors`; what was finished stays in the ledger.
    """
    resolved = resolve_run(loaded, options, progress)
    return finished_outcome(resolved) or _run_remaining(resolved, progress, runner)


def _run_remaining(resolved: ResolvedRun, progress: Progress, runner: Runner | None) -> RunOutcome:
    """Do what is left of a run: train, compact, report, open the test."""
    paths, keys, options = resolved.paths, resolved.keys, resolved.options
    precision = resolved.prepared.loaded.experiment.training.precision
    if not paths.experiment.exists():
        check_precision(precision, resolved.device)  # a run that cannot begin leaves no directory
    with paths.storage.hold(), logging_to(paths):
        open_run(paths, resolved.record)
        _log_warnings(mend(paths, experiment_hash(resolved.facts)), progress)
        if options.retry_failed:
            _set_aside_failed(paths, keys)
        jobs = pending_jobs(resolved.prepared, paths, keys)
        if jobs:
            check_precision(precision, resolved.device)  # it may have been begun on another machine
            forget_report(paths)
            progress.say(f"loading torch{' and Ray' if options.runner == 'ray' else ''}")
            from orchestrator.driver.training import train  # noqa: PLC0415 - torch; a finished run answers without it

            train(jobs, resolved, progress, runner)
        refresh_report(paths)
        opened = options.open_test and not is_test_open(paths, keys)
        if opened:
            forget_report(paths)
            from orchestrator.driver.open_test import open_test  # noqa: PLC0415 - torch, likewise

            open_test(resolved.prepared, paths, experiment_hash(resolved.facts), keys, resolved.device)
            event(logging.INFO, "test_opened", "the test partition was opened and predicted")
            refresh_report(paths)
    return outcome_of(resolved, committed_states(paths), done_now=len(jobs), opened_now=opened)


def refresh_report(paths: RunPaths) -> None:
    """Compact the ledger and write the report, unless they are there and nothing has changed since."""
    if not is_compacted(paths):
        from orchestrator.report.build import write_report  # noqa: PLC0415 - matplotlib; a current report needs none

        compact(paths)
        write_report(Run(paths))


def pending_jobs(prepared: Prepared, paths: RunPaths, keys: list[CellKey]) -> list[Job]:
    """What the ledger says is left to do: the cells without a commit marker."""
    inner_folds = prepared.loaded.experiment.search.inner_folds
    files = files_of_cells(paths)
    markers = committed_markers(paths, files)
    return [
        Job(
            task=cell_task(key, prepared.plan, prepared.cohort.exams, prepared.eligible, inner_folds),
            finished=candidates_among(paths, key, files.get(key.name, ())),
        )
        for key in keys
        if key.name not in markers
    ]


def _log_warnings(lines: list[str], progress: Progress) -> None:
    """Show and log what was found damaged."""
    for line in lines:
        progress.say(line)
        event(logging.WARNING, "set_aside", line)


def _set_aside_failed(paths: RunPaths, keys: list[CellKey]) -> None:
    states = committed_states(paths)
    for key in keys:
        if states.get(key.name) == "failed":
            forget_report(paths)
            set_aside(paths, key.name, "failed")
