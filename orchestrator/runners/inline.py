"""Runs cells one after another in this process: no Ray, for debugging and for small machines."""

import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch

from mpi_model.determinism import single_threaded
from mpi_model.errors import ExperimentError
from mpi_model.gpu_check import check_gpu
from orchestrator.cells.guard import run_guarded
from orchestrator.cells.records import CandidateResult, CellKey, WorkerContext
from orchestrator.experiment.settings import ResourceSettings
from orchestrator.runners.deadline import Watch, pace_of
from orchestrator.runners.runner import Events, Hang, Job, Work, this_worker

_SECONDS_BETWEEN_LOOKS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineRunner:
    """The runner without Ray."""

    work: Work = run_guarded
    """What is done with each cell."""

    def run(self, jobs: Sequence[Job], context: WorkerContext, resources: ResourceSettings, events: Events) -> None:
        """See `orchestrator.runners.runner.Runner.run`."""
        if context.device != "cpu" and not torch.cuda.is_available():
            raise ExperimentError("`resources.gpus_per_cell` asks for a GPU, but torch finds none here; set it to 0")
        fitness = check_gpu(context.device)
        if not fitness.is_fit:
            raise ExperimentError(fitness.line)
        # As in Ray's workers, so that both runners give the same bytes.
        watch = Watch(pace_of(jobs, context, resources))
        with single_threaded():
            for number, job in enumerate(jobs):
                key = job.task.key
                events.started(key, this_worker(), 1)
                with _watched(watch, number, key, events):
                    result = self.work(job.task, context, job.finished, partial(_keep, watch, number, events, key))
                events.cell(result, attempt=1)


def _keep(watch: Watch, number: int, events: Events, key: CellKey, candidate: CandidateResult) -> None:
    watch.heard(number)
    watch.pace.add(candidate)
    events.candidate(key, candidate)


@contextmanager
def _watched(watch: Watch, number: int, key: CellKey, events: Events) -> Iterator[None]:
    """Tell of a cell that gives no sign; this process is its worker and the driver, so it is told and not ended."""
    over, thread = threading.Event(), threading.get_ident()
    watch.begun(number, 1)
    watch.heard(number)

    def look() -> None:
        while not over.wait(_SECONDS_BETWEEN_LOOKS):
            for silence in watch.overdue():
                stack = "".join(traceback.format_stack(sys._current_frames().get(thread)))
                hang = Hang(
                    attempt=1,
                    worker=this_worker(),
                    seconds=silence.seconds,
                    deadline=silence.deadline,
                    stacks=stack,
                    is_ended=False,
                )
                events.hung(key, hang)

    looking = threading.Thread(target=look, name="polarmap-watch", daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()
        watch.ended(number)
