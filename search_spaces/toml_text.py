"""Reads TOML that a person wrote, within bounds: bytes, length of a line, depth, size of numbers, printable text."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from mpi_model.printable import printable
from mpi_model.regular_files import read_regular

_MOST_BYTES: Final = 256 * 1024
_LONGEST_LINE: Final = 4096
"""Characters. A key of many dotted parts takes the square of their number to read."""
_DEEPEST: Final = 8
"""Tables inside tables; an experiment file needs three."""
_LONGEST_TEXT: Final = 1024
_LARGEST_INTEGER: Final = 2**63 - 1
"""TOML 1.0 asks for integers of 64 bits; tomllib reads longer ones."""


def read_toml_file(path: Path) -> dict[str, object]:
    """The tables of a file.

    Raises:
        OSError: It cannot be read, or is too large.
        ValueError: It is not TOML, or beyond the bounds of this module; the text says what and where.
    """
    content = read_regular(path, _MOST_BYTES)
    try:
        # utf-8-sig: Windows editors begin a file with a byte order mark, which TOML does not allow.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8 text; save the file as UTF-8") from error
    return _toml_tables(text)


def _toml_tables(text: str) -> dict[str, object]:
    """The tables in a text.

    Raises:
        ValueError: It is not TOML, or beyond the bounds of this module.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > _LONGEST_LINE:
            raise ValueError(f"line {number} has {len(line)} characters; {_LONGEST_LINE} are the most")
    try:
        tables = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(f"brackets are nested deeper than {_DEEPEST} levels") from error
    for problem in value_problems(tables):
        raise ValueError(problem)
    return tables


def value_problems(tables: Mapping[str, object]) -> Iterator[str]:
    """What in some tables is too deep, too long, too large or not printable, one line each."""
    # A list of what is left, not recursion: depth is one of the things that are checked.
    left: list[tuple[object, str, int]] = [(tables, "", 0)]
    while left:
        value, place, depth = left.pop()
        if depth > _DEEPEST:
            yield f"{place[:80]} is nested deeper than {_DEEPEST} levels"
            return
        if isinstance(value, Mapping):
            for key, inner in value.items():
                yield from _text_problems(str(key), f"a key of [{place[:80]}]" if place else "a key")
                left.append((inner, f"{place}.{printable(str(key))[:80]}".lstrip("."), depth + 1))
        elif isinstance(value, list | tuple):
            left.extend((inner, place, depth + 1) for inner in value)
        elif isinstance(value, str):
            yield from _text_problems(value, f"`{place[:80]}`")
        elif isinstance(value, int) and not -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER:
            yield f"`{place[:80]}` is a whole number of more than 64 bits"


def _text_problems(text: str, place: str) -> Iterator[str]:
    """Why a text is not kept: too long, or with characters that would command a terminal."""
    if len(text) > _LONGEST_TEXT:
        yield f"{place} has {len(text)} characters; {_LONGEST_TEXT} are the most"
    elif text != printable(text):
        found = next(character for character in text if character != printable(character))
        yield f"{place} holds the control character U+{ord(found):04X}; take it out"
