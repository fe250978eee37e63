"""Runs cells one after another in this process: no Ray, for debugging and for small machines."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from mpi_model.determinism import single_threaded
from mpi_model.errors import ExperimentError
from orchestrator.cells.guard import run_guarded
from orchestrator.cells.records import WorkerContext
from orchestrator.experiment.settings import ResourceSettings
from orchestrator.runners.runner import Events, Job, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineRunner:
    """The runner without Ray."""

    work: Work = run_guarded
    """What is done with each cell."""

    def run(self, jobs: Sequence[Job], context: WorkerContext, resources: ResourceSettings, events: Events) -> None:
        """See `orchestrator.runners.runner.Runner.run`."""
        if context.device != "cpu" and not torch.cuda.is_available():
            raise ExperimentError("`resources.gpus_per_cell` asks for a GPU, but torch finds none here; set it to 0")
        # As in Ray's workers, so that both runners give the same bytes.
        with single_threaded():
            for job in jobs:
                events.started(job.task.key)
                result = self.work(job.task, context, job.finished, partial(events.candidate, job.task.key))
                events.cell(result, attempt=1)
