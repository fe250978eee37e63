"""Reads a cluster file as Ray would (YAML 1.1, safe tags only) and remembers the line of every key and value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from mpi_model.errors import ExperimentError

Place = tuple[str | int, ...]
"""Keys and list positions from the top of the file."""

_MOST_BYTES: Final = 1_000_000
_MOST_VALUES: Final = 50_000
"""Aliases can make a small file huge; Ray's own example has under two hundred values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFile:
    """A cluster file's settings and where they stand."""

    path: Path
    settings: Mapping[str, Any]
    lines: Mapping[Place, int]
    """Counted from 1."""
    repeated: tuple[tuple[Place, int], ...]
    """Keys that stand twice in one mapping, with the line of the later one; YAML keeps only that one, silently."""
    text: str

    def at(self, *place: str | int) -> Any:  # noqa: ANN401 - whatever YAML holds there
        """The value at a place, or None."""
        value: Any = self.settings
        for key in place:
            held = isinstance(value, Mapping) and key in value
            listed = isinstance(value, list) and isinstance(key, int) and key < len(value)
            value = value[key] if held or listed else None
        return value

    def mapping(self, *place: str | int) -> Mapping[str, Any]:
        """The mapping at a place; empty where there is none, or something else."""
        value = self.at(*place)
        return value if isinstance(value, Mapping) else {}

    def line(self, place: Place) -> int:
        """The line of a place, or of what encloses it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    @property
    def provider(self) -> str:
        """`aws`, `local`, …; empty where the file does not say."""
        return str(self.at("provider", "type") or "")

    @property
    def node_types(self) -> Mapping[str, Mapping[str, Any]]:
        """The node types that are mappings, by name."""
        types = self.mapping("available_node_types")
        return {str(name): kind for name, kind in types.items() if isinstance(kind, Mapping)}

    @property
    def head_type(self) -> str:
        """The head's node type, as named."""
        return str(self.at("head_node_type") or "")


def read_cluster_file(path: Path) -> ClusterFile:
    """Read a cluster file.

    Raises:
        ExperimentError: It cannot be read, is not YAML, or is not a mapping.
    """
    text = _text_of(path)
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ExperimentError(f"a cluster file is a mapping of settings, but {path.name} is not; see cluster.yaml")
        found = list(_walk(root, (), path.name, (), [0]))
        settings = loader.construct_document(root)
    except ExperimentError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date of month 13
        mark = getattr(error, "problem_mark", None)
        where = path.name if mark is None else f"{path.name}, line {mark.line + 1}"
        problem = getattr(error, "problem", None) or type(error).__name__
        raise ExperimentError(f"{where}: not YAML that Ray reads safely: {problem}; mend it there") from error
    finally:
        loader.dispose()
    return ClusterFile(
        path=path,
        settings=settings,
        lines={place: line for place, line, _ in found},
        repeated=tuple((place, line) for place, line, repeated in found if repeated),
        text=text,
    )


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ExperimentError(f"{path.name} has over {_MOST_BYTES} bytes; a cluster file is a page of YAML")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"cannot read the cluster file {path.name}: {type(error).__name__}") from error


def _walk(
    node: yaml.Node, place: Place, name: str, above: tuple[int, ...], count: list[int]
) -> Iterator[tuple[Place, int, bool]]:
    """Every place below a node with its line, and whether its key stood in the same mapping before."""
    count[0] += 1
    if id(node) in above or count[0] > _MOST_VALUES:
        raise ExperimentError(f"{name}: its YAML aliases contain themselves or multiply without end; write them out")
    above = (*above, id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*place, number), value.start_mark.line + 1, False
            yield from _walk(value, (*place, number), name, above, count)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            word = str(key.value)
            yield (*place, word), key.start_mark.line + 1, word in seen
            seen.add(word)
            yield from _walk(value, (*place, word), name, above, count)
