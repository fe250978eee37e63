"""Typing errors that Ray's schema lets through: unknown keys and wrong kinds of value, with the nearest right one."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any, Final

from orchestrator.clusters.lint.reading import ClusterFile, Place
from orchestrator.clusters.lint.records import Finding, finding

# Frozen from botocore, so that every laptop finds the same with or without boto3; a test compares it.
_RUN_INSTANCES: Final = json.loads(resources.files(__package__).joinpath("run_instances.json").read_text("utf-8"))
_OF_RAY: Final = {"SubnetIds": ["string"]}
"""Ray's own key: it takes the first of these subnets that has room."""
_SET_BY_RAY: Final = ("MinCount", "MaxCount", "SubnetId")
_PROVIDER_KEYS: Final = {
    "aws": ("type", "region", "availability_zone", "cache_stopped_nodes", "use_internal_ips", "security_group",
            "key_pair", "cloudwatch", "aws_credentials", "disable_node_updaters", "module"),
    "local": ("type", "head_ip", "worker_ips", "external_head_ip", "coordinator_address", "module",
              "disable_node_updaters"),
}  # fmt: skip
"""What Ray 2.60's code reads, for the two providers that polarmap ships files for."""
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "boolean": (bool,),
    "double": (int, float),
    "float": (int, float),
}


def nearest(word: str, known: Iterable[str]) -> str:
    """A remedy for an unknown word: the nearest known one, or to take it out."""
    folded = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return f"write {folded[close[0]]}" if close else "take it out"


def provider_keys(file: ClusterFile) -> Iterator[Finding]:
    """Keys of `provider` that Ray never reads."""
    known = _PROVIDER_KEYS.get(file.provider, ())
    for key in file.mapping("provider") if known else ():
        if key not in known:
            yield finding(
                file, "error", "unknown-key", ("provider", key), f"Ray reads no {key} here", nearest(str(key), known)
            )


def node_config_keys(file: ClusterFile) -> Iterator[Finding]:
    """Keys and values of every AWS `node_config`, against what EC2's RunInstances takes."""
    if file.provider != "aws":
        return
    for name in file.node_types:
        place = ("available_node_types", name, "node_config")
        for key in file.mapping(*place):
            if key in _SET_BY_RAY:
                remedy = "write SubnetIds: […]" if key == "SubnetId" else "take it out; max_workers counts"
                yield finding(file, "error", "overwritten-key", (*place, key), f"Ray overwrites {key}", remedy)
        yield from _against(file, place, file.at(*place), _RUN_INSTANCES | _OF_RAY)


def _against(file: ClusterFile, place: Place, value: Any, shape: Any) -> Iterator[Finding]:  # noqa: ANN401
    if isinstance(shape, dict):
        if not isinstance(value, Mapping):
            yield _wrong_kind(file, place, "a mapping")
            return
        for key, inner in value.items():
            if key in shape:
                yield from _against(file, (*place, key), inner, shape[key])
            else:
                problem = f"EC2 knows no {key} here, and the launch would fail"
                yield finding(file, "error", "unknown-key", (*place, str(key)), problem, nearest(str(key), shape))
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield _wrong_kind(file, place, "a list")
            return
        for number, inner in enumerate(value):
            yield from _against(file, (*place, number), inner, shape[0])
    else:
        yield from _scalar(file, place, value, shape)


def _scalar(file: ClusterFile, place: Place, value: Any, shape: str) -> Iterator[Finding]:  # noqa: ANN401
    kind, _, choices = shape.partition(": ")
    types = _TYPES.get(kind)
    if types and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
        yield _wrong_kind(file, place, f"a {kind}")
    elif choices and value not in choices.split(" | "):
        problem = f"EC2 takes {choices.replace(' | ', ', ')} here"
        yield finding(file, "error", "unknown-value", place, problem, nearest(str(value), choices.split(" | ")))


def _wrong_kind(file: ClusterFile, place: Place, kind: str) -> Finding:
    return finding(file, "error", "wrong-type", place, f"EC2 takes {kind} here", f"give {kind}")


def repeated_keys(file: ClusterFile) -> Iterator[Finding]:
    """Keys that stand twice: YAML keeps the later one without a word."""
    for place, line in file.repeated:
        yield Finding(
            severity="error",
            rule="repeated-key",
            line=line,
            place=".".join(map(str, place)),
            problem=f"{place[-1]} stands here twice; only the later one counts",
            remedy="keep one",
        )


def keys_that_are_no_text(file: ClusterFile) -> Iterator[Finding]:
    """Names that YAML reads as something else (`3:`, `no:`, `2026-01-01:`), over which Ray stumbles."""
    for place, key in _keys(file.settings, ()):
        if not isinstance(key, str):
            problem = f"YAML reads this key as {type(key).__name__}, not as text; Ray stumbles over it"
            yield finding(file, "error", "key-not-text", place, problem, "put it in quotes")


def _keys(value: Any, place: Place) -> Iterator[tuple[Place, object]]:  # noqa: ANN401
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield (*place, str(key)), key
            yield from _keys(inner, (*place, str(key)))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _keys(inner, (*place, number))
