"""Whether a cluster has a node that can do a cell, or can get one."""

import logging
import time
from collections.abc import Mapping
from typing import Final

from ray.autoscaler.sdk import request_resources

from mpi_model.errors import ExperimentError
from orchestrator.runners.ray_delivery import nodes_of_cluster

LOG = logging.getLogger("polarmap.ray")

TIMEOUT_SECONDS: Final = 600.0
"""Seconds for the first node of a cluster that begins without one; rented machines take minutes to start."""


def wait_for_capacity(reserved: Mapping[str, float], timeout: float) -> None:
    """Wait for a node that can do a cell, where a cluster may begin with none; refuse what no node has.

    Tune itself would wait for ever and say nothing.

    Args:
        reserved: What a cell reserves.
        timeout: Seconds in which the cluster's autoscaler may bring a node.

    Raises:
        ExperimentError: No node of the cluster has what one cell reserves.
    """
    if timeout > 0 and not _has_capacity(reserved):
        LOG.info("no node has what a cell reserves yet; waiting up to %d s for the cluster's autoscaler", timeout)
        _ask_autoscaler(reserved, time.monotonic() + timeout)
    if not _has_capacity(reserved):
        nodes = nodes_of_cluster()
        largest = {kind: max((node.get(kind, 0.0) for node in nodes), default=0.0) for kind in reserved}
        raise ExperimentError(
            f"a cell reserves {reserved['CPU']:g} CPUs and {reserved['GPU']:g} GPUs, but no node has them (at most "
            f"{largest['CPU']:g} and {largest['GPU']:g}); lower `resources.cpus_per_cell` or `resources.gpus_per_cell`"
        )


def _has_capacity(reserved: Mapping[str, float]) -> bool:
    """Whether some node of the cluster has what a cell reserves."""
    return any(all(node.get(kind, 0.0) >= amount for kind, amount in reserved.items()) for node in nodes_of_cluster())


def _ask_autoscaler(reserved: Mapping[str, float], deadline: float) -> None:
    request_resources(bundles=[{kind: amount for kind, amount in reserved.items() if amount}])
    try:
        while not _has_capacity(reserved) and time.monotonic() < deadline:
            time.sleep(1)
    finally:
        request_resources(bundles=[])  # or the node would stay for ever
