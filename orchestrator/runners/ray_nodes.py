"""The nodes of a Ray cluster: whether one can do a cell, what is said while none can, and which one may do none."""

import contextlib
import datetime
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import ray
from ray._raylet import GcsClient  # type: ignore[attr-defined] # of a compiled module
from ray.autoscaler.sdk import request_resources
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # type: ignore[attr-defined] # generated

from mpi_model.errors import ExperimentError
from mpi_model.printable import printable
from orchestrator.runners.runner import Events, Unfit

_SECONDS_BETWEEN_LOOKS: Final = 5.0
_SECONDS_BETWEEN_WORDS: Final = 600.0
"""While nothing changes; what changes is said at once."""
_LONGEST_REASON: Final = 160


def nodes_of_cluster() -> list[Mapping[str, float]]:
    """What each node of the cluster has."""
    return [resources for _, resources in _nodes()]


def _nodes() -> list[tuple[str, Mapping[str, float]]]:
    listed: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call] # Ray has no types for it
    return [(node["NodeID"], node["Resources"]) for node in listed if node["Alive"]]


class NodeWatch:
    """Looks whether some node can do a cell, and says when none can: Tune would wait for ever and say nothing."""

    def __init__(self, events: Events, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to watch.

        Args:
            events: Are told.
            patience: Seconds without any such node after which the run ends; 0 for a Ray of one's own, which has one
                node from its beginning.
            clock: Seconds that only grow.
        """
        self._events = events
        self.patience = patience
        self._clock = clock
        self._looked = self._said = -float("inf")
        self._since: tuple[float, str] | None = None
        """When no node could do a cell any more: by the clock, and for people."""
        self._text = ""
        self._unfit: dict[str, str] = {}
        """The nodes that may do no cell, with what is said of each."""

    @property
    def is_waiting(self) -> bool:
        """Whether no node could do a cell when it was last looked."""
        return self._since is not None

    def wait(self, reserved: Mapping[str, float]) -> None:
        """Wait for a first node that can do a cell, where a cluster may begin with none.

        Args:
            reserved: What a cell reserves.

        Raises:
            ExperimentError: No node has that, and none comes in time.
        """
        if self.patience <= 0 or self._is_there(reserved):
            self._look_now(reserved, 1)
            return
        request_resources(bundles=[{kind: amount for kind, amount in reserved.items() if amount}])
        try:
            while not self._look_now(reserved, 1):
                time.sleep(1)
        finally:
            request_resources(bundles=[])  # a request that is not withdrawn keeps the node for ever

    def look(self, reserved: Mapping[str, float], cells: int) -> None:
        """Look at the nodes, every few seconds however often it is called.

        Args:
            reserved: What a cell reserves.
            cells: Those that are waiting or at work.

        Raises:
            ExperimentError: For too long no node could do one.
        """
        if self.patience > 0 and cells and self._clock() - self._looked >= _SECONDS_BETWEEN_LOOKS:
            self._look_now(reserved, cells)

    def refuse(self, unfit: Unfit) -> None:
        """Give a node no more cells: its GPU does not compute.

        Raises:
            ExperimentError: It is the driver's own node, or Ray does not let go of it.
        """
        node = unfit.worker.node
        if node in self._unfit:
            return
        self._unfit[node] = unfit.line
        self._events.unfit(unfit)
        context = ray.get_runtime_context()
        # A drained node ends: the driver's own would take the driver with it.
        if self.patience <= 0 or node == context.get_node_id() or not _drain(context.gcs_address, node):
            raise ExperimentError(unfit.line)

    def _is_there(self, reserved: Mapping[str, float]) -> bool:
        """Whether some node has what a cell reserves, and may do it."""
        return any(
            node not in self._unfit and all(has.get(kind, 0.0) >= amount for kind, amount in reserved.items())
            for node, has in _nodes()
        )

    def _look_now(self, reserved: Mapping[str, float], cells: int) -> bool:
        now = self._looked = self._clock()
        if self._is_there(reserved):
            if self._since is not None:
                self._since, self._text = None, ""
                self._events.waiting("")
            return True
        if self._since is None:
            self._since = now, datetime.datetime.now(datetime.UTC).isoformat(" ", "seconds").replace("+00:00", " UTC")
        if now - self._since[0] >= self.patience:
            raise ExperimentError(self._given_up(reserved, now - self._since[0]))
        text = f"waiting for {_amount(reserved, cells)}, {_starting()}, since {self._since[1]}"
        if text != self._text or now - self._said >= _SECONDS_BETWEEN_WORDS:
            self._text, self._said = text, now
            self._events.waiting(text)
        return False

    def _given_up(self, reserved: Mapping[str, float], seconds: float) -> str:
        """Why the run ends, with what to do."""
        unfit = f"; {list(self._unfit.values())[-1]}" if self._unfit else ""
        has = nodes_of_cluster()
        largest = {kind: max((one.get(kind, 0.0) for one in has), default=0.0) for kind in reserved}
        what = f"a cell reserves {reserved['CPU']:g} CPUs and {reserved['GPU']:g} GPUs, but no node has them"
        most = f"(at most {largest['CPU']:g} and {largest['GPU']:g})"
        lower = "lower `resources.cpus_per_cell` or `resources.gpus_per_cell`"
        if self.patience <= 0:
            return f"{what} {most}; {lower}{unfit}"
        return (
            f"{what} {most}, and in {seconds:.0f} s none came ({_starting()}); look at quotas and at what the cloud "
            f"has left, raise `resources.wait_for_nodes`, or {lower}; the same command goes on "
            f"from what is finished{unfit}"
        )


def _amount(reserved: Mapping[str, float], cells: int) -> str:
    kind = "GPU" if reserved.get("GPU") else "CPU"
    amount = reserved[kind] * cells
    return f"{amount:g} {kind}{'' if amount == 1 else 's'}"


def _starting() -> str:
    """How many nodes an autoscaler is starting, and why it could not start the last one."""
    status = None
    # Of a cluster without an autoscaler there is nothing to tell; and what is only told ends no run.
    with contextlib.suppress(ray.exceptions.RayError, RuntimeError, ValueError):
        status = get_cluster_status(ray.get_runtime_context().gcs_address, timeout=5)
    if status is None:
        return "nodes starting unknown"
    number = len(status.pending_nodes) + sum(launch.count for launch in status.pending_launches)
    refused = max(status.failed_launches, key=lambda one: one.failed_ts_s or 0, default=None)
    text = f"{number} node{'' if number == 1 else 's'} starting"
    if refused is None:
        return text
    why = printable(" ".join((refused.details or "no reason").split()))[:_LONGEST_REASON]
    return f"{text}, {printable(refused.ray_node_type_name)} refused ({why})"


def _drain(address: str, node: str) -> bool:
    """Whether Ray takes a node out: it gets no new work, and ends when it is idle.

    As `ray drain-node` does. As a preemption, because any other reason is refused where a cell is at work.
    """
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    try:
        accepted, _ = GcsClient(address=address).drain_node(node, reason, "its GPU does not compute", 0)
    except (ray.exceptions.RayError, RuntimeError):
        return False
    return bool(accepted)
