"""A search space as plain values in a run directory, and back: what was searched, whatever became of its file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution

from search_spaces.conditions import Condition, Value, read_condition
from search_spaces.space import SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredParameter:
    """A parameter that a search draws, as plain values."""

    name: str
    distribution: str
    """In Optuna's JSON."""
    when: str | None
    """The condition under which it exists; None where it always does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A parameter that a search drew."""

    name: str
    distribution: BaseDistribution
    when: Condition | None


def stored_space(space: SearchSpace) -> tuple[StoredParameter, ...]:
    """The drawn parameters of a space, in the order they are drawn."""
    return tuple(
        StoredParameter(
            name=parameter.name,
            distribution=distribution_to_json(parameter.distribution),
            when=None if parameter.when is None else str(parameter.when),
        )
        for parameter in space.parameters
        if parameter.distribution is not None
    )


def read_stored_space(stored: Sequence[StoredParameter]) -> tuple[Drawn, ...]:
    """The drawn parameters that `stored_space` wrote; their conditions name no stages any more, but numbers."""
    return tuple(
        Drawn(
            name=one.name,
            distribution=json_to_distribution(one.distribution),
            when=None if one.when is None else read_condition(one.when, 0, "experiment.json"),
        )
        for one in stored
    )


def drawn_values(space: Sequence[Drawn], values: Mapping[str, Value | None]) -> dict[str, Value]:
    """The values that were drawn for a candidate.

    Args:
        space: The drawn parameters, in their order.
        values: The candidate's effective hyperparameters, which give a default to those that did not exist.
    """
    drawn = {parameter.name for parameter in space}
    fixed = {name: value for name, value in values.items() if name not in drawn and value is not None}
    found: dict[str, Value] = {}
    for parameter in space:
        value = values.get(parameter.name)
        if value is not None and (parameter.when is None or parameter.when.holds({**fixed, **found})):
            found[parameter.name] = value
    return found
