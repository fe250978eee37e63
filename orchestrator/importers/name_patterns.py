"""Patterns of file names, such as `{patient}_{tracer}_{phase}.png`: what a file's name says of its map.

A pattern is matched piece by piece, and no place of a name is tried twice for the same piece: a regular expression of
several `*` would try every combination of places, which takes hours for a long name that does not fit.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mpi_model.errors import ExperimentError

_GROUPS: Final[Mapping[str, str]] = {
    "patient": r"[^/]",
    "tracer": r"[^/_]",
    "phase": r"stress|str|exercise|rest|redistribution|reinjection|delayed",
    "exam": r"[^/_]",
    "date": r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}",
}
"""What a pattern may name, and what each matches; of patient, tracer and exam a letter, of which there are some."""
_REPEATED: Final = frozenset({"patient", "tracer", "exam"})
_ANY: Final = re.compile(r"[^/]*")
_LONGEST: Final = 200
"""Characters of a pattern."""
_LONGEST_WORD: Final = len("redistribution")


@dataclass(frozen=True, slots=True, kw_only=True)
class NameFacts:
    """What a file's name says."""

    patient: str
    tracer: str
    phase: str
    exam: str
    date: str


@dataclass(frozen=True, slots=True)
class _Piece:
    """A group, a `*` or literal text."""

    group: str
    """The group's name; empty for the other two."""
    matched: re.Pattern[str]
    longest: int = 0
    """Characters that it may match, unless it is repeated."""

    def ends(self, path: str, at: int) -> Iterator[int]:
        """Where the piece may end if it begins at a place, what is preferred first."""
        if self.group in _REPEATED:
            while at < len(path) and self.matched.match(path, at):
                at += 1
                yield at
        elif self.matched is _ANY:
            found = _ANY.match(path, at)
            yield from range(at if found is None else found.end(), at - 1, -1)
        else:
            # Alternatives of different length, `str` and `stress`: the longer one first.
            longest = min(len(path), at + self.longest)
            yield from (end for end in range(longest, at, -1) if self.matched.fullmatch(path, at, end))


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A pattern that was read."""

    pieces: tuple[_Piece, ...]

    @property
    def groups(self) -> list[str]:
        """The names of its groups, sorted."""
        return sorted(piece.group for piece in self.pieces if piece.group)

    def facts(self, path: str) -> NameFacts | None:
        """What a path inside a source says; None where it does not fit. Folders may come before what is matched."""
        fruitless: set[tuple[int, int]] = set()
        for begin in [place + 1 for place in range(len(path) - 1, -1, -1) if path[place] == "/"] + [0]:
            ends = self._ends(path, 0, begin, fruitless)
            if ends is not None:
                starts = [begin, *ends[:-1]]
                found = {piece.group: path[a:b] for piece, a, b in zip(self.pieces, starts, ends, strict=True)}
                return NameFacts(**{name: found.get(name, "") for name in _GROUPS})
        return None

    def _ends(self, path: str, number: int, at: int, fruitless: set[tuple[int, int]]) -> tuple[int, ...] | None:
        """Where the pieces from one on end; None where they do not reach the path's end."""
        if number == len(self.pieces):
            return () if at == len(path) else None
        if (number, at) not in fruitless:
            for end in self.pieces[number].ends(path, at):
                rest = self._ends(path, number + 1, end, fruitless)
                if rest is not None:
                    return (end, *rest)
            fruitless.add((number, at))
        return None


def name_pattern(text: str) -> NamePattern:
    """Read a pattern such as `{patient}/{tracer}_{phase}.npy`.

    `*` stands for anything inside one name. Without a `/` only the file's own name is looked at.

    Raises:
        ExperimentError: A group is unknown or named twice, there is no `{patient}`, or the pattern is too long.
    """
    parts = [part for part in re.split(r"(\{[^}]*\}|\*+)", text) if part]
    groups = [part[1:-1] for part in parts if part.startswith("{") and part.endswith("}")]
    if "patient" not in groups or len(set(groups)) < len(groups) or not set(groups) <= _GROUPS.keys():
        known = ", ".join(f"{{{name}}}" for name in _GROUPS)
        raise ExperimentError(f"--pattern {text[:60]!r} must name {{patient}} and each of {known} at most once")
    if len(text) > _LONGEST:
        raise ExperimentError(f"--pattern has {len(text)} characters; {_LONGEST} are the most")
    return NamePattern(tuple(map(_piece, parts)))


def _piece(part: str) -> _Piece:
    if part.startswith("*"):
        return _Piece("", _ANY)
    group = part[1:-1] if part.startswith("{") and part.endswith("}") else ""
    # Case is ignored: the same program writes .PNG and .png on different systems.
    matched = re.compile(_GROUPS[group] if group else re.escape(part), re.IGNORECASE)
    return _Piece(group, matched, _LONGEST_WORD if group else len(part))
