"""Stores the search space in the run directory, so that it can be read after its file has changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution

from search_spaces.conditions import Condition, Value, read_condition
from search_spaces.space import SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredParameter:
    """A parameter that the search drew."""

    name: str
    distribution: BaseDistribution
    when: Condition | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainParameter:
    """The same as plain values, for a JSON file."""

    name: str
    distribution: str
    """In Optuna's JSON."""
    when: str | None
    """The condition under which it exists; None where it always does."""


def stored_space(space: SearchSpace) -> tuple[PlainParameter, ...]:
    """The drawn parameters of a space as plain values, in the order in which they are drawn."""
    return tuple(
        PlainParameter(
            name=parameter.name,
            distribution=distribution_to_json(parameter.distribution),
            when=None if parameter.when is None else str(parameter.when),
        )
        for parameter in space.parameters
        if parameter.distribution is not None
    )


def read_stored_space(stored: Sequence[PlainParameter]) -> tuple[StoredParameter, ...]:
    """The parameters that `stored_space` wrote."""
    return tuple(
        StoredParameter(
            name=one.name,
            distribution=json_to_distribution(one.distribution),
            # The stored condition contains the number of stages instead of the word, so that 0 is never used.
            when=None if one.when is None else read_condition(one.when, 0, "experiment.json"),
        )
        for one in stored
    )


def drawn_values(space: Sequence[StoredParameter], values: Mapping[str, Value | None]) -> dict[str, Value]:
    """The values that were drawn for a candidate.

    Args:
        space: The drawn parameters, in their order.
        values: The candidate's effective hyperparameters, with defaults for those that were not drawn.
    """
    drawn = {parameter.name for parameter in space}
    # Conditions may refer to fixed parameters, which are not in the stored space.
    fixed = {name: value for name, value in values.items() if name not in drawn and value is not None}
    found: dict[str, Value] = {}
    for parameter in space:
        value = values.get(parameter.name)
        if value is not None and (parameter.when is None or parameter.when.holds({**fixed, **found})):
            found[parameter.name] = value
    return found
