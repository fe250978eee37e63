"""Settings of older Rays, which examples and one's own old files still hold."""

from collections.abc import Iterator
from typing import Final

from orchestrator.clusters.lint.reading import ClusterFile, Place
from orchestrator.clusters.lint.records import Finding, finding

_NODES: Final = (("head_node",), ("worker_nodes",))
"""One kind of head and one kind of workers, before there were node types."""
_REFUSED: Final[dict[Place, str]] = {
    ("initial_workers",): "give min_workers to a node type",
    ("autoscaling_mode",): "take it out; upscaling_speed says how fast the cluster grows",
    ("target_utilization_fraction",): "take it out; upscaling_speed says how fast the cluster grows",
    ("docker", "pull"): "write pull_before_run",
}
OF_OLDER_RAYS: Final[frozenset[Place]] = frozenset((*_NODES, *_REFUSED, ("min_workers",)))
"""What the rules below speak of, so that the schema's rule does not guess at it."""


def old_nodes(file: ClusterFile) -> Iterator[Finding]:
    """`head_node` and `worker_nodes`: Ray refuses them, or drops them where they are empty."""
    for place in _NODES:
        # With the local provider another rule says that they are forbidden.
        if file.at(*place) and file.provider != "local":
            problem = f"{place[0]} is the form of Rays before 2.0: Ray refuses it, and nothing below it was checked"
            remedy = "make it the node_config of a type in available_node_types; see cluster.yaml"
            yield finding(file, "error", "old-form", place, problem, remedy)
        elif place[0] in file.settings and not file.at(*place):
            problem = f"an empty {place[0]} is left from Rays before 2.0; Ray drops it"
            yield finding(file, "note", "old-form", place, problem, "take it out")


def old_settings(file: ClusterFile) -> Iterator[Finding]:
    """Other settings that were given up, with what took their place."""
    for place, remedy in _REFUSED.items():
        if place[-1] in file.mapping(*place[:-1]):
            problem = f"{place[-1]} is a setting of older Rays; Ray refuses it"
            yield finding(file, "error", "old-form", place, problem, remedy)
    # The local provider takes a count for the whole cluster, and removes it before it validates.
    if "min_workers" in file.settings and file.provider != "local":
        problem = "min_workers for the whole cluster is a setting of older Rays; Ray drops it without a word"
        yield finding(file, "warning", "old-form", ("min_workers",), problem, "give it to a node type")
