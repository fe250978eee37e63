"""From a table of TOML values to frozen records: unknown keys and wrong types, all problems at once."""

import dataclasses
import difflib
import typing
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any, Final, Literal, get_args, get_origin


def read_record(record: type[Any], table: Mapping[str, object], place: str, problems: list[str]) -> Any:  # noqa: ANN401 - the record's own type, which a signature cannot name
    """Build a frozen record from a TOML table.

    Args:
        record: A dataclass whose fields name the keys.
        table: The values found.
        place: The dotted name of the table, for messages; empty for the top.
        problems: Receives one line for each unknown, missing or mistyped key.

    Returns:
        The record, or None when the table was not good enough to build it.
    """
    hints = typing.get_type_hints(record)
    fields = {item.name: item for item in dataclasses.fields(record)}
    problems.extend(_unknown_keys(table, fields, place))
    before = len(problems)
    values: dict[str, object] = {}
    for name, item in fields.items():
        dotted = f"{place}.{name}".lstrip(".")
        if name in table:
            values[name] = _read_value(hints[name], table[name], dotted, problems)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            problems.append(f"`{dotted}` is required but missing; add it to the experiment file")
    # Problems of other tables do not count: the rules of this one are checked all the same.
    return record(**values) if len(problems) == before else None


def _unknown_keys(table: Mapping[str, object], known: Iterable[str], place: str) -> list[str]:
    """One line for each key of `table` that is not known, with the nearest one that is."""
    known = list(known)
    where = f"[{place}]" if place else "the experiment file"
    lines = []
    for key in table:
        if key not in known:
            # Typing errors are the most frequent problem of such files.
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
            lines.append(f"unknown key `{key}` in {where}; {hint}")
    return lines


def _read_value(kind: Any, value: object, place: str, problems: list[str]) -> Any:  # noqa: ANN401 - a value of the annotated type `kind`
    """Check one TOML value against an annotation; a whole number serves where a float is asked for."""
    # TOML has no null, but `experiment.json` keeps a record that was left out as one.
    if value is None and type(None) in get_args(kind):
        return None
    kind = _record_of(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, Mapping):
            problems.append(f"`{place}` must be a table, but is {_describe(value)}; write it as [{place}]")
            return None
        return read_record(kind, value, place, problems)
    if get_origin(kind) is tuple and dataclasses.is_dataclass(get_args(kind)[0]) and isinstance(value, list):
        item_kind = get_args(kind)[0]
        return tuple(_read_value(item_kind, item, f"{place}[{number}]", problems) for number, item in enumerate(value))
    converted = _convert(kind, value)
    if converted is _NOT_OF_KIND:
        problems.append(f"`{place}` must be {_expected(kind)}, but is {_describe(value)}")
    return converted


def _record_of(kind: Any) -> Any:  # noqa: ANN401 - any annotation
    """The record of an optional one; every other annotation as it is."""
    if get_origin(kind) not in (typing.Union, UnionType):
        return kind
    options = [option for option in get_args(kind) if option is not type(None)]
    return options[0] if len(options) == 1 and dataclasses.is_dataclass(options[0]) else kind


# A value of its own, because None is a valid result.
_NOT_OF_KIND = object()


_BEYOND: Final = 2**1023
"""A whole number that a float can hold, and none of more digits."""


def _convert(kind: Any, value: object) -> Any:  # noqa: ANN401 - a value of the annotated type `kind`
    """The value as `kind`, or `_NOT_OF_KIND`."""
    origin = get_origin(kind)
    if origin is Literal:
        return (
            # Types too, because 1 == True in Python.
            value if any(value == choice and type(value) is type(choice) for choice in get_args(kind)) else _NOT_OF_KIND
        )
    if kind is type(None):
        return None if value is None else _NOT_OF_KIND
    if origin in (typing.Union, UnionType):
        # The value's own type first: where float or int may stand, a whole number stays one.
        options = sorted(get_args(kind), key=lambda option: option is not type(value))
        matches = (_convert(option, value) for option in options)
        return next((match for match in matches if match is not _NOT_OF_KIND), _NOT_OF_KIND)
    if origin is tuple:
        return _convert_items(get_args(kind)[0], value)
    if origin in (Mapping, dict):
        return _convert_values(get_args(kind)[1], value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        # Whole numbers have no end; those beyond a float's are no number that was meant.
        return float(value) if abs(value) < _BEYOND else _NOT_OF_KIND
    # `type`, not isinstance: a bool is an int, and `epochs = true` must be refused.
    return value if type(value) is kind else _NOT_OF_KIND


def _convert_items(kind: Any, value: object) -> Any:  # noqa: ANN401 - a tuple of `kind`, or _NOT_OF_KIND
    if not isinstance(value, list):
        return _NOT_OF_KIND
    items = tuple(_convert(kind, item) for item in value)
    return _NOT_OF_KIND if any(item is _NOT_OF_KIND for item in items) else items


def _convert_values(kind: Any, value: object) -> Any:  # noqa: ANN401 - a dict of `kind` by text, or _NOT_OF_KIND
    if not isinstance(value, Mapping):
        return _NOT_OF_KIND
    converted = {key: _convert(kind, item) for key, item in value.items()}
    return _NOT_OF_KIND if any(item is _NOT_OF_KIND for item in converted.values()) else converted


def _expected(kind: Any) -> str:  # noqa: ANN401 - any annotation
    """An annotation in plain words, for a message."""
    origin = get_origin(kind)
    if origin is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in get_args(kind))
    if origin in (typing.Union, UnionType):
        return " or ".join(_expected(option) for option in get_args(kind) if option is not type(None))
    if origin is tuple:
        return f"a list, each item {_expected(get_args(kind)[0])}"
    if origin in (Mapping, dict):
        return f"a table, each value {_expected(get_args(kind)[1])}"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}.get(kind, str(kind))


def _describe(value: object) -> str:
    """A TOML value in a message: shortened, with its kind."""
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list"}
    kind = kinds.get(type(value), "a table" if isinstance(value, Mapping) else type(value).__name__)
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    # Shortened: a wrong value may be a whole list or a long path.
    return f"{text[:40]} ({kind})"
