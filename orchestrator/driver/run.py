"""One run, from an experiment file to its report. Read this module first: its calls are the steps of a run."""

import logging
from collections.abc import Sequence

from orchestrator.cells.records import CellKey, cell_keys
from orchestrator.driver.flat_search import scores_of_parts, task_of
from orchestrator.driver.prepare import Prepared
from orchestrator.driver.resume import ResolvedRun, RunOptions, RunOutcome, quarantine_failed, record_of, resolve_run
from orchestrator.experiment.processor import check_precision
from orchestrator.experiment.settings import LoadedExperiment
from orchestrator.ledger.compaction import compact
from orchestrator.ledger.directory import begin_run
from orchestrator.ledger.integrity import Damage, find_damage, quarantine_damaged
from orchestrator.ledger.reading import Run
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.log import event, logging_to
from orchestrator.monitoring.progress import Progress
from orchestrator.report.stored import is_current
from orchestrator.runners.runner import Job, Runner


def run_experiment(
    loaded: LoadedExperiment, options: RunOptions, progress: Progress, runner: Runner | None = None
) -> RunOutcome:
    """Run an experiment, or what is left of it; run it again to resume.

    Args:
        loaded: The experiment.
        options: Whether the test is opened, whether failed cells are tried again, and who runs the cells.
        progress: Shows what the driver is doing.
        runner: Runs the cells instead of the one that `options` names.

    Raises:
        PolarmapError: See `mpi_model.errors`; what was finished stays in the ledger.
    """
    resolved = resolve_run(loaded, options, progress)
    paths = resolved.paths
    if not paths.experiment.exists():
        # Before anything is written: a run that cannot begin leaves no directory.
        check_precision(loaded.experiment.training.precision, resolved.device)
    # One driver a run directory: two would train the same cells and overwrite each other's markers.
    with paths.storage.hold():
        begin_run(paths, record_of(resolved.prepared, resolved.facts, final=options.permutation is None))
        state = RunState.read(paths)
        damage = find_damage(state, resolved.hash)
        if state.is_reported and not damage.is_of_results and not is_current(state, resolved.hash):
            state.is_reported = False
            progress.say("tables or report are not what was written; they are made again from the cells")
        # A finished run answers here, without torch, Ray or a new line in its log.
        if _is_finished(resolved, state) and not damage.is_of_results:
            return _outcome_of(resolved, state, done_now=0, opened_now=False)
        with logging_to(paths):
            return _run_remaining(resolved, state, damage, progress, runner)


def _run_remaining(
    resolved: ResolvedRun, state: RunState, damage: Damage, progress: Progress, runner: Runner | None
) -> RunOutcome:
    """Do what is left of a run: train, compact, report, open the test."""
    keys, options = resolved.keys, resolved.options
    # Before the jobs are listed, so that damaged cells are among them.
    _log_warnings(quarantine_damaged(state, damage), progress)
    if options.retry_failed:
        quarantine_failed(state, keys)
    done = 0
    for stage in _stages_of(keys):
        # Listed only now: in a flat search, what the first stage found is part of the jobs of the second.
        jobs = pending_jobs(resolved.prepared, state, stage)
        done += len(jobs)
        if jobs:
            _train(jobs, resolved, state, progress, runner)
    _refresh_report(state)
    # After the development report is written: what the test shows cannot change it.
    opened = options.open_test and not state.is_test_open(keys)
    if opened:
        state.forget_report()
        from orchestrator.driver.open_test import open_test  # noqa: PLC0415 - torch; only an opening needs it

        open_test(resolved, state)
        event(logging.INFO, "test_opened", "the test partition was opened and predicted")
        _refresh_report(state)
    return _outcome_of(resolved, state, done_now=done, opened_now=opened)


def _train(jobs: list[Job], resolved: ResolvedRun, state: RunState, progress: Progress, runner: Runner | None) -> None:
    """Let the runner do one stage of a run."""
    # Once more: the run may have been begun on another machine.
    check_precision(resolved.prepared.loaded.experiment.training.precision, resolved.device)
    state.forget_report()
    progress.say(f"loading {'Ray' if resolved.options.runner == 'ray' else 'torch'}")
    from orchestrator.driver.training import train  # noqa: PLC0415 - torch; a finished run answers without it

    train(jobs, resolved, state, progress, runner)


def pending_jobs(prepared: Prepared, state: RunState, keys: Sequence[CellKey]) -> list[Job]:
    """What the ledger says is left to do of a stage: the cells without a commit marker.

    Cells that cannot choose are left out: those of an input configuration of whose flat search a part has failed.
    """
    left = [key for key in keys if state.state_of(key) is None]
    experiment = prepared.loaded.experiment
    # Parts choose nothing: what others of them found is read only once there are cells that do.
    is_choosing = experiment.search.scheme == "flat" and any(key.partition != "search" for key in left)
    whole = cell_keys(experiment) if is_choosing else []
    scores = scores_of_parts(state, whole, experiment.search.candidates, len(prepared.cohort.exams))
    tasks = [(key, task_of(key, prepared, scores)) for key in left]
    return [Job(task=task, finished=state.finished(key)) for key, task in tasks if task is not None]


def _refresh_report(state: RunState) -> None:
    """Compact the ledger and write the report, unless they are there and nothing has changed since."""
    if not state.is_reported:
        from orchestrator.report.build import write_report  # noqa: PLC0415 - matplotlib; a current report needs none

        compact(state)
        write_report(Run(state.paths, tables_are_current=True))
        # Only now: where writing the report fails, the next call writes it again.
        state.is_reported = True


def _log_warnings(lines: Sequence[str], progress: Progress) -> None:
    """Show and log what was put into quarantine."""
    for line in lines:
        progress.say(line)
        event(logging.WARNING, "quarantined", line)


def _is_finished(resolved: ResolvedRun, state: RunState) -> bool:
    """Whether a run has nothing left to do of what is asked for, and its report is current."""
    options, states = resolved.options, {state.state_of(key) for key in resolved.keys}
    # A failed cell counts as done, unless it is asked for again.
    left = None in states or (options.retry_failed and "failed" in states)
    due = options.open_test and not state.is_test_open(resolved.keys)
    return state.is_reported and not left and not due


def _outcome_of(resolved: ResolvedRun, state: RunState, *, done_now: int, opened_now: bool) -> RunOutcome:
    """How the run stands at the end of a call."""
    return RunOutcome(
        paths=resolved.paths,
        cells=len(resolved.keys),
        done_now=done_now,
        opened_now=opened_now,
        failed=tuple(key for key in resolved.keys if state.state_of(key) != "complete"),
    )


def _stages_of(keys: Sequence[CellKey]) -> list[list[CellKey]]:
    """The cells that can be done at the same time: the parts of a flat search, where there is one, then all others."""
    parts = [key for key in keys if key.partition == "search"]
    others = [key for key in keys if key.partition != "search"]
    return [stage for stage in (parts, others) if stage]
