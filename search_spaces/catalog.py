"""Finds a search space: one of the built-in spaces, or a user's own file."""

import difflib
import tomllib
from importlib.resources import files
from pathlib import Path

from mpi_model.errors import SpaceError
from search_spaces.reading import read_space
from search_spaces.space import SearchSpace
from search_spaces.toml_text import read_toml_file


def _space_names() -> list[str]:
    """The names of the built-in spaces."""
    return sorted(
        item.name.removesuffix(".toml") for item in files("search_spaces").iterdir() if item.name.endswith(".toml")
    )


def load_space(name: str, folder: Path, stages: int) -> SearchSpace:
    """Load a built-in space, or one from a file.

    Args:
        name: A packaged search space, or the path of a TOML file.
        folder: The folder that a relative path refers to, usually the experiment file's.
        stages: The number of stages of the network.

    Raises:
        SpaceError: The space does not exist or is invalid; one line for each problem.
    """
    if name in _space_names():
        return read_space(
            name, tomllib.loads(files("search_spaces").joinpath(f"{name}.toml").read_text("utf-8")), stages
        )
    if not name.endswith(".toml"):
        near = difflib.get_close_matches(name, _space_names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(_space_names())}"
        raise SpaceError(f"`search.space` is {name!r}, neither a known space nor a .toml file; {hint}")
    try:
        tables = read_toml_file(folder / name)
    except OSError as error:
        raise SpaceError(f"cannot read the space file {name} ({error.strerror})") from error
    except ValueError as error:
        raise SpaceError(f"the space file {name} is not valid TOML: {error}") from error
    return read_space(Path(name).stem, tables, stages)
