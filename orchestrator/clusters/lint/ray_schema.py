"""Validates a cluster file against the schema of the installed Ray, without importing Ray, which takes seconds."""

import difflib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import jsonschema

from mpi_model.errors import ExperimentError
from orchestrator.clusters.lint.reading import ClusterFile, Place
from orchestrator.clusters.lint.records import Finding, finding

_KINDS: Final = {"integer": "an integer", "object": "a mapping", "array": "a list", "string": "text"}
# For these providers Ray looks up `resources` of a node type before it validates.
_RESOURCES_OPTIONAL: Final = ("aws", "kuberay", "kubernetes")
_MOST_HINTS: Final = 50
"""Unknown keys of one mapping for which a similar known one is looked for, which takes a millisecond each."""
_DEPRECATED: Final = {
    "head_node": "make it the node_config of a type in available_node_types; see cluster.yaml",
    "worker_nodes": "make it the node_config of a type in available_node_types; see cluster.yaml",
    "initial_workers": "give min_workers to a node type",
    "autoscaling_mode": "remove it; upscaling_speed sets how fast the cluster grows",
    "target_utilization_fraction": "remove it; upscaling_speed sets how fast the cluster grows",
    "pull": "write pull_before_run",
}
"""Settings of Ray before 2.0, and what replaces them."""


@cache
def _ray_schema() -> dict[str, Any]:
    """The JSON schema of cluster files of the installed Ray.

    Raises:
        ExperimentError: Ray is not installed.
    """
    ray = find_spec("ray")
    if ray is None or not ray.submodule_search_locations:
        raise ExperimentError("Ray is not installed, so that its schema cannot be read; install polarmap's wheel again")
    path = Path(ray.submodule_search_locations[0]) / "autoscaler" / "ray-schema.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def _valid_for_ray(file: ClusterFile) -> Iterator[Finding]:
    """Everything that `ray up` refuses; messages contain keys and never values, which may be secrets."""
    for error in jsonschema.Draft7Validator(_ray_schema()).iter_errors(_as_validated(file)):
        place: Place = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            yield from _unknown_keys(file, place, error)
        elif error.validator == "required":
            yield from _missing_keys(file, place, error)
        elif error.validator == "type":
            wanted = _KINDS.get(str(error.validator_value), str(error.validator_value))
            yield finding(file, "error", "schema", place, f"Ray expects {wanted} here", f"give {wanted}")
        else:
            limit = f"{error.validator} {error.validator_value}"
            yield finding(file, "error", "schema", place, f"Ray's schema refuses this value ({limit})", "correct it")


def _as_validated(file: ClusterFile) -> Any:  # noqa: ANN401 - any JSON value
    """The settings that Ray validates: it first drops `min_workers` and empty sections of old files."""
    empty = {key for key in ("head_node", "worker_nodes") if not file.at(key)}
    kept = {key: value for key, value in file.settings.items() if key not in {"min_workers", *empty}}
    # Through JSON, because the validator fails on numbers as keys and on dates, which YAML allows.
    return json.loads(json.dumps(kept, default=str, skipkeys=True))


def _unknown_keys(file: ClusterFile, place: Place, error: jsonschema.ValidationError) -> Iterator[Finding]:
    known = error.schema["properties"]
    unknown = [key for key in error.instance if key not in known]
    for number, key in enumerate(unknown):
        remedy = _DEPRECATED.get(key) or (_nearest(key, known) if number < _MOST_HINTS else "remove it")
        yield finding(file, "error", "unknown-key", (*place, key), f"Ray has no setting {key} here", remedy)


def _nearest(key: str, known: Iterable[str]) -> str:
    """The remedy for an unknown key: the most similar known key, or removal."""
    folded = {name.lower(): name for name in known}
    close = difflib.get_close_matches(key.lower(), folded, n=1, cutoff=0.6)
    return f"write {folded[close[0]]}" if close else "remove it"


def _missing_keys(file: ClusterFile, place: Place, error: jsonschema.ValidationError) -> Iterator[Finding]:
    for key in error.validator_value:
        filled_in = key == "resources" and file.provider in _RESOURCES_OPTIONAL
        if key not in error.instance and not filled_in:
            yield finding(file, "error", "schema", place, f"Ray requires {key} here", f"add {key}")


RULES: Final = (_valid_for_ray,)
