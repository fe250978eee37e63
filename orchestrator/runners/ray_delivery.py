"""Hands what comes back from Ray Tune to the driver's events and to the queue, and recognises why a worker was lost."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ray import tune
from ray.tune.experiment import Trial

from mpi_model.errors import PolarmapError
from orchestrator.cells.records import CandidateResult, CellResult, Worker, failed_cell
from orchestrator.runners.cell_queue import Attempt, CellQueue
from orchestrator.runners.deadline import Silence, Watch
from orchestrator.runners.faults import CAUSE_MESSAGES, Cause, cause_of, killed_process, reason_of
from orchestrator.runners.packing import share_for
from orchestrator.runners.ray_hung import HungWorkers
from orchestrator.runners.ray_nodes import NodeWatch, nodes_of_cluster
from orchestrator.runners.runner import Events, Hang, Unfit

if TYPE_CHECKING:
    from mpi_model.gpu import GpuUse  # torch; the driver does without it

_LOG = logging.getLogger("polarmap.ray")

ATTEMPT: Final = "attempt"
"""The id of a trial's attempt, in its config."""
PAYLOAD: Final = "payload"
"""What a report brings: the worker, a candidate, a pilot's candidate with its use of the GPU, or the cell."""


class LedgerCallback(tune.Callback):
    """Hands what trials report to the driver's events and to the queue, and remembers the first error of events."""

    def __init__(self, queue: CellQueue, events: Events, cores_of_cell: float, watch: Watch, nodes: NodeWatch) -> None:
        self.queue = queue
        self.events = events
        self.cores_of_cell = cores_of_cell
        self.error: PolarmapError | OSError | None = None
        self._workers: dict[int, Worker] = {}
        """The worker of each attempt under way that has reported."""
        self._watch = watch
        self._nodes = nodes
        self.starting: Callable[[], dict[Trial, Any]] = dict
        """Handles of the workers that are being started."""
        self._ending = HungWorkers()
        self._silences: dict[int, Silence] = {}
        """Of the attempts whose workers are being ended."""

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """A worker is given a cell."""
        attempt = self.queue.underway(trial.config[ATTEMPT])
        if attempt is not None:
            self._watch.begun(attempt.id, attempt.number)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: object
    ) -> None:
        """A cell begins, a candidate or a cell is finished; the payload is emptied: Tune keeps nothing of it."""
        payload: list[Any] = result.get(PAYLOAD, [])
        attempt = self.queue.underway(trial.config[ATTEMPT])
        if attempt is not None:
            self._watch.heard(attempt.id)
            self._handle(lambda: self._deliver(attempt, list(payload)))
        payload.clear()  # Tune keeps the last result of every trial until it ends

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """A worker was lost."""
        attempt = self.queue.underway(trial.config[ATTEMPT])
        if attempt is not None:
            text = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
            self._handle(lambda: self._died(attempt, text))

    def on_step_end(self, iteration: int, trials: list[Trial], **info: object) -> None:
        """Tune looks for news about ten times a second: end the workers that give no sign."""
        starting = self._starting()
        for silence in self._watch.overdue():
            (trial,) = (one for one in trials if one.config[ATTEMPT] == silence.attempt)
            self._silences[silence.attempt] = silence
            worker = self._workers.get(silence.attempt)
            self._ending.end(silence.attempt, worker, starting.get(trial, trial.temporary_state.ray_actor))
        self._ending.insist()
        reserved = {"CPU": float(self.cores_of_cell), "GPU": self.queue.gpus}
        self._handle(lambda: self._nodes.look(reserved, len(self.queue.all_underway())))

    def _starting(self) -> dict[Trial, Any]:
        """The workers that are being started, whose time until their first report runs from now on."""
        starting = self.starting()
        for trial in starting:
            attempt = self.queue.underway(trial.config[ATTEMPT])
            if attempt is None:
                continue
            # A worker whose node was lost meanwhile waits for another node, and not for itself.
            if self._nodes.is_waiting:
                self._watch.ended(attempt.id)
            else:
                self._watch.begun(attempt.id, attempt.number)
        return starting

    def host_out_of_memory(self, text: str) -> None:
        """Ray ended a worker for its host's memory, which ends Tune, too: only the cells of that worker pay for it."""
        killed = killed_process(text)
        for attempt in self.queue.all_underway():
            if attempt.id not in self._workers or self._workers[attempt.id].process == killed:
                self._handle(partial(self._lost, attempt, "host_memory", text))
        for attempt in self.queue.all_underway():
            self._forget(attempt)
        self.queue.aborted()

    def _deliver(self, attempt: Attempt, payload: list[Any]) -> None:
        key = self.queue.jobs[attempt.cell].task.key
        match payload:
            case [Worker() as worker]:
                self._workers[attempt.id] = worker
                self.events.started(key, worker, attempt.number)
            case [Unfit() as unfit]:
                self._lost(attempt, "gpu_unfit", "")
                self._nodes.refuse(unfit)
            case [CandidateResult() as candidate]:
                self._watch.pace.add(candidate)
                self.queue.delivered(attempt, candidate)
                self.events.candidate(key, candidate)
            case [CandidateResult() as candidate, use]:
                self.queue.delivered(attempt, candidate)
                self._forget(attempt)
                self.queue.measured(attempt, self._share(use))
                self.events.candidate(key, candidate)
            case [CellResult(fault="") as result]:
                self._forget(attempt)
                self.queue.ended(attempt)
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

    def _died(self, attempt: Attempt, text: str) -> None:
        """A worker has ended: by itself, or because it was silent for too long."""
        silence = self._silences.pop(attempt.id, None)
        if silence is None:
            self._lost(attempt, cause_of(text), text)
            return
        hang = Hang(
            attempt=attempt.number,
            worker=self._workers.get(attempt.id),
            seconds=silence.seconds,
            deadline=silence.deadline,
            stacks=self._ending.stacks(attempt.id),
        )
        self.events.hung(self.queue.jobs[attempt.cell].task.key, hang)
        self._lost(attempt, "hung", "")

    def _lost(self, attempt: Attempt, cause: Cause, text: str, failed: CellResult | None = None) -> None:
        key = self.queue.jobs[attempt.cell].task.key
        following = self.queue.lost(attempt, cause)
        self._forget(attempt)
        if following is not None:
            self.events.retried(key, CAUSE_MESSAGES[cause], following)
            return
        if failed is None:
            failed = replace(failed_cell(key, "", reason_of(text, cause, attempt.number), 0.0), trace=text)
        self.events.cell(failed, attempt=attempt.number)

    def _forget(self, attempt: Attempt) -> None:
        self._watch.ended(attempt.id)
        self._workers.pop(attempt.id, None)
        self._silences.pop(attempt.id, None)
        self._ending.forget(attempt.id)

    def _handle(self, handler: Callable[[], None]) -> None:
        # Raised inside a callback, an error would end Tune as a bug of its own; it is raised after Tune has stopped.
        if self.error is not None:
            return
        try:
            handler()
        # A reader of standard error that went away, or a full disk behind it, ends a run as it ends other commands.
        except (PolarmapError, OSError) as error:
            self.error = error
