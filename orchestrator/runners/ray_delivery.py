"""Hands what comes back from Ray Tune to the driver's events and to the queue, and recognises why a worker was lost."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.stopper import Stopper

from mpi_model.errors import PolarmapError
from orchestrator.cells.records import CandidateResult, CellResult, failed_cell
from orchestrator.runners.cell_queue import Attempt, CellQueue
from orchestrator.runners.faults import CAUSE_MESSAGES, Cause, cause_of, killed_process, reason_of
from orchestrator.runners.packing import share_for
from orchestrator.runners.runner import Events

if TYPE_CHECKING:
    from mpi_model.gpu import GpuUse  # torch; the driver does without it

_LOG = logging.getLogger("polarmap.ray")

ATTEMPT: Final = "attempt"
"""The id of a trial's attempt, in its config."""
PAYLOAD: Final = "payload"
"""What a report brings: a candidate, a pilot's candidate with its use of the GPU, or the cell."""


def nodes_of_cluster() -> list[Mapping[str, float]]:
    """What each node of the cluster has."""
    listed: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call] # Ray has no types for it
    return [node["Resources"] for node in listed if node["Alive"]]


class LedgerCallback(tune.Callback):
    """Hands what trials report to the driver's events and to the queue, and remembers the first error of events."""

    def __init__(self, queue: CellQueue, events: Events, cores_of_cell: float) -> None:
        self.queue = queue
        self.events = events
        self.cores_of_cell = cores_of_cell
        self.error: PolarmapError | None = None
        self._processes: dict[int, int] = {}
        """The worker's process id of each attempt under way that has reported."""

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """A cell begins, or begins again."""
        attempt = self.queue.underway(trial.config[ATTEMPT])
        if attempt is not None:
            self._handle(lambda: self.events.started(self.queue.jobs[attempt.cell].task.key))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: object
    ) -> None:
        """A candidate or a cell is finished; the payload is emptied, so that Tune keeps nothing of it."""
        payload: list[Any] = result.get(PAYLOAD, [])
        attempt = self.queue.underway(trial.config[ATTEMPT])
        if attempt is not None:
            self._processes[attempt.id] = result["pid"]
            self._handle(lambda: self._deliver(attempt, list(payload)))
        payload.clear()  # Tune keeps the last result of every trial until it ends

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """A worker was lost."""
        attempt = self.queue.underway(trial.config[ATTEMPT])
        if attempt is not None:
            text = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
            self._handle(lambda: self._lost(attempt, cause_of(text), text))

    def host_out_of_memory(self, text: str) -> None:
        """Ray ended a worker for its host's memory, which ends Tune, too: only the cells of that worker pay for it."""
        killed = killed_process(text)
        for attempt in self.queue.all_underway():
            if self._processes.get(attempt.id, killed) == killed:
                self._handle(partial(self._lost, attempt, "host_memory", text))
        self.queue.aborted()
        self._processes.clear()

    def _deliver(self, attempt: Attempt, payload: list[Any]) -> None:
        key = self.queue.jobs[attempt.cell].task.key
        match payload:
            case [CandidateResult() as candidate]:
                self.queue.delivered(attempt, candidate)
                self.events.candidate(key, candidate)
            case [CandidateResult() as candidate, use]:
                self.queue.delivered(attempt, candidate)
                self.queue.measured(attempt, self._share(use))
                self.events.candidate(key, candidate)
            case [CellResult(fault="") as result]:
                self._ended(attempt)
                self.events.cell(result, attempt=attempt.number)
            case [CellResult(fault="gpu_memory" | "gpu_fault" as cause) as result]:
                self._lost(attempt, cause, "", result)

    def _share(self, use: "GpuUse | None") -> float:
        """The share of a GPU that cells reserve from now on."""
        whole = [node for node in nodes_of_cluster() if node.get("GPU", 0.0) > 0]
        if use is None or not whole:
            return self.queue.gpus
        cores = min(node.get("CPU", 0.0) / node["GPU"] for node in whole) / self.cores_of_cell
        share = share_for(use, cores, len(self.queue.waiting) / sum(node["GPU"] for node in whole))
        _LOG.info("a cell reserved at most %d of %d bytes of its GPU: cells take %g of one", use.peak, use.total, share)
        return share

    def _lost(self, attempt: Attempt, cause: Cause, text: str, failed: CellResult | None = None) -> None:
        key = self.queue.jobs[attempt.cell].task.key
        following = self.queue.lost(attempt, cause)
        self._processes.pop(attempt.id, None)
        if following is not None:
            self.events.retried(key, CAUSE_MESSAGES[cause], following)
            return
        if failed is None:
            failed = replace(failed_cell(key, "", reason_of(text, cause, attempt.number), 0.0), trace=text)
        self.events.cell(failed, attempt=attempt.number)

    def _ended(self, attempt: Attempt) -> None:
        self.queue.ended(attempt)
        self._processes.pop(attempt.id, None)

    def _handle(self, handler: Callable[[], None]) -> None:
        # Raised inside a callback, an error would end Tune as a bug of its own; it is raised after Tune has stopped.
        if self.error is not None:
            return
        try:
            handler()
        except PolarmapError as error:
            self.error = error


class StopOnError(Stopper):
    """Ends Tune when the ledger cannot be written any more."""

    def __init__(self, delivery: LedgerCallback) -> None:
        self.delivery = delivery

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether this trial should end."""
        return self.delivery.error is not None

    def stop_all(self) -> bool:
        """Whether all trials should."""
        return self.delivery.error is not None
