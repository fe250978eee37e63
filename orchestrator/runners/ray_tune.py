"""Runs cells on Ray Tune: one trial a try of a cell, actors reused, the data put into the object store once.

Tune schedules and nothing else. Each result reaches the driver's ledger through a callback as soon as it is reported.
`CellQueue` asks for a lost cell again; the ledger alone decides what is left to do. Tune keeps every trial it has
seen, so it is given at most `_BATCH` of them at a time.
"""

import gc
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from mpi_model.errors import ExperimentError
from orchestrator.cells.records import CandidateResult, WorkerContext
from orchestrator.experiment.settings import ResourceSettings
from orchestrator.runners.cell_queue import CellQueue
from orchestrator.runners.deadline import Watch, pace_of
from orchestrator.runners.faults import cause_of
from orchestrator.runners.hung_worker import let_stacks_be_read
from orchestrator.runners.packing import allowed_fraction
from orchestrator.runners.ray_delivery import ATTEMPT, PAYLOAD, LedgerCallback
from orchestrator.runners.ray_nodes import NodeWatch, nodes_of_cluster
from orchestrator.runners.runner import Events, Job, Unfit, Work, this_worker

if TYPE_CHECKING:
    from mpi_model.gpu_check import GpuCheck  # torch; the driver does without it

_BATCH: Final = 1000
"""Trials that Tune is given at a time: it keeps about 50 kB of each until it ends."""
_NAME, _JOB, _GPUS, _PILOT = "name", "job", "gpus", "pilot"
_BROKEN_GPU: Final = 70
"""Exit status of a worker whose GPU failed; Ray starts another process in its place."""


def run_on_tune(
    jobs: Sequence[Job],
    context: WorkerContext,
    resources: ResourceSettings,
    events: Events,
    folder: Path,
    work: Work | None = None,
    batch: int = _BATCH,
    timeout: float = 0.0,
    self_test: Callable[[str], "GpuCheck"] | None = None,
) -> tune.ResultGrid | None:
    """Run every job to its end, each try of it as one Tune trial.

    Args:
        jobs: The cells.
        context: What every worker holds.
        resources: What a cell reserves, and how often it is tried when its worker is lost.
        events: Receives every result, in this process.
        folder: For Tune's own files; nothing in it is read again.
        work: What a worker does with a cell; None for `run_guarded`.
        batch: Trials that Tune is given at a time.
        timeout: Seconds in which a cluster may be without a node that can do a cell; 0 for a Ray of one's own.
        self_test: What a worker asks of its GPU first; None for `check_gpu`.

    Returns:
        Tune's result grid of the last batch, one result a try; None where a host's memory ended that.

    Raises:
        PolarmapError: What `events` raised; ExperimentError where no node can do a cell, or no GPU computes.
    """
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # `events` reports losses, each in one line
    gpus = _gpus_per_cell(resources, context.device)
    nodes = NodeWatch(events, timeout)
    nodes.wait({"CPU": float(resources.cpus_per_cell), "GPU": gpus})
    pilot = (
        resources.gpus_per_cell == "auto"
        and gpus > 0
        and len(jobs) > sum(node.get("GPU", 0.0) for node in nodes_of_cluster())
    )
    queue = CellQueue(jobs, attempts=resources.attempts, gpus=gpus, pilot=pilot)
    watch = Watch(pace_of(jobs, context, resources))
    delivery = LedgerCallback(queue, events, resources.cpus_per_cell, watch, nodes)
    # with_parameters puts the context into the object store once; a closure would be sent with every trial.
    trainable = tune.with_resources(
        tune.with_parameters(_trial, context=context, work=work, self_test=self_test),
        partial(_reserved, cpus=resources.cpus_per_cell),
    )
    grid = None
    while not (queue.finished or delivery.error):
        grid = _fit(tune.Tuner(trainable, **_settings(queue, delivery, folder, batch)), delivery)
        gc.collect()  # what Tune kept of a batch refers to itself in circles
    if delivery.error is not None:
        raise delivery.error
    return grid


def _fit(tuner: tune.Tuner, delivery: LedgerCallback) -> tune.ResultGrid | None:
    """Let Tune run what it is given; a worker that Ray ended for its host's memory ends Tune 2.60 with it.

    Raises:
        ExperimentError: Ray does not answer any more.
    """
    try:
        return tuner.fit()
    except ray.exceptions.RayError as error:
        # Of a worker Tune tells by a trial's error; what comes here is of Ray's own processes.
        raise ExperimentError(
            f"Ray does not answer ({type(error).__name__}): this driver or Ray's processes were paused for long, or "
            "ended; what was finished is kept: run the same command again"
        ) from error
    except RuntimeError as error:
        if cause_of(str(error)) != "host_memory":
            raise
        delivery.host_out_of_memory(str(error))
        return None


def _settings(queue: CellQueue, delivery: LedgerCallback, folder: Path, batch: int) -> dict[str, Any]:
    """The Tuner's arguments for one batch; its scheduler tells `delivery` which workers are being started."""
    scheduler = _WarmActorScheduler()
    delivery.starting = scheduler.starting
    return {
        "tune_config": tune.TuneConfig(
            search_alg=_CellSearch(queue, delivery, batch),
            scheduler=scheduler,
            # Without end: the searcher says when it is finished.
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        "run_config": tune.RunConfig(
            name=f"cells-{queue.issued}",
            storage_path=str(folder),
            verbose=0,
            callbacks=[delivery],
            stop=_StopOnError(delivery),
        ),
    }


def _name(trial: Trial) -> str:
    return str(trial.config[_NAME])


def _reserved(config: Mapping[str, Any], cpus: float) -> tune.PlacementGroupFactory:
    return tune.PlacementGroupFactory([{"CPU": float(cpus), **({"GPU": config[_GPUS]} if config[_GPUS] else {})}])


def _gpus_per_cell(resources: ResourceSettings, device: str) -> float:
    """The GPUs a cell reserves at first: what was asked for, or a whole one where cells run on GPUs."""
    if resources.gpus_per_cell == "auto":
        return 0.0 if device == "cpu" else 1.0
    return resources.gpus_per_cell


class _Measured(BaseException):
    """Ends a pilot after its first candidate; no error, so that no cell's guard can take it for one."""


def _trial(
    config: dict[str, Any], context: WorkerContext, work: Work | None, self_test: Callable[[str], "GpuCheck"] | None
) -> None:
    """One try of a cell, in a worker: every finished candidate is reported, and the cell last."""
    # torch is for workers: the driver, which sends this function, starts in half the time without it.
    from mpi_model.determinism import single_threaded  # noqa: PLC0415
    from mpi_model.gpu import bound_memory, memory_use, total_memory  # noqa: PLC0415
    from mpi_model.gpu_check import check_gpu  # noqa: PLC0415
    from orchestrator.cells.guard import run_guarded  # noqa: PLC0415

    let_stacks_be_read()
    work = work or run_guarded
    job: Job = ray.get(config[_JOB])

    def report(*payload: object, state: str) -> None:
        resources = dict(tune.get_context().get_trial_resources().required_resources)
        tune.report({"state": state, "resources": resources, PAYLOAD: list(payload)})

    def announce(candidate: CandidateResult) -> None:
        if config[_PILOT]:
            report(candidate, memory_use(context.device), state="measured")
            raise _Measured
        report(candidate, state="searching")

    me = this_worker(ray.get_runtime_context().get_node_id())
    fitness = (self_test or check_gpu)(context.device)
    if not fitness.is_fit:
        report(Unfit(worker=me, line=fitness.line), state="unfit")
        os._exit(_BROKEN_GPU)  # Tune would give the next cell to this process
    report(me, state="begun")
    if context.device == "cuda":
        bound_memory(context.device, allowed_fraction(config[_GPUS], total_memory(context.device)))
    with single_threaded():
        try:
            result = work(job.task, context, job.finished, announce)
        except _Measured:
            return
    report(result, state=result.fault or result.state)
    if result.fault == "gpu_fault":
        os._exit(_BROKEN_GPU)  # a CUDA context that failed once fails for every cell after


class _WarmActorScheduler(FIFOScheduler):
    """Gives a free worker the oldest waiting cell whose own worker is not already starting.

    A waiting cell has asked for a worker of its own. Where Tune 2.60 gives it another cell's worker instead, it ends
    the one that is starting for it. Tune's own scheduler always chooses the oldest cell, which is the one whose worker
    starts next. With cells shorter than a worker's start, a few workers would do all the work of a cluster.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Ray has no types for it
        self._controller: Any = None

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune pickles it into a snapshot that nobody reads; handles of actors cannot be pickled there."""
        return {}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:  # noqa: ANN401 - Tune's own wrapper
        """A trial waits: the first one tells where Tune keeps its workers."""
        self._controller = tune_controller._tune_controller

    def starting(self) -> dict[Trial, Any]:
        """The handles of the workers that have their place on a node, and have not started yet."""
        if self._controller is None:
            return {}
        live = self._controller._actor_manager._live_actors_to_ray_actors_resources
        return {
            trial: live[worker][0]
            for trial, worker in self._controller._trial_to_actor.items()
            if worker in live and worker not in self._controller._started_actors
        }

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:  # noqa: ANN401 - Tune's own wrapper
        """The cell to begin next; None where every waiting one has its worker starting."""
        controller = tune_controller._tune_controller
        starting = set(controller._actor_manager.live_actors)
        own = controller._trial_to_actor
        waiting = (trial for trial in tune_controller.get_trials() if trial.status == Trial.PENDING)
        return next((trial for trial in waiting if own.get(trial) not in starting), None)


class _CellSearch(Searcher):
    """Gives Tune the queue's next cell whenever it has room for another trial."""

    def __init__(self, queue: CellQueue, delivery: LedgerCallback, batch: int) -> None:
        super().__init__()
        self.queue = queue
        self.delivery = delivery
        self.last = queue.issued + batch

    def suggest(self, trial_id: str) -> Any:  # noqa: ANN401 - Tune's type leaves its own FINISHED out
        """The next cell; None while all that is left is under way, for it may be lost and come again."""
        queue = self.queue
        if queue.finished or queue.issued >= self.last or self.delivery.error is not None:
            return Searcher.FINISHED
        attempt = queue.next()
        if attempt is None:
            return None
        job = queue.job(attempt)
        # A reference: a worker fetches its own cell's labels, and is never sent another's.
        return {
            ATTEMPT: attempt.id,
            _NAME: job.task.key.name,
            _JOB: ray.put(job),
            _GPUS: attempt.gpus,
            _PILOT: attempt.pilot,
        }

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: `LedgerCallback` receives it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is what a run resumes from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""


class _StopOnError(Stopper):
    """Ends Tune when the ledger cannot be written any more."""

    def __init__(self, delivery: LedgerCallback) -> None:
        self.delivery = delivery

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether this trial should end."""
        return self.delivery.error is not None

    def stop_all(self) -> bool:
        """Whether all trials should."""
        return self.delivery.error is not None
