"""The highest hourly price of a cluster file, from a dated table of on-demand prices.

A spot price never exceeds the on-demand price unless the file sets a higher maximum, so that on-demand is an upper
bound. Not included: volumes, traffic, NAT gateways, endpoints, taxes.
"""

import re
import tomllib
from collections.abc import Iterator
from datetime import date
from importlib import resources
from typing import Final

from orchestrator.clusters.lint.reading import ClusterFile
from orchestrator.clusters.lint.records import NodeType, PriceBound

_TABLE: Final = tomllib.loads(resources.files(__package__).joinpath("prices.toml").read_text("utf-8"))
_DATE: Final[date] = _TABLE["date"]


def price_bound(file: ClusterFile) -> PriceBound | None:
    """The price of one head and the most expensive workers that the file allows; None outside AWS.

    Without a price for every type, or without a maximum size, there is no sum.
    """
    if file.provider != "aws":
        return None
    region = str(file.at("provider", "region") or "")
    prices: dict[str, float] = _TABLE.get(region, {})
    workers = _worker_slots(file, prices)
    nodes = ((1, _instance_type(file, file.head_type)), *(workers or ()))
    unknown = tuple(sorted({kind for _, kind in nodes if kind not in prices}))
    bounded = workers is not None and not unknown
    return PriceBound(
        dollars=round(sum(count * prices[kind] for count, kind in nodes), 4) if bounded else None,
        region=region,
        priced=_DATE,
        nodes=nodes,
        unknown=unknown,
    )


def worker_types(file: ClusterFile) -> Iterator[NodeType]:
    """The node types that run cells, in the file's order, each with its price and how many of it there can be."""
    prices: dict[str, float] = _TABLE.get(str(file.at("provider", "region") or ""), {})
    head = prices.get(_instance_type(file, file.head_type))
    most = file.integer("max_workers") or 0
    for name in file.node_types if file.provider == "aws" else ():
        limit = _limit(file, name)
        nodes = most if limit is None else min(limit, most)
        if nodes > 0:
            kind = _instance_type(file, name)
            yield NodeType(
                name=name,
                instance_type=kind,
                nodes=nodes,
                cores=_resource(file, name, "CPU") or _cores(kind),
                gpus=_resource(file, name, "GPU") or 0,
                dollars=prices.get(kind),
                head_dollars=head,
                priced=_DATE,
            )


def _resource(file: ClusterFile, name: str, kind: str) -> int | None:
    return file.integer("available_node_types", name, "resources", kind)


def _cores(instance_type: str) -> int:
    """Virtual cores by the size in an instance type's name, as AWS counts them in every family of the table."""
    size = re.search(r"\.(\d*)(xlarge|large|medium)$", instance_type)
    if size is None:
        return 0
    return 4 * int(size[1] or 1) if size[2] == "xlarge" else 2


def _worker_slots(file: ClusterFile, prices: dict[str, float]) -> tuple[tuple[int, str], ...] | None:
    """The most expensive workers within `max_workers`, unpriced types first; None without a maximum."""
    remaining = file.integer("max_workers")
    if remaining is None:
        return None
    kinds = [(_instance_type(file, name), _limit(file, name)) for name in file.node_types]
    # The most expensive first; a type without a price could be the most expensive.
    kinds.sort(key=lambda kind: -prices.get(kind[0], float("inf")))
    slots = []
    for instance_type, limit in kinds:
        count = remaining if limit is None else min(limit, remaining)
        remaining -= count
        if count > 0:
            slots.append((count, instance_type))
    return tuple(slots)


def _limit(file: ClusterFile, name: str) -> int | None:
    """The most workers of a type; None where only the cluster's maximum limits them."""
    place = ("available_node_types", name)
    # Ray starts no workers of the head's type unless that type sets max_workers.
    default = 0 if name == file.head_type else None
    return file.integer(*place, "max_workers") if "max_workers" in file.mapping(*place) else default


def _instance_type(file: ClusterFile, node_type: str) -> str:
    named = file.at("available_node_types", node_type, "node_config", "InstanceType")
    return str(named) if named else "(no InstanceType)"
