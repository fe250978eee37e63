"""Rules on how many nodes a file may start, and on what limits the cost."""

from collections.abc import Iterator
from typing import Final

from orchestrator.clusters.lint.node_types import most_nodes
from orchestrator.clusters.lint.reading import ClusterFile
from orchestrator.clusters.lint.records import Finding, finding


def _worker_numbers(file: ClusterFile) -> Iterator[Finding]:
    """Negative numbers, and minima above maxima; Ray's schema checks neither for a node type."""
    total = 0  # of the minima, which Ray starts at once
    for name in file.node_types:
        place = ("available_node_types", name)
        low, high = file.integer(*place, "min_workers") or 0, file.integer(*place, "max_workers")
        for key in ("min_workers", "max_workers"):
            if (file.integer(*place, key) or 0) < 0:
                problem = f"{key} is negative"
                yield finding(file, "error", "worker-numbers", (*place, key), problem, "give 0 or more")
        if high is not None and low > high:
            problem = f"min_workers {low} exceeds max_workers {high}; Ray does not report it"
            yield finding(file, "error", "worker-numbers", (*place, "min_workers"), problem, "lower it")
        total += max(low, 0)
    limit = file.integer("max_workers")
    if limit is not None and total > limit:
        problem = f"the min_workers of all types add up to {total}, more than max_workers {limit}"
        yield finding(file, "error", "worker-numbers", ("max_workers",), problem, "raise it, or lower theirs")


def _one_number(file: ClusterFile) -> Iterator[Finding]:
    """The number of workers in several places: whoever raises one of them gets no more workers."""
    limit = file.integer("max_workers")
    if file.provider == "local" or limit is None:
        return
    limits = {name: most_nodes(file, name) for name in file.node_types if name != file.head_type}
    for name, most in limits.items():
        if most is not None and most >= limit:
            problem = f"max_workers {most} of {name} repeats the file's max_workers {limit}, which bounds every type"
            place = ("available_node_types", name, "max_workers")
            yield finding(
                file, "note", "repeated-number", place, problem, "remove it, and keep one number for all types"
            )
    allowed = [most for most in limits.values() if most is not None]
    if limits and len(allowed) == len(limits) and sum(allowed) < limit:
        problem = f"max_workers {limit} is never reached: the types allow {sum(allowed)} together"
        remedy = "remove max_workers from the types that may fill the cluster"
        yield finding(file, "note", "unreachable-number", ("max_workers",), problem, remedy)


def _head_type(file: ClusterFile) -> Iterator[Finding]:
    """A head whose type does not exist, or that runs cells."""
    if not file.node_types or file.provider == "local":
        return
    place = ("available_node_types", file.head_type)
    if file.head_type not in file.node_types:
        names = ", ".join(map(str, file.node_types))
        problem = "head_node_type is missing" if not file.head_type else "head_node_type names no available node type"
        yield finding(file, "error", "head-type", ("head_node_type",), problem, f"name one of {names}")
    elif file.at(*place, "resources", "CPU") != 0:
        # A cell that exhausts the memory of the head ends the whole cluster, not one worker.
        problem = "the head runs cells; a cell that exhausts its memory ends the cluster"
        at = (*place, "resources", "CPU")
        yield finding(file, "warning", "head-runs-cells", at, problem, "give it resources: {CPU: 0}")


def _cost_bound(file: ClusterFile) -> Iterator[Finding]:
    """A rented cluster without a maximum size or an idle timeout."""
    if file.provider == "local":
        return
    if file.at("max_workers") is None:
        problem = "max_workers is missing, so that Ray's default limits the size"
        yield finding(file, "warning", "no-cost-bound", ("max_workers",), problem, "add max_workers")
    if file.at("idle_timeout_minutes") is None:
        problem = "idle_timeout_minutes is missing, so that Ray's default decides how long idle nodes stay"
        yield finding(
            file, "warning", "no-cost-bound", ("idle_timeout_minutes",), problem, "add idle_timeout_minutes: 5"
        )


RULES: Final = (_worker_numbers, _one_number, _head_type, _cost_bound)
