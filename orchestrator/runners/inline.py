"""Runs cells one after another in this process: no Ray, for debugging and for small machines."""

from collections.abc import Sequence
from functools import partial

from mpi_model.determinism import single_threaded
from orchestrator.cells.guard import run_guarded
from orchestrator.cells.records import Workbench
from orchestrator.experiment.settings import ResourceSettings
from orchestrator.runners.runner import Events, Job


class InlineRunner:
    """The runner without Ray."""

    def run(self, jobs: Sequence[Job], bench: Workbench, resources: ResourceSettings, events: Events) -> None:
        """See `orchestrator.runners.runner.Runner.run`."""
        with single_threaded():
            for job in jobs:
                events.started(job.task.key)
                result = run_guarded(job.task, bench, job.finished, partial(events.candidate, job.task.key))
                events.cell(result, attempt=1)
