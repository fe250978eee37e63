"""The vCPU quotas that a cluster file needs: AWS refuses every instance beyond them, and the cluster only waits.

AWS counts virtual processors by family and market, for each region apart. Quotas of GPU families begin at 0 in a new
account, on the spot market in older ones, too (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-limits.html).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from orchestrator.clusters.lint.node_types import asks_for_spot, filled, instance_type, most_nodes, virtual_cores
from orchestrator.clusters.lint.reading import ClusterFile
from orchestrator.clusters.lint.records import Quota

_FAMILIES: Final = (
    (re.compile(r"(g|gr|vt)\d"), "G and VT", "L-DB2E81BA", "L-3819A6DF"),
    (re.compile(r"p[234]"), "P", "L-417A185B", "L-7212CCBC"),
    (re.compile(r"([acdhimrtz]|im|is|hpc)\d"), "Standard", "L-1216C47A", "L-34B43A08"),
)
"""How a family's instance types begin, its name, and its quotas' codes on demand and on the spot market."""


def quotas_of(file: ClusterFile) -> tuple[Quota, ...]:
    """What the largest cluster that the file allows needs of each quota; empty outside AWS."""
    kinds: dict[tuple[str, str], list[tuple[int, int | None]]] = {}
    for name, most in _workers(file):
        kind = instance_type(file, name)
        kinds.setdefault(_quota_of(kind, spot=asks_for_spot(file, name)), []).append((virtual_cores(kind), most))
    needed = {quota: _most_cores(some, file.integer("max_workers")) for quota, some in kinds.items()}
    if file.provider == "aws" and file.head_type in file.node_types:
        kind = instance_type(file, file.head_type)
        quota = _quota_of(kind, spot=asks_for_spot(file, file.head_type))
        # The cluster's maximum counts workers; the head is beside them.
        workers, head = needed.get(quota, 0), virtual_cores(kind)
        needed[quota] = None if workers is None or head == 0 else workers + head
    region = str(file.at("provider", "region") or "")
    return tuple(Quota(name=name, code=code, cores=cores, region=region) for (name, code), cores in needed.items())


def _workers(file: ClusterFile) -> Iterator[tuple[str, int | None]]:
    """Node types of workers, with the most nodes of each; None where only the cluster's maximum limits them."""
    for name in file.node_types if file.provider == "aws" else ():
        most = most_nodes(file, name)
        if most is None or most > 0:
            yield name, most


def _quota_of(kind: str, *, spot: bool) -> tuple[str, str]:
    """Name and code of the quota that an instance type counts against."""
    market = "spot" if spot else "on demand"
    for begins, family, on_demand, on_spot in _FAMILIES:
        if begins.match(kind):
            return f"{family}, {market}", on_spot if spot else on_demand
    return f"{kind}, {market}", ""


def _most_cores(kinds: Sequence[tuple[int, int | None]], most: int | None) -> int | None:
    """Cores of the largest workers within the numbers; None where a size or the number is not known."""
    if most is None or any(cores == 0 for cores, _ in kinds):
        return None
    largest = sorted(kinds, key=lambda kind: -kind[0])
    counts = filled([limit for _, limit in largest], most)
    return sum(count * cores for count, (cores, _) in zip(counts, largest, strict=True))
