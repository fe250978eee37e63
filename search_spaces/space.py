"""A search space: ordered parameters with Optuna distributions, conditions, and a sensible default each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from mpi_model.settings import Hyperparameters
from search_spaces.conditions import Condition, Value

WHOLE_NUMBERS: Final = ("encoder_stages", "freeze_depth")
"""The hyperparameters that are numbers of stages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One hyperparameter that the search varies, or holds at one value."""

    name: str
    """A field of `mpi_model.settings.Hyperparameters`."""
    distribution: BaseDistribution | None
    """What it is drawn from; None for a fixed value."""
    default: Value
    """The first candidate's value; the only value of a fixed parameter."""
    when: Condition | None = None
    """The parameter exists only where this holds."""
    at_most: str | None = None
    """An earlier parameter that it never exceeds: its range ends there in every candidate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """The parameters of a search, in the order they are drawn."""

    name: str
    parameters: tuple[Parameter, ...]


def propose(space: SearchSpace, trial: Trial) -> dict[str, Value | None]:
    """Draw one candidate; a parameter whose condition does not hold is None and never asked for.

    A parameter that is not asked for leaves no trace in the study, so the sampler learns nothing from a dead one.
    """
    values: dict[str, Value] = {}
    for parameter in space.parameters:
        if parameter.when is None or parameter.when.holds(values):
            values[parameter.name] = _draw(parameter, trial, _limit(parameter, values))
    return {parameter.name: values.get(parameter.name) for parameter in space.parameters}


def _limit(parameter: Parameter, values: Mapping[str, Value]) -> float:
    """The largest value that the earlier parameters leave."""
    return math.inf if parameter.at_most is None else cast(float, values[parameter.at_most])


def _draw(parameter: Parameter, trial: Trial, limit: float) -> Value:
    match parameter.distribution:
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(parameter.name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            # A range of its own for every candidate: TPE models past values, whatever range they came from.
            return trial.suggest_int(parameter.name, low, int(min(high, limit)), step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return cast(Value, trial.suggest_categorical(parameter.name, choices))
        case _:
            return parameter.default


def first_candidate(space: SearchSpace) -> dict[str, Value]:
    """The default of every drawn parameter that exists there: where a search starts."""
    values: dict[str, Value] = {}
    for parameter in space.parameters:
        if parameter.when is None or parameter.when.holds(values):
            limit = _limit(parameter, values)
            beyond = isinstance(parameter.default, int) and parameter.default > limit
            values[parameter.name] = int(limit) if beyond else parameter.default
    drawn = {parameter.name for parameter in space.parameters if parameter.distribution is not None}
    return {name: value for name, value in values.items() if name in drawn}


def hyperparameters(values: Mapping[str, Value | None]) -> Hyperparameters:
    """The network's record of a candidate; what the space does not name keeps its default.

    Only `encoder_learning_rate` may be None, where the encoder is wholly frozen.
    """
    named = {name: value for name, value in values.items() if value is not None or name == "encoder_learning_rate"}
    return Hyperparameters(**named)  # type: ignore[arg-type] # search_spaces.reading checked names and kinds


def describe(space: SearchSpace) -> dict[str, object]:
    """The space as plain values, for hashing: the same text for the same search."""
    return {parameter.name: _describe(parameter) for parameter in space.parameters}


def _describe(parameter: Parameter) -> dict[str, object]:
    return {
        "distribution": None if parameter.distribution is None else repr(parameter.distribution),
        "default": parameter.default,
        "when": None if parameter.when is None else str(parameter.when),
        "at_most": parameter.at_most,
    }
