"""The JSON Schema of `experiment.toml`, written from the records, so that an editor completes and checks the file.

Types, choices, defaults and descriptions are those of `orchestrator.experiment.settings` and `mpi_model.settings`: a
setting that is added to a record is in the schema. `polarmap check` checks what a
schema cannot express, such as a rule over two settings.
"""

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from mpi_model.stages import BACKBONES
from orchestrator.experiment.bounds import BOUNDS
from orchestrator.experiment.settings import Experiment


def experiment_schema() -> dict[str, object]:
    """The schema of an experiment file, as JSON Schema draft 2020-12."""
    found: dict[str, Any] = _object(Experiment)
    # The record says `str`; which names there are is known one floor below, without torch.
    found["properties"]["network"]["properties"]["backbone"]["enum"] = list(BACKBONES)
    for key, (low, high) in BOUNDS.items():
        section, _, name = key.partition(".")
        found["properties"][section]["properties"][name] |= {"minimum": low, "maximum": high}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An experiment of polarmap",
        **found,
    }


def _object(record: type[Any]) -> dict[str, object]:
    """A record as a table that holds no other keys."""
    hints, texts = typing.get_type_hints(record), _field_docs(record)
    fields = dataclasses.fields(record)
    properties = {item.name: _property(hints[item.name], item, texts.get(item.name, "")) for item in fields}
    required = [item.name for item in fields if not _has_default(item)]
    found: dict[str, object] = {"type": "object", "additionalProperties": False, "properties": properties}
    return {**found, "required": required} if required else found


def _property(kind: Any, item: "dataclasses.Field[Any]", text: str) -> dict[str, object]:  # noqa: ANN401 - any annotation
    # A section is described by its record's docstring, a setting by the text below its field.
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return {"description": _first_line(kind), **_object(kind)}
    default = _default(item)
    known = {"default": default} if default is not None else {}
    return {"description": text, **_of_kind(kind), **known}


def _of_kind(kind: Any) -> dict[str, object]:  # noqa: ANN401 - any annotation
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _object(kind)
    if origin in (typing.Union, UnionType):
        # TOML has no null: a setting that may be absent is left out of the file.
        options = [_of_kind(option) for option in arguments if option is not type(None)]
        return options[0] if len(options) == 1 else {"anyOf": options}
    if origin is tuple:
        return {"type": "array", "items": _of_kind(arguments[0])}
    if origin in (Mapping, dict):
        return {"type": "object", "additionalProperties": _of_kind(arguments[1])}
    return {"type": {int: "integer", float: "number", str: "string", bool: "boolean"}[kind]}


def _has_default(item: "dataclasses.Field[Any]") -> bool:
    return item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING


def _default(item: "dataclasses.Field[Any]") -> object:
    """The default as TOML has it; None where there is none."""
    value = item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
    if value is dataclasses.MISSING:
        return None
    # JSON has neither tuples nor frozen mappings.
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value


def _field_docs(record: type[Any]) -> Mapping[str, str]:
    """The text under each field of a record: Python keeps it in the source alone."""
    # Dedented, so that a record defined inside another block parses as well.
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    if not isinstance(body, ast.ClassDef):
        return {}
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            constant = text.value
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                found[field.target.id] = " ".join(constant.value.split())
    return found


def _first_line(record: type[Any]) -> str:
    return (inspect.getdoc(record) or "").splitlines()[0]
