"""Problems of a manifest, gathered so that a person sees all of them at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

SHOWN: Final = 20
"""Problems of one kind that are written out; the rest are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, in one line."""

    kind: str
    """What is wrong in a few words; problems of one kind are listed together."""
    line: str
    """Rule, value, place and remedy; no patient id and no path of an image."""


def lines_of(problems: Iterable[Problem]) -> tuple[str, ...]:
    """Write problems as lines, kind by kind, at most `SHOWN` of each kind.

    Args:
        problems: In the order they were found.

    Returns:
        Their lines, kinds in the order of their first problem, a count after a kind that was cut.
    """
    kinds: dict[str, list[str]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem.line)
    return tuple(line for kind, lines in kinds.items() for line in _shortened(kind, lines))


def _shortened(kind: str, lines: Sequence[str]) -> list[str]:
    left_out = len(lines) - SHOWN
    if left_out <= 0:
        return list(lines)
    return [*lines[:SHOWN], f"… and {left_out} more of the kind: {kind}"]


def rows_text(rows: Iterable[int]) -> str:
    """Name manifest rows.

    Args:
        rows: 1-based data rows.

    Returns:
        `manifest row 3`, `manifest rows 3 and 7` or `manifest rows 3, 7 and 9`, in increasing order.
    """
    names = [str(row) for row in sorted(rows)]
    if len(names) == 1:
        return f"manifest row {names[0]}"
    if len(names) > SHOWN:
        names = [*names[:SHOWN], f"{len(names) - SHOWN} more"]
    return f"manifest rows {', '.join(names[:-1])} and {names[-1]}"
