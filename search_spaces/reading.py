"""Reads a space file (TOML) and checks it against the network's stages, without importing torch.

Each parameter has a table with its `kind`: `float`, `int`, `choice` or `fixed`. It holds `low` and `high` (and `log`),
or `choices`, or `value`. `default` is the value of the first candidate, `when` a condition on an earlier parameter. The
word `stages` means the number of stages of the network or, after [encoder_stages], of the candidate's encoder.
"""

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Final, TypeGuard

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from mpi_model.errors import SpaceError
from mpi_model.settings import Hyperparameters
from search_spaces.conditions import Condition, Value, read_condition
from search_spaces.space import WHOLE_NUMBERS, Parameter, SearchSpace

_KEYS: Final = ("kind", "low", "high", "log", "choices", "value", "default", "when")

# The values that training accepts; `freeze_depth` is checked against the network instead.
_LIMITS: Final[Mapping[str, tuple[Callable[[float], bool], str]]] = MappingProxyType(
    {
        "encoder_learning_rate": (lambda value: value > 0, "above 0"),
        "head_learning_rate": (lambda value: value > 0, "above 0"),
        "weight_decay": (lambda value: value >= 0, "0 or more"),
        "layer_decay": (lambda value: 0 < value <= 1, "above 0 and at most 1"),
        "dropout": (lambda value: 0 <= value < 1, "at least 0 and below 1"),
        "label_smoothing": (lambda value: 0 <= value < 1, "at least 0 and below 1"),
        "logit_noise": (lambda value: value >= 0, "0 or more"),
    }
)


def read_space(name: str, tables: Mapping[str, object], stages: int) -> SearchSpace:
    """Build a space from the tables of its file.

    Args:
        name: The name of the space, for messages.
        tables: One table for each parameter, in the order in which they are drawn.
        stages: The number of stages of the network.

    Raises:
        SpaceError: The space is invalid; one line for each problem.
    """
    known = {field.name for field in fields(Hyperparameters)}
    # Without this check another TOML file, such as an experiment file, would give a page of messages.
    if len(tables) > 1 and not known & set(tables):
        raise SpaceError(
            f"{name} is not a search space: none of its tables ({', '.join(list(tables)[:3])}, …) is a hyperparameter; "
            f"name a file with tables such as [head_learning_rate]"
        )
    problems: list[str] = []
    parameters: list[Parameter] = []
    ends: tuple[int, ...] = (stages,)
    # Every parameter is read before an error is raised: a user sees all problems at once.
    for parameter, table in tables.items():
        try:
            parameters.append(_read_parameter(parameter, table, ends, f"space {name}, {parameter}"))
        except SpaceError as error:
            problems.extend(error.problems)
        else:
            ends = _whole_values(parameters[-1]) if parameter == "encoder_stages" else ends
    problems.extend(_dependency_problems(name, parameters, stages))
    if not tables:
        problems.append(f"space {name} has no parameters; add a table such as [head_learning_rate]")
    if problems:
        raise SpaceError(*problems)
    return SearchSpace(name=name, parameters=tuple(parameters))


def _read_parameter(name: str, table: object, ends: tuple[int, ...], place: str) -> Parameter:
    """Read one parameter; `ends` are the possible numbers of stages of the encoder."""
    known = [field.name for field in fields(Hyperparameters)]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise SpaceError(
            f"{place}: unknown parameter; " + (f"did you mean `{near[0]}`?" if near else f"known: {known}")
        )
    if not isinstance(table, Mapping):
        raise SpaceError(f"{place}: must be a table, but is {table!r}")
    for key in table:
        if key not in _KEYS:
            raise SpaceError(f"{place}: unknown key `{key}`; known: {', '.join(_KEYS)}")
    values = {key: max(ends) if value == "stages" else value for key, value in table.items()}
    distribution, fallback = _read_distribution(name, values, place)
    default = _check_default(name, distribution, values.get("default", fallback), max(ends), place)
    several = len(ends) > 1
    return Parameter(
        name=name,
        distribution=distribution,
        default=default,
        when=_read_when(values, "encoder_stages" if several else max(ends), place),
        at_most="encoder_stages" if several and name == "freeze_depth" else None,
    )


def _read_distribution(name: str, values: Mapping[str, object], place: str) -> tuple[BaseDistribution | None, object]:
    match values.get("kind"):
        case "fixed":
            return None, _needed(values, "value", place)
        case "choice":
            return _read_choice(values, place)
        case "float" if name not in WHOLE_NUMBERS:
            low, high, log = _read_range(values, float, place)
            # The default is the middle of the range: the geometric mean on a log scale.
            return FloatDistribution(low, high, log=log), (low * high) ** 0.5 if log else (low + high) / 2
        case "int" if name in WHOLE_NUMBERS:
            low, high, log = _read_range(values, int, place)
            return IntDistribution(int(low), int(high), log=log), int((low + high) // 2)
        case kind:
            wanted = "int, choice or fixed" if name in WHOLE_NUMBERS else "float, choice or fixed"
            raise SpaceError(f"{place}: `kind` must be {wanted}, but is {kind!r}")


def _read_choice(values: Mapping[str, object], place: str) -> tuple[CategoricalDistribution, object]:
    choices = _needed(values, "choices", place)
    if not isinstance(choices, list) or not choices or not all(_is_number(choice) for choice in choices):
        raise SpaceError(f"{place}: `choices` must be a list of numbers, but is {choices!r}")
    return CategoricalDistribution(choices), choices[0]


def _read_range(values: Mapping[str, object], kind: type, place: str) -> tuple[float, float, bool]:
    low, high, log = _needed(values, "low", place), _needed(values, "high", place), values.get("log", False)
    if not _is_number(low) or not _is_number(high):
        raise SpaceError(f"{place}: `low` and `high` must be numbers, but are {low!r} and {high!r}")
    if kind is int and (int(low) != low or int(high) != high):
        raise SpaceError(f"{place}: `low` and `high` must be whole numbers, but are {low} and {high}")
    if not isinstance(log, bool) or low > high or (log and low <= 0):
        raise SpaceError(f"{place}: needs low <= high, and low > 0 on a log scale, but got {low} and {high}, log {log}")
    return low, high, log


def _read_when(values: Mapping[str, object], stages: int | str, place: str) -> Condition | None:
    text = values.get("when")
    return None if text is None else read_condition(str(text), stages, place)


def _check_default(
    name: str, distribution: BaseDistribution | None, default: object, stages: int, place: str
) -> int | float:
    least = 1 if name == "encoder_stages" else 0
    # By type, too: 2.0 is in a range of whole numbers, and no number of stages.
    whole = (
        lambda count: type(count) is int and count in range(least, stages + 1),
        f"a whole number from {least} to {stages}",
    )
    allowed, words = _LIMITS.get(name, whole)
    for value in (default, *_extremes(distribution)):
        if not _is_number(value) or not allowed(value):
            raise SpaceError(f"{place}: every value must be {words}, but {value!r} is possible")
    assert _is_number(default), "checked in the loop above"
    # Optuna has no public test of membership.
    if distribution is not None and not distribution._contains(distribution.to_internal_repr(default)):
        raise SpaceError(f"{place}: `default` {default} is outside the range of the search")
    return default


# The bounds are enough: every value of a range lies between them.
def _extremes(distribution: BaseDistribution | None) -> tuple[Value, ...]:
    match distribution:
        case FloatDistribution(low=low, high=high) | IntDistribution(low=low, high=high):
            return (low, high)
        case CategoricalDistribution(choices=choices):
            return tuple(choices)  # type: ignore[arg-type] # _read_choice accepts numbers only
        case _:
            return ()


def _dependency_problems(name: str, parameters: list[Parameter], stages: int) -> list[str]:
    problems = []
    earlier: dict[str, Parameter] = {}
    for parameter in parameters:
        for other in () if parameter.when is None else parameter.when.depends_on:
            if other not in earlier:
                problems.append(f"space {name}, {parameter.name}: `when` names `{other}`, not drawn before it")
        # The network has a value for every other hyperparameter, so that it cannot be absent.
        if parameter.when is not None and parameter.name != "encoder_learning_rate":
            problems.append(
                f"space {name}, {parameter.name}: only `encoder_learning_rate` can be absent; remove `when`"
            )
        earlier[parameter.name] = parameter
    return [*problems, *_freeze_depth_problems(name, earlier, stages)]


def _freeze_depth_problems(name: str, parameters: Mapping[str, Parameter], stages: int) -> Iterator[str]:
    """Problems of `freeze_depth` with the encoder's number of stages, and with the encoder's learning rate."""
    depth, end = parameters.get("freeze_depth"), parameters.get("encoder_stages")
    if depth is None:
        return
    depths, ends = _whole_values(depth), (stages,) if end is None else _whole_values(end)
    if end is not None and list(parameters).index("encoder_stages") > list(parameters).index("freeze_depth"):
        yield f"space {name}: [encoder_stages] comes after [freeze_depth], whose range depends on it; put it before"
        return
    # A range is limited to the candidate's encoder; a fixed value and choices are not.
    always = min(depths) if isinstance(depth.distribution, IntDistribution) else max(depths)
    if always > min(ends):
        yield (
            f"space {name}: `freeze_depth` can be {always} where `encoder_stages` is {min(ends)}; let the encoder "
            'end later, or give [freeze_depth] `kind = "int"` with a smaller `low`'
        )
    yield from _unused_encoder_rate(name, set(depths) & set(ends), parameters.get("encoder_learning_rate"))


def _unused_encoder_rate(name: str, frozen: set[int], rate: Parameter | None) -> Iterator[str]:
    """A problem if the encoder's learning rate is drawn at one of the depths that freeze the whole encoder."""
    for depth in sorted(frozen):
        values: Mapping[str, Value] = {"freeze_depth": depth, "encoder_stages": depth}
        if rate is None or rate.when is None or rate.when.holds(values):
            yield (
                f"space {name}: `freeze_depth` can reach {depth}, which leaves no encoder to train; give "
                '[encoder_learning_rate] `when = "freeze_depth < stages"`, after [freeze_depth]'
            )
            return


def _whole_values(parameter: Parameter) -> tuple[int, ...]:
    """Every possible value of a parameter that is a number of stages."""
    match parameter.distribution:
        case IntDistribution(low=low, high=high):
            return tuple(range(low, high + 1))
        case CategoricalDistribution(choices=choices):
            return tuple(choices)  # type: ignore[arg-type] # _check_default accepts integers only
        case _:
            return (int(parameter.default),)


def _needed(values: Mapping[str, object], key: str, place: str) -> object:
    if key not in values:
        raise SpaceError(f"{place}: `{key}` is missing")
    return values[key]


def _is_number(value: object) -> TypeGuard[int | float]:
    # Not the numbers that are none: every comparison with NaN is false, and no range ends at infinity.
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
