"""What an interval says in words, by rules: the only place where a report turns numbers into a verdict.

A verdict never says more than its interval. Limits are compared strictly: an interval that ends exactly at a border has
not passed it. `docs/reading_a_report.md` has the rules as a table.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

_WIDE: Final = 0.2
"""An interval of an AUC that is wider than this is called wide: .75 to .95 is from poor to excellent."""


class _Verdict(Enum):
    """What an interval says."""

    UNKNOWN = "cannot be told"
    NOT_INFERIOR = "not inferior by the margin"
    INFERIOR = "inferior by more than the margin"
    EQUIVALENT = "equivalent within the zone"
    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The ends of an interval; where a class has too few patients for one, `counts` speaks and nothing is read here."""

    low: float
    high: float


def _of_noninferiority(found: Limits, margin: float) -> _Verdict:
    """Whether the first of a pair is not worse than the second by the margin; limits of first − second."""
    if found.low > -margin:
        return _Verdict.NOT_INFERIOR
    return _Verdict.INFERIOR if found.high < -margin else _Verdict.UNKNOWN


def _of_difference(found: Limits, zone: float) -> _Verdict:
    """Whether two AUCs are equal within ± the zone, or one is higher; limits of first − second."""
    if -zone < found.low and found.high < zone:
        return _Verdict.EQUIVALENT
    if found.low > 0:
        return _Verdict.HIGHER
    return _Verdict.LOWER if found.high < 0 else _Verdict.UNKNOWN


def _of_auc(found: Limits) -> _Verdict:
    """Whether an AUC is above chance (`HIGHER`) or below it (`LOWER`)."""
    if found.low > 0.5:
        return _Verdict.HIGHER
    return _Verdict.LOWER if found.high < 0.5 else _Verdict.UNKNOWN


def noninferiority_in_words(first: str, second: str, found: Limits, margin: float) -> str:
    """The sentence about a declared margin, without a full stop."""
    return {
        _Verdict.UNKNOWN: f"whether {first} is inferior to {second} by the margin of {margin:g} cannot be told",
        _Verdict.NOT_INFERIOR: f"{first} is not inferior to {second} by the margin of {margin:g}{_direction(found)}",
        _Verdict.INFERIOR: f"{first} is inferior to {second} by more than the margin of {margin:g}",
    }[_of_noninferiority(found, margin)]


def difference_in_words(first: str, second: str, found: Limits, zone: float) -> str:
    """The sentence about a difference of two AUCs, without a full stop."""
    return {
        _Verdict.UNKNOWN: f"whether {first} and {second} differ cannot be told",
        _Verdict.EQUIVALENT: f"{first} and {second} are equal within ±{zone:g}{_direction(found)}",
        _Verdict.HIGHER: f"{first} has a higher AUC than {second}",
        _Verdict.LOWER: f"{first} has a lower AUC than {second}",
    }[_of_difference(found, zone)]


def auc_in_words(name: str, found: Limits) -> str:
    """The sentence about an AUC that has not been shown to be above chance; empty for one that has."""
    return {
        _Verdict.UNKNOWN: f"{name}: the AUC cannot be told from chance",
        _Verdict.LOWER: f"{name}: the AUC is below chance",
        _Verdict.HIGHER: "" if found.high - found.low <= _WIDE else f"{name}: the interval of the AUC is wide",
    }[_of_auc(found)]


def _direction(found: Limits) -> str:
    """What the interval says beside: that a difference which counts as none is not zero."""
    if found.low > 0:
        return ", and its AUC is higher"
    return ", though its AUC is lower" if found.high < 0 else ""


def answer(first: str, second: str, found: Limits, margin: float) -> str:
    """The row's own answer to a declared question of non-inferiority, with the limit that gives it."""
    reach = f"the interval of the difference reaches from {found.low:+.3f} to {found.high:+.3f}"
    worse = f"worse than {second} by {margin:g} of AUC or more"
    return {
        _Verdict.UNKNOWN: f"whether {first} is {worse} is not known: {reach}",
        _Verdict.NOT_INFERIOR: f"{first} is not {worse}: shown, the difference's lower limit is {found.low:+.3f}",
        _Verdict.INFERIOR: (
            f"{first} is worse than {second} by more than {margin:g} of AUC: shown, the difference's upper limit is "
            f"{found.high:+.3f}"
        ),
    }[_of_noninferiority(found, margin)]
