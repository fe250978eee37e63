"""Ray's own schema, read from the installed wheel without importing Ray, which takes seconds."""

import json
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import jsonschema

from mpi_model.errors import ExperimentError
from orchestrator.clusters.lint.node_keys import nearest
from orchestrator.clusters.lint.old_form import OF_OLDER_RAYS
from orchestrator.clusters.lint.reading import ClusterFile, Place
from orchestrator.clusters.lint.records import Finding, finding

_KINDS: Final = {"integer": "a whole number", "object": "a mapping", "array": "a list", "string": "text"}
_FILLED_IN_BY_RAY: Final = ("aws", "kuberay", "kubernetes")
"""Providers whose node types may leave `resources` out: Ray looks them up before it validates."""


@cache
def ray_schema() -> dict[str, Any]:
    """The JSON schema of cluster files of the installed Ray.

    Raises:
        ExperimentError: Ray is not installed.
    """
    ray = find_spec("ray")
    if ray is None or not ray.submodule_search_locations:
        raise ExperimentError("Ray is not installed here, so its schema cannot be read; install polarmap's wheel anew")
    path = Path(ray.submodule_search_locations[0]) / "autoscaler" / "ray-schema.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def valid_for_ray(file: ClusterFile) -> Iterator[Finding]:
    """What `ray up` itself would refuse; messages hold keys, never values, which may be secrets."""
    # Through JSON: the validator stumbles over YAML's numbers as keys, and over dates.
    settings = json.loads(json.dumps(file.settings, default=str, skipkeys=True))
    for error in jsonschema.Draft7Validator(ray_schema()).iter_errors(settings):
        place: Place = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            yield from _unknown_keys(file, place, error)
        elif error.validator == "required":
            yield from _missing_keys(file, place, error)
        elif error.validator == "type":
            wanted = _KINDS.get(str(error.validator_value), str(error.validator_value))
            yield finding(file, "error", "schema", place, f"Ray takes {wanted} here", f"give {wanted}")
        else:
            limit = f"{error.validator} {error.validator_value}"
            yield finding(file, "error", "schema", place, f"Ray's schema refuses this value ({limit})", "mend it")


def _unknown_keys(file: ClusterFile, place: Place, error: jsonschema.ValidationError) -> Iterator[Finding]:
    known = error.schema["properties"]
    for key in error.instance:
        if key not in known and (*place, key) not in OF_OLDER_RAYS:
            remedy = nearest(str(key), known)
            yield finding(file, "error", "unknown-key", (*place, str(key)), f"Ray knows no {key} here", remedy)


def _missing_keys(file: ClusterFile, place: Place, error: jsonschema.ValidationError) -> Iterator[Finding]:
    for key in error.validator_value:
        filled = key == "resources" and file.provider in _FILLED_IN_BY_RAY
        if key not in error.instance and not filled:
            yield finding(file, "error", "schema", place, f"Ray asks for {key} here", f"add {key}")
