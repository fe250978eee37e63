"""What is wrong with a table before its values are interpreted: names, lengths of rows, characters."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from mpi_model.printable import printable
from orchestrator.cohort.problems import Problem, rows_text

_LONGEST_NAME: Final = 200
"""Characters of a column's name."""


def table_problems(columns: Sequence[str], rows: Sequence[tuple[int, list[str]]], called: str) -> Iterator[Problem]:
    """What keeps a table from being read.

    Args:
        columns: The header, stripped.
        rows: Row and stripped cells; row 1 is line 2 of the file.
        called: What messages call the file.
    """
    yield from _column_problems(columns, rows, called)
    yield from _length_problems(columns, rows, called)
    yield from _character_problems(columns, rows, called)


def _character_problems(
    columns: Sequence[str], rows: Sequence[tuple[int, list[str]]], called: str
) -> Iterator[Problem]:
    """Names and cells with characters that would command a terminal; a cell may hold tabs and line ends."""
    for place, name in enumerate(columns, start=1):
        if name != printable(name) or len(name) > _LONGEST_NAME:
            line = f"the name of column {place} of the {called} is long or not printable; rename the column"
            yield Problem(kind="name of a column", line=line)
    for row, cells in rows:
        for name, cell in zip(columns, cells, strict=False):
            if cell.isprintable():
                continue
            found = next((c for c in cell if _commands(c)), None)
            if found is not None:
                line = f"{called} row {row} (line {row + 1}), {name}: holds the control character U+{ord(found):04X}"
                yield Problem(kind="control character", line=f"{line}; take it out")


def _commands(character: str) -> bool:
    """Whether a character would command a terminal, or turn the direction of what follows."""
    kind = unicodedata.category(character)
    turns = unicodedata.bidirectional(character) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return turns or (kind in {"Cc", "Cs"} and character not in "\t\n\r")


def _column_problems(columns: Sequence[str], rows: Sequence[tuple[int, list[str]]], called: str) -> list[Problem]:
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    places = [[str(place) for place, name in enumerate(columns, start=1) if name == again] for again in twice]
    problems = [
        Problem(
            kind="columns of one name",
            line=f"columns {' and '.join(same)} of the {called} have one name; rename one, or add the header",
        )
        for same in places
    ]
    # An empty column without a name is harmless, and often left by a spreadsheet.
    nameless = [place for place, name in enumerate(columns) if not name]
    if any(place < len(cells) and cells[place] for _, cells in rows for place in nameless):
        line = f"a {called} column without a name holds values; name it or delete it"
        problems.append(Problem(kind="column without a name", line=line))
    return problems


def _length_problems(columns: Sequence[str], rows: Sequence[tuple[int, list[str]]], called: str) -> list[Problem]:
    lengths: dict[int, list[int]] = {}
    for row, cells in rows:
        if len(cells) != len(columns):
            lengths.setdefault(len(cells), []).append(row)
    return [
        Problem(
            kind="rows of another length than the header",
            line=f"{rows_text(found, called)} {'have' if len(found) > 1 else 'has'} {length} cells, the header "
            f"{len(columns)}; put quotes around a cell that holds the separator",
        )
        for length, found in lengths.items()
    ]
