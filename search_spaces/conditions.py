"""Conditions of a space (`when`): one comparison between a parameter and a number."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mpi_model.errors import SpaceError

Value = float | int | str | bool
"""The value of a hyperparameter; the types that Optuna can store."""

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = MappingProxyType(
    {
        "<=": operator.le,
        ">=": operator.ge,
        "==": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        ">": operator.gt,
    }
)
_FORM: Final = re.compile(r"\s*(?P<parameter>[a-z_]+)\s*(?P<comparison><=|>=|==|!=|<|>)\s*(?P<bound>[\w.+-]+)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A comparison, for example `freeze_depth < 5`."""

    parameter: str
    comparison: str
    bound: float

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Whether the values chosen so far meet the condition; without a value of the parameter they do not."""
        value = values.get(self.parameter)
        return isinstance(value, int | float) and _COMPARISONS[self.comparison](value, self.bound)

    def __str__(self) -> str:
        return f"{self.parameter} {self.comparison} {self.bound:g}"


def read_condition(text: str, stages: int, place: str) -> Condition:
    """Read a condition.

    Args:
        text: For example `freeze_depth < stages`; the bound is a number or the word `stages`.
        stages: The number of stages of the network.
        place: The place of the condition, for messages.

    Raises:
        SpaceError: The text is not one comparison.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise SpaceError(f'{place}: `when` must be one comparison such as "freeze_depth < stages", but is {text!r}')
    return Condition(
        parameter=match["parameter"],
        comparison=match["comparison"],
        bound=_bound(match["bound"], stages, place),
    )


def _bound(text: str, stages: int, place: str) -> float:
    if text == "stages":
        return float(stages)
    try:
        return float(text)
    except ValueError:
        raise SpaceError(f"{place}: `when` compares with a number or `stages`, but got {text!r}") from None
