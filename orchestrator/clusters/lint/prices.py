"""The most a cluster file can cost an hour, from a dated table of on-demand prices.

A spot price never exceeds the on-demand price unless the file asks for more, so on-demand is its upper bound. Not in
the sum: volumes, traffic, NAT gateways, endpoints, taxes.
"""

import tomllib
from datetime import date
from importlib import resources
from typing import Final

from orchestrator.clusters.lint.reading import ClusterFile
from orchestrator.clusters.lint.records import PriceBound
from orchestrator.clusters.lint.sizes import whole

_TABLE: Final = tomllib.loads(resources.files(__package__).joinpath("prices.toml").read_text("utf-8"))
_DATE: Final[date] = _TABLE["date"]


def price_bound(file: ClusterFile) -> PriceBound | None:
    """The price of one head and the dearest workers that the file allows; None outside AWS.

    Where a price is missing, or the file does not bound its size, there is no sum.
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


def _worker_slots(file: ClusterFile, prices: dict[str, float]) -> tuple[tuple[int, str], ...] | None:
    """The dearest workers within `max_workers`, types without a price first; None where nothing bounds them."""
    room = whole(file.at("max_workers"))
    if room is None:
        return None
    kinds = [
        # Ray starts no workers of the head's type unless that type says so.
        (_instance_type(file, name), whole(kind.get("max_workers", 0 if name == file.head_type else None)))
        for name, kind in file.node_types.items()
    ]
    kinds.sort(key=lambda kind: -prices.get(kind[0], float("inf")))
    slots = []
    for instance_type, most in kinds:
        count = room if most is None else min(most, room)
        room -= count
        if count > 0:
            slots.append((count, instance_type))
    return tuple(slots)


def _instance_type(file: ClusterFile, node_type: str) -> str:
    named = file.at("available_node_types", node_type, "node_config", "InstanceType")
    return str(named) if named else "(no InstanceType)"
