"""Reads a cluster file as Ray does (YAML 1.1, safe tags only) and keeps the line of every key and value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from mpi_model.errors import ExperimentError
from mpi_model.regular_files import is_regular, read_regular

Place = tuple[str | int, ...]
"""Keys and list positions from the top of the file."""

_MAX_BYTES: Final = 1_000_000
# YAML aliases can expand a small file to any size. Ray's own example has fewer than two hundred values.
_MAX_VALUES: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFile:
    """The settings of a cluster file and their lines."""

    path: Path
    settings: Mapping[str, Any]
    lines: Mapping[Place, int]
    """Counted from 1."""
    text: str

    def at(self, *place: str | int) -> Any:  # noqa: ANN401 - any YAML value
        """The value at a place, or None."""
        value: Any = self.settings
        for key in place:
            in_mapping = isinstance(value, Mapping) and key in value
            in_list = isinstance(value, list) and isinstance(key, int) and key < len(value)
            value = value[key] if in_mapping or in_list else None
        return value

    def mapping(self, *place: str | int) -> Mapping[str, Any]:
        """The mapping at a place; empty if there is none."""
        value = self.at(*place)
        return value if isinstance(value, Mapping) else {}

    def items(self, *place: str | int) -> list[Any]:
        """The list at a place; empty if there is none."""
        value = self.at(*place)
        return value if isinstance(value, list) else []

    def integer(self, *place: str | int) -> int | None:
        """The integer at a place; None for anything else, which the schema check reports."""
        value = self.at(*place)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def line(self, place: Place) -> int:
        """The line of a place, or of the nearest enclosing key."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    @property
    def provider(self) -> str:
        """`aws`, `local`, …; empty if the file does not name one."""
        return str(self.at("provider", "type") or "")

    @property
    def node_types(self) -> tuple[str, ...]:
        """The names of the node types that are mappings."""
        types = self.mapping("available_node_types")
        return tuple(name for name, settings in types.items() if isinstance(settings, Mapping))

    @property
    def head_type(self) -> str:
        """The name of the head's node type; empty if the file does not name one."""
        return str(self.at("head_node_type") or "")

    def commands(self, *keys: str) -> Iterator[tuple[Place, str]]:
        """Every command of the named lists, with its place."""
        for key in keys:
            for number, command in enumerate(self.items(key)):
                yield (key, number), str(command)

    def mounted_texts(self, suffix: str) -> Iterator[tuple[Place, str]]:
        """The text of every mounted file with a suffix, if the file exists on this machine."""
        for remote, local in self.mapping("file_mounts").items():
            relative = Path(str(local)).expanduser()
            # Ray resolves relative paths from the folder it is called in. That is unknown here, so that the
            # current folder, the file's folder and the one above it are tried.
            for folder in (Path.cwd(), self.path.parent, self.path.parent.parent):
                path = folder / relative
                if path.suffix == suffix and is_regular(path) and path.stat().st_size <= _MAX_BYTES:
                    yield ("file_mounts", str(remote)), path.read_text(encoding="utf-8", errors="replace")
                    break


def read_cluster_file(path: Path) -> ClusterFile:
    """Read a cluster file.

    Raises:
        ExperimentError: The file cannot be read, is not YAML, or is not a mapping.
    """
    text = _read_text(path)
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ExperimentError(f"a cluster file is a mapping of settings, but {path.name} is not; see cluster.yaml")
        # The lines come from the nodes, before construction: plain values no longer know where they stood.
        lines = dict(_walk(root, (), path.name, (), [0]))
        settings = loader.construct_document(root)
    except ExperimentError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date of month 13
        mark = getattr(error, "problem_mark", None)
        where = path.name if mark is None else f"{path.name}, line {mark.line + 1}"
        problem = getattr(error, "problem", None) or type(error).__name__
        raise ExperimentError(f"{where}: not YAML that Ray reads safely: {problem}; correct it there") from error
    finally:
        loader.dispose()
    return ClusterFile(path=path, settings=settings, lines=lines, text=text)


def _read_text(path: Path) -> str:
    try:
        return read_regular(path, _MAX_BYTES).decode("utf-8")
    except OSError as error:
        raise ExperimentError(
            f"cannot read the cluster file {path.name} ({error.strerror}); a cluster file is a page of YAML"
        ) from error
    except UnicodeDecodeError as error:
        raise ExperimentError(f"the cluster file {path.name} is not UTF-8 text; save it as UTF-8") from error


def _walk(
    node: yaml.Node, place: Place, name: str, above: tuple[int, ...], count: list[int]
) -> Iterator[tuple[Place, int]]:
    """Every place below a node with its line; of a repeated key the later one, which is also the one YAML keeps."""
    count[0] += 1
    if id(node) in above or count[0] > _MAX_VALUES:
        raise ExperimentError(f"{name}: YAML aliases refer to themselves or expand too far; write the values out")
    above = (*above, id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*place, number), value.start_mark.line + 1
            yield from _walk(value, (*place, number), name, above, count)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*place, str(key.value)), key.start_mark.line + 1
            yield from _walk(value, (*place, str(key.value)), name, above, count)
