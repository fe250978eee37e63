"""One run, from an experiment file to its tables: the straight line that everything else hangs from."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.cells.records import CandidateResult, CellKey, CellResult, Procedure, Workbench
from orchestrator.cells.tasks import cell_keys, cell_task
from orchestrator.devices import device_for
from orchestrator.engine import Engine
from orchestrator.experiment.settings import LoadedExperiment, ResourceSettings
from orchestrator.ledger.compaction import compact
from orchestrator.ledger.directory import RunRecord, locked, open_run
from orchestrator.ledger.identity import Facts, experiment_hash, git_revision, hardware, identity
from orchestrator.ledger.log import logging_to
from orchestrator.ledger.parts import (
    commit_cell,
    committed_state,
    forget_report,
    read_candidates,
    set_aside,
    write_candidate,
)
from orchestrator.ledger.paths import RunPaths
from orchestrator.ledger.reading import Run
from orchestrator.preparation import Prepared, check_test_exams, prepare, used_digest, weights_of
from orchestrator.progress import Progress
from orchestrator.reporting import write_report
from orchestrator.runners.runner import Job, Runner

LOG = logging.getLogger("polarmap.run")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What the command line adds to an experiment."""

    open_test: bool = False
    retry_failed: bool = False
    permutation: int | None = None
    """Permute the patients' labels, and leave the final networks out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended."""

    paths: RunPaths
    cells: int
    """Cells of the experiment."""
    done_now: int
    """Cells that this call finished."""
    opened_now: bool
    """Whether this call judged the test partition."""
    failed: tuple[CellKey, ...]


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
    prepared = prepare(loaded, progress, options.permutation)
    weights = weights_file(loaded, load_engine, progress)
    device = device_for(loaded.experiment.resources)
    paths = RunPaths(loaded.run_directory)
    facts = facts_of(prepared, weights, device)
    keys = cell_keys(prepared.plan, loaded.experiment.cohort.inputs, final=options.permutation is None)
    if options.open_test:
        check_test_exams(prepared)
    with locked(paths), logging_to(paths):
        open_run(paths, _record(prepared, facts))
        if options.retry_failed:
            _set_aside_failed(paths, keys)
        jobs = pending_jobs(prepared, paths, keys)
        if jobs:
            forget_report(paths)
            engine = load_engine()
            bench = workbench(prepared, weights, device, facts, engine)
            events = LedgerEvents(paths, experiment_hash(facts), progress, len(keys), len(jobs))
            train(jobs, bench, loaded.experiment.resources, engine.runner, events)
        refresh_report(paths)
        opened = options.open_test and not test_is_open(paths, keys)
        if opened:
            forget_report(paths)
            load_engine().open_test(prepared, paths, experiment_hash(facts), keys, device)
            refresh_report(paths)
    failed = tuple(key for key in keys if committed_state(paths, key) != "complete")
    return RunOutcome(paths=paths, cells=len(keys), done_now=len(jobs), opened_now=opened, failed=failed)


def train(
    jobs: list[Job], bench: Workbench, resources: ResourceSettings, runner: Runner, events: "LedgerEvents"
) -> None:
    """Let the runner do the jobs; the progress display ends however they end."""
    try:
        runner.run(jobs, bench, resources, events)
    finally:
        events.progress.end()


def refresh_report(paths: RunPaths) -> None:
    """Compact the ledger and write the report, unless they are there and nothing has changed since."""
    if not paths.summary.exists():
        compact(paths)
        write_report(Run(paths))


def test_is_open(paths: RunPaths, keys: list[CellKey]) -> bool:
    """Whether every final network has judged the test exams already."""
    return all(paths.test_predictions(key).exists() for key in keys if key.partition == "test")


def weights_file(loaded: LoadedExperiment, load_engine: Callable[[], Engine], progress: Progress) -> Path | None:
    """The file of pretrained weights, downloaded if it must be; None for random weights.

    Raises:
        WeightsError: There is no such file and it cannot be downloaded.
    """
    path = weights_of(loaded)
    if path is None or path.is_file():
        return path
    return load_engine().fetch_weights(loaded.experiment.network.backbone, progress)


def facts_of(prepared: Prepared, weights: Path | None, device: str) -> Facts:
    """The experiment's identity."""
    return identity(
        prepared.loaded.experiment,
        prepared.space,
        data=prepared.cohort.digest,
        used=used_digest(prepared),
        plan=prepared.plan.digest,
        weights="random" if weights is None else hashlib.sha256(weights.read_bytes()).hexdigest(),
        device=device,
    )


def pending_jobs(prepared: Prepared, paths: RunPaths, keys: list[CellKey]) -> list[Job]:
    """What the ledger says is left to do: the cells without a commit marker."""
    inner_folds = prepared.loaded.experiment.search.inner_folds
    return [
        Job(
            task=cell_task(key, prepared.plan, prepared.cohort.exams, prepared.eligible, inner_folds),
            finished=read_candidates(paths, key),
        )
        for key in keys
        if committed_state(paths, key) is None
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


def _record(prepared: Prepared, facts: Facts) -> RunRecord:
    return RunRecord(
        experiment=prepared.loaded.experiment,
        facts=facts,
        plan=prepared.plan,
        exams=prepared.cohort.exams,
        context={
            "revision": git_revision(Path(__file__).parent),
            "hardware": hardware(),
            "notices": list(prepared.notices),
            "exclusions": [asdict(exclusion) for exclusion in prepared.exclusions],
        },
    )


def _set_aside_failed(paths: RunPaths, keys: list[CellKey]) -> None:
    for key in keys:
        if committed_state(paths, key) == "failed":
            forget_report(paths)
            set_aside(paths, key)


class LedgerEvents:
    """Writes what workers bring into the ledger, in the driver, and counts it for the eye."""

    def __init__(self, paths: RunPaths, experiment: str, progress: Progress, cells: int, left: int) -> None:
        self.paths = paths
        self.experiment = experiment
        self.progress = progress
        self.done = cells - left
        self.candidates = 0
        progress.begin("training", cells)
        progress.advance(self.done, "starting workers")

    def started(self, key: CellKey) -> None:
        """Nothing is written when a cell begins."""
        self._show(key.name)

    def candidate(self, key: CellKey, result: CandidateResult) -> None:
        """Keep a finished candidate."""
        write_candidate(self.paths, key, result)
        self.candidates += 1
        self._show(key.name)

    def retried(self, key: CellKey, cause: str, attempt: int) -> None:
        """Say and log that a cell begins again."""
        self.progress.say(f"cell {key.name} is tried again (attempt {attempt}): {cause}")
        LOG.warning("cell %s is tried again (attempt %d): %s", key.name, attempt, cause)

    def cell(self, result: CellResult, attempt: int) -> None:
        """Commit a finished cell; a failed one is said at once."""
        commit_cell(self.paths, result, attempt, self.experiment)
        self.done += 1
        self._show(result.key.name)
        if result.state == "failed":
            self.progress.say(f"cell {result.key.name} failed: {result.reason}")
            LOG.error("cell %s failed: %s\n%s", result.key.name, result.reason, result.trace)

    def _show(self, cell: str) -> None:
        self.progress.advance(self.done, f"{self.candidates} candidates, at {cell}")
