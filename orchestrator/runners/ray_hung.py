"""Ends hung workers of Ray on their own machines, and brings their stacks back."""

import time
from typing import Any, Final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.cells.records import Worker
from orchestrator.runners.hung_worker import end_hung_worker

_PATIENCE: Final = 60.0
"""Seconds for a helper on the worker's machine; then Ray itself is asked to end the worker."""
_LAST_WORD: Final = 10.0


class HungWorkers:
    """The workers that are being ended, by the ids of their attempts."""

    def __init__(self) -> None:
        self._asked: dict[int, Any] = {}
        self._actors: dict[int, tuple[Any, float]] = {}

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune pickles its callbacks into a snapshot that nobody reads; handles cannot be pickled there."""
        return {}

    def end(self, attempt: int, worker: Worker | None, actor: Any) -> None:  # noqa: ANN401 - Ray's handle of an actor
        """Begin to end the worker of an attempt.

        Args:
            attempt: The attempt's id.
            worker: Where it is; None where it has said nothing yet.
            actor: Ray's handle of it; None where Tune has let go of it.
        """
        if actor is None:
            return
        if worker is None:
            ray.kill(actor)
            return
        # A process on the worker's own machine: no other one can read its stacks or be sure to end it.
        helper = ray.remote(num_cpus=0, max_retries=0)(end_hung_worker)
        where = NodeAffinitySchedulingStrategy(worker.node, soft=False)
        self._asked[attempt] = helper.options(scheduling_strategy=where).remote(worker.process)
        self._actors[attempt] = actor, time.monotonic() + _PATIENCE

    def forget(self, attempt: int) -> None:
        """The attempt has ended: its actor may be at another cell by now."""
        self._actors.pop(attempt, None)
        self._asked.pop(attempt, None)

    def insist(self) -> None:
        """Let Ray end the workers that no helper could end in time."""
        for attempt, (actor, until) in list(self._actors.items()):
            if time.monotonic() > until:
                del self._actors[attempt]
                ray.kill(actor)

    def stacks(self, attempt: int) -> str:
        """What the worker of an attempt was at, once it has ended."""
        asked = self._asked.get(attempt)
        try:
            return "it has said nothing yet" if asked is None else str(ray.get(asked, timeout=_LAST_WORD))
        except ray.exceptions.RayError as error:
            return f"they could not be read ({type(error).__name__})"
