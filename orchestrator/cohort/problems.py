"""Problems of a manifest, collected so that a user sees all of them at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

MAX_LISTED: Final = 20
"""Problems of one kind that are written out; the rest are only counted."""


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
    if len(names) > MAX_LISTED:
        names = [*names[:MAX_LISTED], f"{len(names) - MAX_LISTED} more"]
    return f"manifest rows {', '.join(names[:-1])} and {names[-1]}"
