"""Counts in place of an AUC: what is said where a class has too few patients for one.

With nine patients of a class a 95 % interval of an AUC of .85 is some .35 wide. A reader remembers the estimate and not
the interval, so reports show how many exams were decided rightly. The summary keeps the row, marked by the end of its
`reason`.
"""

from collections.abc import Mapping
from typing import Final

from orchestrator.statistics.scores import Exams, Flags

FEWEST: Final = 10
"""With fewer patients of a class, counts are shown."""
NO_AUC: Final = "too few for an AUC"
NO_DIFFERENCE: Final = "too few for a difference of AUCs"


def too_few(exams: Exams) -> bool:
    """Whether a class has too few patients; several exams of a patient do not make it larger."""
    return min(exams.class_patients) < FEWEST


def shows_counts(row: Mapping[str, object]) -> bool:
    """Whether reports show the counts of a row of the summary, and nothing of its estimate."""
    return str(row.get("reason", "")).endswith((NO_AUC, NO_DIFFERENCE))


def in_place_of_auc(labels: Flags, positive: Flags | None) -> str:
    """How many exams of each class were decided rightly; how many there are where nothing was decided.

    Args:
        labels: `[N]`, one class of which may be empty.
        positive: `[N]`, or `[R, N]` of the repeats of a cross-validation, whose mean is given; None without a
            threshold.
    """
    if positive is None:
        return f"{_numbers(labels)}; {NO_AUC}"
    right = (positive == labels).reshape(-1, labels.size).mean(axis=0)
    sides = ", ".join(
        f"{round(float(right[mask].sum()), 1):g} of {mask.sum()} {name}"
        for name, mask in (("positive", labels), ("negative", ~labels))
    )
    return f"correct: {sides} at the threshold; {NO_AUC}"


def in_place_of_difference(labels: Flags) -> str:
    """The numbers of exams, of labels `[N]`, where a pair of models is not compared by their AUCs."""
    return f"{_numbers(labels)}; {NO_DIFFERENCE}"


def unanswered(first: str, second: str, margin: float, labels: Flags) -> str:
    """What is said in place of the answer to a declared question of non-inferiority; labels are `[N]`."""
    return (
        f"whether {first} is worse than {second} by {margin:g} of AUC or more cannot be told: "
        f"{in_place_of_difference(labels)}"
    )


def _numbers(labels: Flags) -> str:
    positives = int(labels.sum())
    return f"{positives} positive, {labels.size - positives} negative exams"
