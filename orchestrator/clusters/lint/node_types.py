"""What a cluster file says of each of its node types: the instance type, how many there can be, and their cores."""

import re
from collections.abc import Sequence

from orchestrator.clusters.lint.reading import ClusterFile


def instance_type(file: ClusterFile, node_type: str) -> str:
    """The instance type of a node type, or a text that says that it names none."""
    named = file.at("available_node_types", node_type, "node_config", "InstanceType")
    return str(named) if named else "(no InstanceType)"


def most_nodes(file: ClusterFile, node_type: str) -> int | None:
    """The most workers of a type; None where only the cluster's maximum limits them."""
    place = ("available_node_types", node_type)
    # Ray starts no workers of the head's type unless that type sets max_workers.
    default = 0 if node_type == file.head_type else None
    return file.integer(*place, "max_workers") if "max_workers" in file.mapping(*place) else default


def filled(limits: Sequence[int | None], most: int) -> list[int]:
    """How many nodes of each type there are if the first ones take as many of the cluster's maximum as they may."""
    counts = []
    for limit in limits:
        counts.append(most if limit is None else min(limit, most))
        most -= counts[-1]
    return counts


def virtual_cores(instance_type: str) -> int:
    """Virtual cores by the size in an instance type's name, as AWS counts them in every family of the price table."""
    size = re.search(r"\.(\d{0,4})(xlarge|large|medium)$", instance_type)
    if size is None:
        return 0
    return 4 * int(size[1] or 1) if size[2] == "xlarge" else 2


def asks_for_spot(file: ClusterFile, node_type: str) -> bool:
    """Whether a node type is rented on the spot market."""
    place = ("available_node_types", node_type, "node_config", "InstanceMarketOptions")
    return file.mapping(*place).get("MarketType") == "spot"
