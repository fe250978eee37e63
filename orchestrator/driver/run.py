"""One run, from an experiment file to its tables: the straight line that everything else hangs from."""

import logging
from collections.abc import Callable
from pathlib import Path

from orchestrator.cells.records import CellKey, Procedure, Workbench
from orchestrator.cells.tasks import cell_task
from orchestrator.driver.engine import Engine
from orchestrator.driver.ledger_events import LedgerEvents, telling
from orchestrator.driver.prepare import Prepared
from orchestrator.driver.resume import KnownRun, RunOptions, RunOutcome, ended, outcome_of, recognise, test_is_open
from orchestrator.experiment.processor import check_precision
from orchestrator.experiment.settings import LoadedExperiment
from orchestrator.ledger.compaction import compact, is_compacted
from orchestrator.ledger.directory import open_run
from orchestrator.ledger.identity import Facts, experiment_hash
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
from orchestrator.monitoring.counters import Tally
from orchestrator.monitoring.heartbeat import beating
from orchestrator.monitoring.log import event, logging_to
from orchestrator.monitoring.progress import Progress
from orchestrator.monitoring.status import standing_of
from orchestrator.report.build import write_report
from orchestrator.runners.runner import Job


def run_experiment(
    loaded: LoadedExperiment, options: RunOptions, load_engine: Callable[[], Engine], progress: Progress
) -> RunOutcome:
    """Run an experiment, or what is left of it; run it again to resume.

    Args:
        loaded: The experiment.
        options: Whether the test is opened, and failed cells are tried again.
        load_engine: Imports torch and the runner; called only when there is something to train or predict.
        progress: Told what goes on.

    Raises:
        PolarmapError: See `mpi_model.errors`; what was finished stays in the ledger.
    """
    known = recognise(loaded, options, load_engine, progress)
    return ended(known) or carry_out(known, load_engine, progress)


def carry_out(known: KnownRun, load_engine: Callable[[], Engine], progress: Progress) -> RunOutcome:
    """Do what is left of a run: train, compact, report, open the test.

    Raises:
        PolarmapError: See `mpi_model.errors`; what was finished stays in the ledger.
    """
    paths, keys, options = known.paths, known.keys, known.options
    if _trains(known):
        check_precision(known.prepared.loaded.experiment.training.precision, known.device)
    with paths.storage.hold(), logging_to(paths):
        open_run(paths, known.record)
        tell(mend(paths, experiment_hash(known.facts)), progress)
        if options.retry_failed:
            _set_aside_failed(paths, keys)
        jobs = pending_jobs(known.prepared, paths, keys)
        if jobs:
            forget_report(paths)
            train(jobs, known, load_engine(), progress)
        refresh_report(paths)
        opened = options.open_test and not test_is_open(paths, keys)
        if opened:
            forget_report(paths)
            load_engine().open_test(known.prepared, paths, experiment_hash(known.facts), keys, known.device)
            event(logging.INFO, "test_opened", "the test partition was opened and predicted")
            refresh_report(paths)
    return outcome_of(known, committed_states(paths), done_now=len(jobs), opened_now=opened)


def _trains(known: KnownRun) -> bool:
    """Whether cells are left to train: a finished run may be opened and reported on any processor."""
    states = committed_states(known.paths) if known.paths.experiment.exists() else {}
    again = known.options.retry_failed
    return any(key.name not in states or (again and states[key.name] == "failed") for key in known.keys)


def train(jobs: list[Job], known: KnownRun, engine: Engine, progress: Progress) -> None:
    """Let the runner do the jobs; display, heartbeat and log end however they end."""
    experiment = known.prepared.loaded.experiment
    bench = workbench(known.prepared, known.weights, known.device, known.facts, engine)
    tally = Tally(standing_of(known.paths, known.keys, experiment.search.objective), experiment.search.objective)
    with beating(known.paths, tally), telling(tally, known.facts, engine.runner):
        try:
            events = LedgerEvents(known.paths, experiment_hash(known.facts), progress, tally)
            engine.runner.run(jobs, bench, experiment.resources, events)
        finally:
            progress.end()


def tell(lines: list[str], progress: Progress) -> None:
    """Say what was found amiss, on the terminal and in the log."""
    for line in lines:
        progress.say(line)
        event(logging.WARNING, "set_aside", line)


def refresh_report(paths: RunPaths) -> None:
    """Compact the ledger and write the report, unless they are there and nothing has changed since."""
    if not is_compacted(paths):
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


def workbench(prepared: Prepared, weights: Path | None, device: str, facts: Facts, engine: Engine) -> Workbench:
    """What workers are given once: maps without identity, settings, pretrained weights."""
    experiment = prepared.loaded.experiment
    return Workbench(
        maps=prepared.cohort.maps,
        procedure=Procedure(
            network=experiment.network,
            training=experiment.training,
            search=experiment.search,
            decision=experiment.decision,
            space=prepared.space,
        ),
        state=None
        if weights is None
        else engine.load_weights(weights, experiment.network.backbone, prepared.cohort.maps.stress.shape[1]),
        device=device,
        facts={
            "experiment": experiment_hash(facts),
            "image_size": str(experiment.images.size),
            "torch": facts["versions.torch"],
        },
    )


def _set_aside_failed(paths: RunPaths, keys: list[CellKey]) -> None:
    states = committed_states(paths)
    for key in keys:
        if states.get(key.name) == "failed":
            forget_report(paths)
            set_aside(paths, key.name, "failed")
