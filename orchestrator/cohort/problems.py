"""Problems of a manifest, collected so that a user sees all of them at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

MAX_LISTED: Final = 20
"""Problems of one kind that are written out; the rest are only counted."""

_WITH_LINES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem, in one line."""

    kind: str
    """A few words; problems of one kind are listed together."""
    line: str
    """Rule, value, place and remedy; no patient id and no path of an image."""


def lines_of(problems: Iterable[Problem]) -> tuple[str, ...]:
    """Write problems as lines, kind by kind, at most `MAX_LISTED` of each kind.

    Args:
        problems: In the order they were found.

    Returns:
        Their lines, kinds in the order of their first problem; after `MAX_LISTED` of a kind a count of the rest.
    """
    # A dict keeps the order in which the kinds were found.
    kinds: dict[str, list[str]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem.line)
    return tuple(line for kind, lines in kinds.items() for line in _shortened(kind, lines))


def _shortened(kind: str, lines: Sequence[str]) -> list[str]:
    left_out = len(lines) - MAX_LISTED
    if left_out <= 0:
        return list(lines)
    return [*lines[:MAX_LISTED], f"… and {left_out} more of the kind: {kind}"]


def rows_text(rows: Iterable[int], called: str = "manifest") -> str:
    """Name manifest rows, with their lines in the file, which a spreadsheet or an editor shows.

    Args:
        rows: 1-based rows below the header; 0 alone is an exam that its images name, without a manifest.
        called: What the file is called.

    Returns:
        `manifest row 3 (line 4)` or `manifest rows 3, 7 and 9 (lines 4, 8 and 10)`, in increasing order.
    """
    numbers = sorted(rows)
    if numbers == [0]:
        return "the exam"
    several = "s" if len(numbers) > 1 else ""
    lines = [number + 1 for number in numbers]
    # Of many rows the rule is shorter than a second list.
    where = f"line{several} {_listed(lines)}" if len(numbers) <= _WITH_LINES else "row 1 is line 2"
    return f"{called} row{several} {_listed(numbers)} ({where})".strip()


def _listed(numbers: Sequence[int]) -> str:
    names = [str(number) for number in numbers]
    if len(names) == 1:
        return names[0]
    if len(names) > MAX_LISTED:
        names = [*names[:MAX_LISTED], f"{len(names) - MAX_LISTED} more"]
    return f"{', '.join(names[:-1])} and {names[-1]}"
