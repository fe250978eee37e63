"""The runner on Ray Tune: starts Ray, or joins a cluster, and runs the cells there."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.cells.records import WorkerContext
from orchestrator.experiment.settings import ResourceSettings
from orchestrator.runners.ray_session import cluster_address, ray_session, store_bytes
from orchestrator.runners.runner import Events, Job, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class RayRunner:
    """The runner on Ray Tune."""

    address: str | None = None
    """A cluster's address; None starts Ray on this machine, or uses the one that runs in this process."""
    work: Work | None = None
    """What is done with each cell; None for `orchestrator.cells.guard.run_guarded`."""

    def run(self, jobs: Sequence[Job], context: WorkerContext, resources: ResourceSettings, events: Events) -> None:
        """See `orchestrator.runners.runner.Runner.run`."""
        with ray_session(self.address, store_bytes(context)) as folder:
            # Tune's import takes seconds, in which Ray makes its first workers.
            from orchestrator.runners.ray_tune import run_on_tune  # noqa: PLC0415

            timeout = resources.wait_for_nodes if cluster_address(self.address) else 0.0
            run_on_tune(jobs, context, resources, events, folder, self.work, timeout=timeout)
