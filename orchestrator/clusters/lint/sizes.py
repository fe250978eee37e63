"""How many nodes a file may start, and what keeps the bill finite."""

from collections.abc import Iterator

from orchestrator.clusters.lint.reading import ClusterFile
from orchestrator.clusters.lint.records import Finding, finding


def whole(value: object) -> int | None:
    """A whole number, or None for anything else (which the schema reports)."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def worker_numbers(file: ClusterFile) -> Iterator[Finding]:
    """Negative numbers, more at least than at most, more in sum than in all: the schema checks none of a type's."""
    least = 0
    for name, kind in file.node_types.items():
        place = ("available_node_types", name)
        low, high = whole(kind.get("min_workers")) or 0, whole(kind.get("max_workers"))
        for key in ("min_workers", "max_workers"):
            if (whole(kind.get(key)) or 0) < 0:
                problem = f"{key} is negative"
                yield finding(file, "error", "worker-numbers", (*place, key), problem, "give 0 or more")
        if high is not None and low > high:
            problem = f"min_workers {low} is over max_workers {high}; Ray would not say so"
            yield finding(file, "error", "worker-numbers", (*place, "min_workers"), problem, "lower it")
        least += max(low, 0)
    most = whole(file.at("max_workers"))
    if most is not None and least > most:
        problem = f"the types' min_workers add up to {least}, over max_workers {most}"
        yield finding(file, "error", "worker-numbers", ("max_workers",), problem, "raise it, or lower theirs")


def head_type(file: ClusterFile) -> Iterator[Finding]:
    """A head whose type is not there, or that runs cells."""
    if not file.node_types or file.provider == "local":
        return
    place = ("available_node_types", file.head_type)
    if file.head_type not in file.node_types:
        names = ", ".join(file.node_types)
        problem = "head_node_type is missing" if not file.head_type else "head_node_type names no available node type"
        yield finding(file, "error", "head-type", ("head_node_type",), problem, f"name one of {names}")
    elif file.at(*place, "resources", "CPU") != 0:
        problem = "the head runs cells, too; one that takes its memory takes the cluster with it"
        at = (*place, "resources", "CPU")
        yield finding(file, "warning", "head-runs-cells", at, problem, "give it resources: {CPU: 0}")


def cost_bound(file: ClusterFile) -> Iterator[Finding]:
    """A rented cluster without a largest size, or whose idle nodes stay."""
    if file.provider == "local":
        return
    if file.at("max_workers") is None:
        problem = "no max_workers: the largest size is Ray's default, not yours"
        yield finding(file, "warning", "no-cost-bound", ("max_workers",), problem, "add max_workers")
    if file.at("idle_timeout_minutes") is None:
        problem = "no idle_timeout_minutes: how long idle nodes stay is left to Ray"
        yield finding(
            file, "warning", "no-cost-bound", ("idle_timeout_minutes",), problem, "add idle_timeout_minutes: 5"
        )
