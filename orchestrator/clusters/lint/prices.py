"""The highest hourly price of a cluster file, from a dated table of on-demand prices.

A spot price never exceeds the on-demand price unless the file sets a higher maximum, so that on-demand is an upper
bound. Not included: volumes, traffic, NAT gateways, endpoints, taxes.
"""

import tomllib
from collections.abc import Iterator
from datetime import date
from importlib import resources
from typing import Final

from orchestrator.clusters.lint.node_types import filled, instance_type, most_nodes, virtual_cores
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
    nodes = ((1, instance_type(file, file.head_type)), *(workers or ()))
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
    head = prices.get(instance_type(file, file.head_type))
    most = file.integer("max_workers") or 0
    for name in file.node_types if file.provider == "aws" else ():
        limit = most_nodes(file, name)
        nodes = most if limit is None else min(limit, most)
        if nodes > 0:
            kind = instance_type(file, name)
            yield NodeType(
                name=name,
                instance_type=kind,
                nodes=nodes,
                cores=_resource(file, name, "CPU") or virtual_cores(kind),
                gpus=_resource(file, name, "GPU") or 0,
                dollars=prices.get(kind),
                head_dollars=head,
                priced=_DATE,
            )


def _resource(file: ClusterFile, name: str, kind: str) -> int | None:
    return file.integer("available_node_types", name, "resources", kind)


def _worker_slots(file: ClusterFile, prices: dict[str, float]) -> tuple[tuple[int, str], ...] | None:
    """The most expensive workers within `max_workers`, unpriced types first; None without a maximum."""
    most = file.integer("max_workers")
    if most is None:
        return None
    kinds = [(instance_type(file, name), most_nodes(file, name)) for name in file.node_types]
    # The most expensive first; a type without a price could be the most expensive.
    kinds.sort(key=lambda kind: -prices.get(kind[0], float("inf")))
    counts = filled([limit for _, limit in kinds], most)
    return tuple((count, kind) for count, (kind, _) in zip(counts, kinds, strict=True) if count > 0)
