"""Conditions of a space (`when`): one comparison of a parameter with a number or with another parameter."""

import math
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
    """A comparison, for example `freeze_depth < 5` or `freeze_depth < encoder_stages`."""

    parameter: str
    comparison: str
    bound: float | str
    """A number, or the name of a parameter."""

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The parameters that must be drawn before the condition can be evaluated."""
        return (self.parameter, self.bound) if isinstance(self.bound, str) else (self.parameter,)

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Whether the values chosen so far meet the condition; without a value of the parameter they do not."""
        value = values.get(self.parameter)
        bound = values.get(self.bound) if isinstance(self.bound, str) else self.bound
        if not isinstance(value, int | float) or not isinstance(bound, int | float):
            return False
        return _COMPARISONS[self.comparison](value, bound)

    def __str__(self) -> str:
        bound = self.bound if isinstance(self.bound, str) else f"{self.bound:g}"
        return f"{self.parameter} {self.comparison} {bound}"


def read_condition(text: str, stages: int | str, place: str) -> Condition:
    """Read a condition.

    Args:
        text: For example `freeze_depth < stages`; the bound is a number, the word `stages` or `encoder_stages`.
        stages: The meaning of `stages`: the number of stages of the network, or the parameter that sets it.
        place: The place of the condition, for messages.

    Raises:
        SpaceError: The text is not one comparison.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise SpaceError(
            f'{place}: `when` must be one comparison such as "freeze_depth < stages", but is {text[:40]!r}'
        )
    return Condition(
        parameter=match["parameter"],
        comparison=match["comparison"],
        bound=_bound(match["bound"], stages, place),
    )


def _bound(text: str, stages: int | str, place: str) -> float | str:
    if text == "stages":
        return stages
    if text == "encoder_stages":
        return text
    try:
        bound = float(text)
    except ValueError:
        bound = math.nan
    if not math.isfinite(bound):
        raise SpaceError(f"{place}: `when` compares with a number or `stages`, but got {text[:40]!r}")
    return bound
