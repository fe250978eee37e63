"""Reads a cluster file as Ray does (YAML 1.1, safe tags only) and keeps the line of every key and value."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from mpi_model.errors import ExperimentError
from mpi_model.printable import printable
from mpi_model.regular_files import read_regular

Place = tuple[str | int, ...]
"""Keys and list positions from the top of the file."""

_MAX_BYTES: Final = 1_000_000
# YAML aliases can expand a small file to any size. Ray's own example has fewer than two hundred values.
_MAX_VALUES: Final = 10_000
_MAX_LETTERS: Final = 2_000_000
"""Of all values together, an alias counted wherever it stands."""
_LONGEST_INTEGER: Final = 24
"""Characters of a whole number; Ray's are of 64 bits."""


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
            relative = with_home(str(local))
            # Ray resolves relative paths from the folder it is called in. That is unknown here, so that the
            # current folder, the file's folder and the one above it are tried.
            for folder in (Path(), self.path.parent, self.path.parent.parent) if relative.suffix == suffix else ():
                with suppress(OSError):
                    text = read_regular(folder / relative, _MAX_BYTES).decode("utf-8", "replace")
                    yield ("file_mounts", str(remote)), text
                    break


def with_home(path: str) -> Path:
    """The path with a leading `~` as the folder that it means; as it is where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def read_cluster_file(path: Path) -> ClusterFile:
    """Read a cluster file.

    Raises:
        ExperimentError: The file cannot be read, is not YAML, or is not a mapping.
    """
    text = _read_text(path)
    try:
        lines, settings = _read_yaml(text, path.name)
    except (ExperimentError, MemoryError):
        raise
    except Exception as error:  # PyYAML raises nearly anything for a value that is not what its tag says
        line = _line_of(error, text)
        where = path.name if line is None else f"{path.name}, line {line}"
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
        raise ExperimentError(
            f"{where}: not YAML that Ray reads safely: {printable(str(problem))}; correct it there"
        ) from error
    return ClusterFile(path=path, settings=settings, lines=lines, text=text)


def _read_yaml(text: str, name: str) -> tuple[Mapping[Place, int], Mapping[str, Any]]:
    """The lines and the settings."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ExperimentError(f"a cluster file is a mapping of settings, but {name} is not; see cluster.yaml")
        # The lines come from the nodes, before construction: plain values no longer know where they stood.
        lines = dict(_walk(root, (), name, (), _Size(loader)))
        return lines, loader.construct_document(root)
    finally:
        loader.dispose()


def _line_of(error: Exception, text: str) -> int | None:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return int(mark.line) + 1
    # A control character is refused by its place in the text.
    return text.count("\n", 0, error.position) + 1 if isinstance(error, yaml.reader.ReaderError) else None


def _read_text(path: Path) -> str:
    try:
        return read_regular(path, _MAX_BYTES).decode("utf-8")
    except OSError as error:
        raise ExperimentError(
            f"cannot read the cluster file {path.name} ({error.strerror}); a cluster file is a page of YAML"
        ) from error
    except UnicodeDecodeError as error:
        raise ExperimentError(f"the cluster file {path.name} is not UTF-8 text; save it as UTF-8") from error


def _check_value(node: yaml.ScalarNode, place: str, loader: yaml.SafeLoader) -> None:
    """Refuse a value that is not what its tag says, such as `!!bool maybe`, where its line is still known."""
    try:
        loader.construct_object(node)
    except Exception as error:  # PyYAML raises nearly anything
        why = getattr(error, "problem", None) or f"no {node.tag.rpartition(':')[2]}"
        raise ExperimentError(f"{place}: not YAML that Ray reads safely: {printable(why)}; correct it there") from error


@dataclass(slots=True)
class _Size:
    """How much was walked over."""

    loader: yaml.SafeLoader
    values: int = 0
    letters: int = 0


def _walk(node: yaml.Node, place: Place, name: str, above: tuple[int, ...], size: _Size) -> Iterator[tuple[Place, int]]:
    """Every place below a node with its line."""
    size.values += 1
    size.letters += len(node.value) if isinstance(node, yaml.ScalarNode) else 0
    if id(node) in above or size.values > _MAX_VALUES or size.letters > _MAX_LETTERS:
        raise ExperimentError(
            f"{name}: YAML aliases refer to themselves or expand too far, or there are more than {_MAX_VALUES} values; "
            "write fewer out"
        )
    line = node.start_mark.line + 1
    if node.tag.endswith(":int") and len(node.value) > _LONGEST_INTEGER:
        raise ExperimentError(f"{name}, line {line}: a whole number of more than 64 bits; correct it there")
    if isinstance(node, yaml.ScalarNode):
        _check_value(node, f"{name}, line {line}", size.loader)
    above = (*above, id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*place, number), value.start_mark.line + 1
            yield from _walk(value, (*place, number), name, above, size)
    elif isinstance(node, yaml.MappingNode):
        known: dict[str, int] = {}
        for key, value in node.value:
            here, called = key.start_mark.line + 1, f"{key.tag} {key.value}"
            # Of two Ray takes the last without a word: another number of workers than the one that was read.
            if called in known:
                raise ExperimentError(
                    f"{name}, line {here}: {printable(str(key.value))[:80]} stands already in line {known[called]}; "
                    "keep one"
                )
            known[called] = here
            yield (*place, str(key.value)), here
            yield from _walk(value, (*place, str(key.value)), name, above, size)
