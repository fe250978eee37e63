"""Labels by rule: `SSS >= 4`, `Tl-201: SSS >= 9 or SDS >= 4`.

A rule is comparisons of a column with a number, joined by `and` and `or` (`and` binds closer). A rule without a
tracer is for every tracer that has none of its own.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mpi_model.errors import ExperimentError
from mpi_model.vocabulary import Tracer
from orchestrator.cohort.spellings import tracer_of

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
_COMPARISON: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*) *(>=|<=|==|>|<) *([0-9]{1,9}(?:\.[0-9]{1,9})?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRule:
    """When an exam is positive."""

    text: str
    """As the user wrote it."""
    tracer: Tracer | None
    """None for every tracer without a rule of its own."""
    alternatives: tuple[tuple[tuple[str, str, float], ...], ...]
    """Column, comparison, number: one alternative has to hold with all its comparisons."""

    def label(self, columns: Mapping[str, str]) -> str:
        """`1` or `0`; empty where a column that decides is missing."""
        verdicts = [[_holds(columns, *comparison) for comparison in all_of] for all_of in self.alternatives]
        if any(all(verdict is True for verdict in all_of) for all_of in verdicts):
            return "1"
        # An alternative that a missing value leaves open may still hold, so the exam has no label.
        open_ones = any(None in all_of and False not in all_of for all_of in verdicts)
        return "" if open_ones else "0"


def _holds(columns: Mapping[str, str], name: str, comparison: str, number: float) -> bool | None:
    try:
        value = float(columns[name])
    except (KeyError, ValueError):
        return None
    # NaN is below no number and above none; it is a missing value, and no negative exam.
    return _COMPARISONS[comparison](value, number) if math.isfinite(value) else None


def label_rules(texts: Sequence[str]) -> tuple[LabelRule, ...]:
    """Read the rules of `--label`.

    Raises:
        ExperimentError: A rule is not of the form above, or two are for one tracer.
    """
    rules = tuple(map(_rule, texts))
    if len({rule.tracer for rule in rules}) < len(rules):
        raise ExperimentError("two --label rules are for the same tracer; join them with `and` or `or`")
    return rules


def _rule(text: str) -> LabelRule:
    head, colon, tail = text.partition(":")
    tracer = tracer_of(head.strip()) if colon else None
    body = tail if colon else text
    alternatives = [[_COMPARISON.fullmatch(part.strip()) for part in re.split(r"\band\b", alternative)]
                    for alternative in re.split(r"\bor\b", body)]  # fmt: skip
    if (colon and tracer is None) or any(part is None for all_of in alternatives for part in all_of):
        raise ExperimentError(f"--label takes a rule such as 'SSS >= 4' or 'Tl-201: SSS >= 9', but got {text[:60]!r}")
    return LabelRule(
        text=text,
        tracer=tracer,
        alternatives=tuple(
            tuple((part[1], part[2], float(part[3])) for part in all_of if part) for all_of in alternatives
        ),
    )
