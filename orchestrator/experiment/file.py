"""Reads `experiment.toml`, with overrides, into an `Experiment`; every problem is reported together."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Final

from mpi_model.errors import ExperimentError, SpaceError
from mpi_model.printable import printable
from mpi_model.stages import backbone
from orchestrator.experiment.reading import read_record
from orchestrator.experiment.rules import broken_rules
from orchestrator.experiment.settings import DEFAULT_ENDPOINTS, Experiment, LoadedExperiment
from search_spaces.catalog import load_space
from search_spaces.space import SearchSpace
from search_spaces.toml_text import read_toml_file, value_problems

_LONGEST_OVERRIDE: Final = 4096


def load_experiment(path: Path, overrides: Sequence[str] | Mapping[str, object] = ()) -> LoadedExperiment:
    """Read an experiment file.

    Args:
        path: The TOML file; relative paths inside it start from its folder.
        overrides: `section.key=value` texts, the value in TOML's notation (bare words are taken as text), as
            `--set` takes them; or values by `section.key`, as a program has them.

    Raises:
        ExperimentError: The file cannot be read, or breaks a rule; all problems, one line each.
    """
    # Overrides before the rules, so that an overridden value is checked as if it stood in the file.
    table = read_toml(path)
    if isinstance(overrides, str):
        raise ExperimentError(f"settings are a table by `section.key`, not the text {overrides[:40]!r}")
    if isinstance(overrides, Mapping):
        for dotted, value in overrides.items():
            if not isinstance(dotted, str):
                raise ExperimentError(f"settings are named `section.key`, not by a {type(dotted).__name__}")
            _set_value(table, dotted, list(value) if isinstance(value, tuple) else value)
    else:
        for text in overrides:
            _apply_override(table, text)
    problems = list(value_problems(table))
    experiment = None if problems else read_record(Experiment, table, "", problems)
    if isinstance(experiment, Experiment):
        problems.extend(broken_rules(experiment))
    # The space is read only when all else is sound: it depends on the network's stages.
    if not problems and isinstance(experiment, Experiment):
        loaded = LoadedExperiment(experiment=_with_every_endpoint(experiment), folder=path.resolve().parent)
        problems.extend(_space_problems(loaded))
        if not problems:
            return loaded
    raise ExperimentError(*(f"{path.name}: {problem}" for problem in problems))


def space_of(loaded: LoadedExperiment) -> SearchSpace:
    """The experiment's search space, fitted to its network.

    Raises:
        SpaceError: The space is unknown, malformed, or does not fit the network's stages.
    """
    network = loaded.experiment.network
    stages = backbone(network.backbone, network.encoder_stages).stage_count
    return load_space(loaded.experiment.search.space, loaded.folder, stages=stages)


def _with_every_endpoint(experiment: Experiment) -> Experiment:
    """Endpoints the file names replace the default ones of their tracers only."""
    endpoints = {**DEFAULT_ENDPOINTS, **experiment.statistics.endpoints}
    return replace(experiment, statistics=replace(experiment.statistics, endpoints=endpoints))


def _space_problems(loaded: LoadedExperiment) -> tuple[str, ...]:
    try:
        space_of(loaded)
    except SpaceError as error:
        return error.problems
    return ()


def read_toml(path: Path) -> dict[str, object]:
    """The tables of a TOML file.

    Raises:
        ExperimentError: There is no such file, it is not TOML, or beyond the bounds of `search_spaces.toml_text`.
    """
    try:
        return read_toml_file(path)
    except OSError as error:
        raise ExperimentError(
            f"cannot read {path} ({error.strerror}); `polarmap init FILE` writes one to start from"
        ) from error
    except ValueError as error:
        raise ExperimentError(f"{path.name} is not valid TOML: {error}; `polarmap init FILE` shows the form") from error


def _apply_override(table: dict[str, object], text: str) -> None:
    """Set one `section.key=value` in a table, in place.

    Raises:
        ExperimentError: The text has no `=`, or its section is not a table.
    """
    dotted, equals, value = text.partition("=")
    # A line break would begin another setting, which nobody would see.
    if len(text) > _LONGEST_OVERRIDE or text != printable(text):
        raise ExperimentError(
            f"`--set` takes one setting of at most {_LONGEST_OVERRIDE} printable characters on one line, but got "
            f"{text[:40]!r}"
        )
    if not equals or not all(part.strip() for part in dotted.split(".")):
        raise ExperimentError(f"`--set` takes section.key=value, but got {text[:40]!r}")
    _set_value(table, dotted.strip(), _override_value(value.strip()))


def _set_value(table: dict[str, object], dotted: str, value: object) -> None:
    """Set the value of `section.key` in a table, in place.

    Raises:
        ExperimentError: The section is not a table.
    """
    *sections, key = dotted.split(".")
    for section in sections:
        inner = table.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ExperimentError(f"cannot set `{dotted}` (`--set`): `{section}` is not a section")
        table = inner
    table[key] = value


def _override_value(text: str) -> object:
    try:
        # As TOML first, so that `true`, numbers and lists keep their types; all else is text.
        return tomllib.loads(f"value = {text}")["value"]
    # ValueError: not TOML, or a number of thousands of digits. Both are refused later, as a text in the wrong place.
    except (ValueError, RecursionError):
        return text


def template() -> str:
    """The commented experiment file that `polarmap init` writes."""
    return files("orchestrator.experiment").joinpath("template.toml").read_text(encoding="utf-8")
