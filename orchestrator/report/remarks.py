"""What a table's note says: each remark once, with what it belongs to."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from orchestrator.report.counts import shows_counts
from orchestrator.report.layout import Record
from orchestrator.report.records import MEASURES
from orchestrator.report.traced import Phrase, joined, of_summary

_SHORT_NAMES: Final = {"development": "CV", "test": "test"}
NAMES: Final = {
    **MEASURES,
    "auc_difference": "AUC difference",
    "auc_noninferiority": "non-inferiority",
    "sensitivity_difference": "sensitivity difference",
    "specificity_difference": "specificity difference",
    "net_benefit": "net benefit",
}
"""Names of what a summary's `metric` calls."""
ESTIMANDS: Final = MappingProxyType(
    {
        "final network": "for the one network that was trained on all development patients, judged on all such "
        "patients as those of the test partition",
        "frozen network": "for the run's final network, judged on all such patients as those of that cohort",
        "these networks": "for the mean over the networks that this cross-validation trained, judged on all such "
        "patients; for these networks, not for the procedure that trained them",
        "procedure": "for the mean over the networks that this cross-validation trained, judged on all such patients; "
        "repeats agree, so they serve for what the procedure gives on average as well",
    }
)
"""What the intervals of a row are for, in one sentence, by its `estimand`."""


def short_name(partition: str) -> str:
    """As the first column of a table calls it; a validation's partition is the cohort's name already."""
    return _SHORT_NAMES.get(partition, partition.removeprefix("validation "))


def noted(note: str, rows: Sequence[Record], before: Sequence[Record] = ()) -> Phrase:
    """A table's note with what its numbers' rows remark, each remark once.

    A remark is preceded by its measures. Where the table holds cross-validation and test, the remark names which of
    them. Where input configurations differ in what is remarked on a measure, it names those, too.

    Args:
        note: What the table itself says.
        rows: Its rows, with `of` and their place in the summary.
        before: Rows of a table above it, whose remarks are not said again.
    """
    said = {(row["metric"], row["reason"]) for row in before}
    # Counts stand in the cells.
    remarked = [
        row for row in rows if row["reason"] and (row["metric"], row["reason"]) not in said and not shows_counts(row)
    ]
    several = len({row["partition"] for row in rows}) > 1
    remarks: dict[str, list[Record]] = {}
    for row in remarked:
        remarks.setdefault(row["reason"], []).append(row)
    lines = []
    for remark, found in remarks.items():
        subjects = dict.fromkeys(_subject(row, remarked, several) for row in found)
        lines.append(of_summary(found[0], f"{', '.join(subjects)}: {remark}.", "reason"))
    meant = [f"Intervals ({name}): {ESTIMANDS[name]}." for name in _new(rows, before, "estimand")]
    tested = [f"Hypotheses: {family}." for family in _new(rows, before, "family")]
    return joined(" ", [note, *lines, *meant, *tested])


def _subject(row: Record, remarked: Sequence[Record], several: bool) -> str:
    name = NAMES.get(row["metric"], str(row["metric"]).replace("_", " "))
    place = f"{short_name(row['partition'])} " if several else ""
    same = [one for one in remarked if (one["partition"], one["metric"]) == (row["partition"], row["metric"])]
    # Of net benefit at five thresholds `of` is one; of two input configurations with shares of their own it is two.
    apart = len({one["reason"] for one in same}) > 1 and len({one["of"] for one in same}) > 1
    return f"{place}{name}" + (f" of {row['of']}" if apart else "")


def _new(rows: Sequence[Record], before: Sequence[Record], column: str) -> list[str]:
    """The values of a column in their order, without those that were said above; of estimands, those with intervals."""
    above = {row.get(column) for row in before}
    shown = [row for row in rows if column != "estimand" or row["low"] is not None]
    return [str(value) for value in dict.fromkeys(row.get(column) for row in shown) if value and value not in above]
