"""Counts in place of an AUC: what is said where a class has too few patients for one.

With nine patients of a class a 95 % interval of an AUC of .85 is some .35 wide. A reader remembers the estimate and not
the interval, so reports show how many exams were decided rightly, of a test as of a cross-validation. The summary keeps
the rows, marked by the end of their `reason`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from orchestrator.statistics.scores import Codes, Exams, Flags

FEWEST: Final = 10
"""With fewer patients of a class, counts are shown."""
NO_AUC: Final = "too few for an AUC"
NO_DIFFERENCE: Final = "too few for a difference of AUCs"
FROM_AUC: Final = "AUC, interval 0.1 wide"
"""The method of a sample size that is planned from the AUC found."""

_OF_AUC: Final = frozenset(
    {"auc", "partial_auc", "auc_above_chance", "auc_of_search", "auc_bias_corrected", "optimism"}
)
_OF_DIFFERENCE: Final = frozenset(
    {"auc_difference", "probability_first_worse", "probability_equivalent", "probability_first_better"}
)


def too_few(exams: Exams) -> bool:
    """Whether a class has too few patients; several exams of a patient do not make it larger."""
    return min(exams.class_patients) < FEWEST


def shows_counts(row: Mapping[str, object]) -> bool:
    """Whether reports show the counts of a row of the summary, and nothing of its estimate."""
    return str(row.get("reason", "")).endswith((NO_AUC, NO_DIFFERENCE))


def is_told(row: Mapping[str, object]) -> bool:
    """Whether reports say something of a row: its estimate, or counts in place of it."""
    return row["state"] == "ok" or shows_counts(row)


def with_counts(
    rows: Sequence[dict[str, object]], exams: Exams, positive: Flags | None = None
) -> list[dict[str, object]]:
    """Rows of a model or of a pair; where a class has too few patients, those that speak of AUCs have counts as reason.

    All of them are marked, so that no table shows in one what it hides in another.

    Args:
        rows: Of the summary.
        exams: Those that were judged.
        positive: A model's decisions, see `in_place_of_auc`; a pair has none.
    """
    if not too_few(exams):
        return list(rows)
    area = in_place_of_auc(exams.labels, exams.patients, positive)
    instead = dict.fromkeys(_OF_AUC, area) | dict.fromkeys(_OF_DIFFERENCE, in_place_of_difference(exams))
    return [
        {**row, "reason": area if row["method"] == FROM_AUC else instead.get(str(row["metric"]), row["reason"])}
        for row in rows
    ]


def in_place_of_auc(labels: Flags, patients: Codes, positive: Flags | None) -> str:
    """How many exams of each class were decided rightly; how many there are where nothing was decided.

    Args:
        labels: `[N]`, one class of which may be empty.
        patients: `[N]`, whose they are.
        positive: `[N]`, or `[R, N]` of the repeats of a cross-validation; None without decisions.
    """
    if positive is None:
        return f"{_numbers(labels, patients)}; {NO_AUC}"
    right = np.atleast_2d(positive == labels)
    sides = ", ".join(
        f"{_reach(right[:, mask].sum(axis=1))} of {mask.sum()} {name}"
        for name, mask in (("positive", labels), ("negative", ~labels))
    )
    # From the worst repeat to the best: a mean would be of parts of patients, a sum of more patients than there are.
    each = f" in each of {len(right)} repeats" if len(right) > 1 else ""
    whose = _whose(labels, patients)
    return f"correct{each}: {sides} at the threshold{whose and f', exams{whose}'}; {NO_AUC}"


def in_place_of_difference(exams: Exams) -> str:
    """The numbers of exams, where a pair of models is not compared by their AUCs."""
    return f"{_numbers(exams.labels, exams.patients)}; {NO_DIFFERENCE}"


def unanswered(first: str, second: str, margin: float, exams: Exams) -> str:
    """What is said in place of the answer to a declared question of non-inferiority."""
    return (
        f"whether {first} is worse than {second} by {margin:g} of AUC or more cannot be told: "
        f"{in_place_of_difference(exams)}"
    )


def _reach(counts: Codes) -> str:
    low, high = counts.min(), counts.max()
    return f"{low}" if low == high else f"{low} to {high}"


def _numbers(labels: Flags, patients: Codes) -> str:
    return f"{labels.sum()} positive, {(~labels).sum()} negative exams{_whose(labels, patients)}"


def _whose(labels: Flags, patients: Codes) -> str:
    """The numbers of patients, where some have several exams of a class."""
    positive, negative = (np.unique(patients[labels == label]).size for label in (True, False))
    return "" if positive + negative == labels.size else f" of {positive} and {negative} patients"
