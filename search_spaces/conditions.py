"""`when` conditions of a space: one comparison between a parameter and a number of the network."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mpi_model.errors import SpaceError

Value = float | int | str | bool

COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = MappingProxyType(
    {
        "<=": operator.le,
        ">=": operator.ge,
        "==": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        ">": operator.gt,
    }
)
FORM: Final = re.compile(r"\s*(?P<parameter>[a-z_]+)\s*(?P<comparison><=|>=|==|!=|<|>)\s*(?P<bound>[\w.+-]+)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`parameter comparison bound`, for example `freeze_depth < 5`."""

    parameter: str
    comparison: str
    bound: float

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Whether the condition is met by the values chosen so far; a parameter without a value meets none."""
        value = values.get(self.parameter)
        return isinstance(value, int | float) and COMPARISONS[self.comparison](value, self.bound)

    def __str__(self) -> str:
        return f"{self.parameter} {self.comparison} {self.bound:g}"


def read_condition(text: str, stages: int, place: str) -> Condition:
    """Read a condition; the bound is a number or the word `stages`.

    Raises:
        SpaceError: The text is not one comparison.
    """
    match = FORM.fullmatch(text)
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
