"""A search space: ordered parameters with Optuna distributions, conditions and defaults."""

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
    """One hyperparameter that the search draws, or keeps at one value."""

    name: str
    """A field of `mpi_model.settings.Hyperparameters`."""
    distribution: BaseDistribution | None
    """None for a fixed value."""
    default: Value
    """The value of the first candidate; the only value of a fixed parameter."""
    when: Condition | None = None
    """The parameter is drawn only if this holds."""
    at_most: str | None = None
    """An earlier parameter whose value limits the range in every candidate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """The parameters of a search, in the order in which they are drawn."""

    name: str
    parameters: tuple[Parameter, ...]


def propose(space: SearchSpace, trial: Trial) -> dict[str, Value | None]:
    """Draw one candidate.

    Returns:
        The value of every parameter; None for one whose condition does not hold.
    """
    values: dict[str, Value] = {}
    for parameter in space.parameters:
        # A parameter that is not drawn is absent from the trial, so that the sampler does not learn from it.
        if parameter.when is None or parameter.when.holds(values):
            values[parameter.name] = _draw(parameter, trial, _limit(parameter, values))
    return {parameter.name: values.get(parameter.name) for parameter in space.parameters}


def _limit(parameter: Parameter, values: Mapping[str, Value]) -> float:
    """The largest value that the earlier parameters allow."""
    return math.inf if parameter.at_most is None else cast(float, values[parameter.at_most])


def _draw(parameter: Parameter, trial: Trial, limit: float) -> Value:
    match parameter.distribution:
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(parameter.name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            # The range may differ between candidates: TPE models past values, whatever their range was.
            return trial.suggest_int(parameter.name, low, int(min(high, limit)), step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return cast(Value, trial.suggest_categorical(parameter.name, choices))
        case _:
            return parameter.default


def first_candidate(space: SearchSpace) -> dict[str, Value]:
    """The candidate that a search starts with: the default of every parameter that is drawn."""
    values: dict[str, Value] = {}
    for parameter in space.parameters:
        if parameter.when is None or parameter.when.holds(values):
            limit = _limit(parameter, values)
            beyond = isinstance(parameter.default, int) and parameter.default > limit
            values[parameter.name] = int(limit) if beyond else parameter.default
    drawn = {parameter.name for parameter in space.parameters if parameter.distribution is not None}
    return {name: value for name, value in values.items() if name in drawn}


def hyperparameters(values: Mapping[str, Value | None]) -> Hyperparameters:
    """A candidate as the network's record; hyperparameters that the space does not name keep their defaults.

    Only `encoder_learning_rate` may be None: the whole encoder is then frozen.
    """
    named = {name: value for name, value in values.items() if value is not None or name == "encoder_learning_rate"}
    return Hyperparameters(**named)  # type: ignore[arg-type] # search_spaces.reading checked names and kinds


def describe(space: SearchSpace) -> dict[str, object]:
    """The space as JSON values for hashing; equal for equal searches, whatever their names."""
    return {parameter.name: _describe(parameter) for parameter in space.parameters}


def _describe(parameter: Parameter) -> dict[str, object]:
    return {
        "distribution": None if parameter.distribution is None else repr(parameter.distribution),
        "default": parameter.default,
        "when": None if parameter.when is None else str(parameter.when),
        "at_most": parameter.at_most,
    }
