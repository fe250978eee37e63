"""Runs cells on Ray Tune: one trial a cell, actors reused, the data put into the object store once.

The only module that imports Ray. Tune schedules; it is not trusted with results: each one reaches the driver's
ledger through a callback as soon as it is reported, and what is left to do is decided by the ledger alone.
"""

import logging
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.autoscaler.sdk import request_resources
from ray.tune.experiment import Trial

from mpi_model.determinism import single_threaded
from mpi_model.errors import ExperimentError, PolarmapError
from orchestrator.cells.cell import failed_cell
from orchestrator.cells.guard import run_guarded
from orchestrator.cells.records import CandidateResult, CellResult, Workbench
from orchestrator.experiment.settings import ResourceSettings
from orchestrator.runners.environment import prepare_for_ray
from orchestrator.runners.runner import Events, Job

LOG = logging.getLogger("polarmap.ray")

LONGEST_TEMPORARY = 16
PATIENCE = 600.0
"""Seconds for the first node of a cluster that begins without one; rented machines take minutes to start."""
PAYLOAD = "payload"
CELL = "cell"


@dataclass(frozen=True, slots=True, kw_only=True)
class RayRunner:
    """The runner on Ray Tune."""

    address: str | None = None
    """A cluster's address; None starts Ray on this machine, or uses the one that runs in this process."""

    def run(self, jobs: Sequence[Job], bench: Workbench, resources: ResourceSettings, events: Events) -> None:
        """See `orchestrator.runners.runner.Runner.run`."""
        with ray_session(self.address) as folder:
            run_on_tune(jobs, bench, resources, events, folder, patience=PATIENCE if self.address else 0.0)


@contextmanager
def ray_session(address: str | None) -> Iterator[Path]:
    """Ray, started quietly if it does not run yet; yields a private folder for Tune's own files.

    Ray makes its session folder open to every user of the machine: it lies inside one that is not.
    """
    prepare_for_ray()
    folder = Path(tempfile.mkdtemp(prefix="polarmap-", dir=_short_folder()))
    mine = not ray.is_initialized()
    if mine:
        _start(address, folder)
    try:
        yield folder
    finally:
        if mine:
            ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _start(address: str | None, folder: Path) -> None:
    """Start Ray here or join a cluster; Ray's own handler of SIGTERM, which aborts, is taken off again."""
    local: dict[str, Any] = {} if address else {"_temp_dir": str(folder / "ray"), "include_dashboard": False}
    if address is not None:
        check_reachable(address)
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
    if main:
        signal.signal(signal.SIGTERM, handler)


def check_reachable(address: str) -> None:
    """Refuse an address where nobody listens at once, instead of after a minute of Ray's retries.

    Raises:
        ExperimentError: Nothing answers at `host:port`.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise ExperimentError(
            f"no Ray cluster answers at {address} ({error}); start it, or leave --address out"
        ) from error


def _short_folder() -> str | None:
    """Where sockets fit: their paths hold 107 characters, of which Ray's session takes about 70."""
    return "/tmp" if len(tempfile.gettempdir()) > LONGEST_TEMPORARY and Path("/tmp").is_dir() else None


def run_on_tune(
    jobs: Sequence[Job],
    bench: Workbench,
    resources: ResourceSettings,
    events: Events,
    folder: Path,
    patience: float = 0.0,
) -> tune.ResultGrid:
    """Run every job as one Tune trial.

    Args:
        jobs: The cells.
        bench: What every worker holds.
        resources: What a cell reserves, and how often it is tried when its worker is lost.
        events: Told of everything that comes back, in this process.
        folder: For Tune's own files; nothing in it is read again.
        patience: Seconds in which a cluster's autoscaler may bring a first node that can do a cell.

    Returns:
        Tune's result grid, one result a cell.

    Raises:
        PolarmapError: What `events` raised.
    """
    delivery = Delivery(jobs, events)
    reserved = {"CPU": float(resources.cpus_per_cell), "GPU": gpus_per_cell(resources, bench.device)}
    wait_for_room(reserved, patience)
    check_room(reserved)
    # A reference a cell: a worker can fetch its own cell's labels, and is never sent another's.
    references = [ray.put(job) for job in jobs]
    trainable = tune.with_resources(
        tune.with_parameters(_trial, references=references, bench=bench),
        {"cpu": reserved["CPU"], "gpu": reserved["GPU"]},
    )
    tuner = tune.Tuner(
        trainable,
        param_space={CELL: tune.grid_search(list(range(len(jobs))))},
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            trial_name_creator=lambda trial: jobs[trial.config[CELL]].task.key.name,
            trial_dirname_creator=lambda trial: jobs[trial.config[CELL]].task.key.name,
        ),
        run_config=tune.RunConfig(
            name="cells",
            storage_path=str(folder),
            verbose=0,
            callbacks=[delivery],
            stop=delivery.stop,
            failure_config=tune.FailureConfig(max_failures=resources.attempts - 1),
        ),
    )
    grid = tuner.fit()
    if delivery.error is not None:
        raise delivery.error
    return grid


def gpus_per_cell(resources: ResourceSettings, device: str) -> float:
    """The GPUs a cell reserves: what was asked for, or one where cells run on GPUs."""
    if resources.gpus_per_cell == "auto":
        return 0.0 if device == "cpu" else 1.0
    return resources.gpus_per_cell


def wait_for_room(reserved: Mapping[str, float], patience: float) -> None:
    """Ask the cluster's autoscaler for a node that can do a cell, and wait for it: a cluster may begin with none."""
    if patience <= 0 or has_room(reserved):
        return
    LOG.info("no node has what a cell reserves yet; waiting up to %d s for the cluster's autoscaler", patience)
    deadline = time.monotonic() + patience
    request_resources(bundles=[{kind: amount for kind, amount in reserved.items() if amount}])
    try:
        while not has_room(reserved) and time.monotonic() < deadline:
            time.sleep(1)
    finally:
        request_resources(bundles=[])  # or the node would stay for ever


def has_room(reserved: Mapping[str, float]) -> bool:
    """Whether some node of the cluster has what a cell reserves."""
    return any(all(node.get(kind, 0.0) >= amount for kind, amount in reserved.items()) for node in nodes_of_cluster())


def nodes_of_cluster() -> list[Mapping[str, float]]:
    """What each node of the cluster has."""
    listed: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call] # Ray has no types for it
    return [node["Resources"] for node in listed if node["Alive"]]


def check_room(reserved: Mapping[str, float]) -> None:
    """Refuse what no node can give: Tune would wait for it without a word.

    Raises:
        ExperimentError: No node of the cluster has what one cell reserves.
    """
    if not has_room(reserved):
        nodes = nodes_of_cluster()
        largest = {kind: max((node.get(kind, 0.0) for node in nodes), default=0.0) for kind in reserved}
        raise ExperimentError(
            f"a cell reserves {reserved['CPU']:g} CPUs and {reserved['GPU']:g} GPUs, but no node has them (at most "
            f"{largest['CPU']:g} and {largest['GPU']:g}); lower `resources.cpus_per_cell` or `resources.gpus_per_cell`"
        )


def _trial(config: dict[str, Any], references: list[Any], bench: Workbench) -> None:
    """One cell, in a worker: every finished candidate is reported, and the cell last."""
    job: Job = ray.get(references[config[CELL]])

    def report(payload: list[object], *, state: str) -> None:
        tune.report(
            {
                "state": state,
                "resources": dict(tune.get_context().get_trial_resources().required_resources),
                PAYLOAD: payload,
            }
        )

    with single_threaded():
        result = run_guarded(job.task, bench, job.finished, lambda candidate: report([candidate], state="searching"))
    models = ray.put(result.models)
    report([replace(result, models=()), models], state=result.state)


class Delivery(tune.Callback):
    """Hands what trials report to the driver's events, and remembers the first error of those."""

    def __init__(self, jobs: Sequence[Job], events: Events) -> None:
        self.jobs = jobs
        self.events = events
        self.error: PolarmapError | None = None

    def stop(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Whether the whole run should end: the ledger cannot be written any more."""
        return self.error is not None

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """A cell begins, or begins again."""
        self._tell(lambda: self.events.started(self.jobs[trial.config[CELL]].task.key))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: object
    ) -> None:
        """A candidate or a cell is finished; the payload is emptied, so that Tune's snapshots stay small."""
        payload: list[Any] = result.get(PAYLOAD, [])
        self._tell(lambda: self._deliver(trial, list(payload)))
        payload.clear()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """A cell's worker was lost more often than it may be."""
        key = self.jobs[trial.config[CELL]].task.key
        reason = f"the worker was lost {trial.num_failures} times (out of memory, or its node went away)"
        self._tell(lambda: self.events.cell(failed_cell(key, "", reason, 0.0), attempt=trial.num_failures))

    def _deliver(self, trial: Trial, payload: list[Any]) -> None:
        match payload:
            case [CandidateResult() as candidate]:
                self.events.candidate(self.jobs[trial.config[CELL]].task.key, candidate)
            case [CellResult() as result, models]:
                self.events.cell(replace(result, models=ray.get(models)), attempt=trial.num_failures + 1)

    def _tell(self, tell: Callable[[], None]) -> None:
        if self.error is not None:
            return
        try:
            tell()
        except PolarmapError as error:
            self.error = error
