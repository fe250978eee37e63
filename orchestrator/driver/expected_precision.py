"""How precise a run will be, from the numbers of its patients alone: expected interval widths, and power."""

from typing import Final

import pandas as pd

from orchestrator.driver.cohort_check import ExamGroup, exam_groups
from orchestrator.driver.prepare import Prepared
from orchestrator.statistics.precision import SUPPOSED_CORRELATION, ExpectedWidth, expected_width, noninferiority_power

_SUPPOSED_AUC: Final = 0.85
"""The AUC that the expected intervals suppose: about what this field reports."""
_POWER_COLUMNS: Final = (
    *("partition", "tracer", "first", "second", "margin", "power"),
    *("positive", "negative", "patients", "patients_needed", "auc", "correlation"),
)


def expected_precision(prepared: Prepared) -> pd.DataFrame:
    """The interval of an AUC to expect for every group of exams that holds both classes.

    Args:
        prepared: The experiment with its cohort and fold plan.

    Returns:
        `partition, tracer, inputs, positive, negative` (patients), `auc, low, high, width, level, method`.
    """
    level = prepared.loaded.experiment.statistics.level
    rows = []
    for group in exam_groups(prepared):
        positive, negative = _classes(group)
        # Without both classes there is no AUC to estimate.
        if positive and negative:
            width = expected_width(positive, negative, _SUPPOSED_AUC, *_design(prepared, group), level)
            rows.append(_precision_row(group, width))
    return pd.DataFrame(rows)


def expected_power(prepared: Prepared) -> pd.DataFrame:
    """The power of the primary hypothesis, in every group of exams that both its input configurations use.

    Args:
        prepared: The experiment with its cohort and fold plan.

    Returns:
        `partition, tracer, first, second, margin, power, positive, negative` (patients), `patients, patients_needed,
        auc, correlation`; empty where no hypothesis was declared.
    """
    statistics = prepared.loaded.experiment.statistics
    question = statistics.noninferiority
    rows: list[tuple[object, ...]] = []
    for group in exam_groups(prepared):
        positive, negative = _classes(group)
        # A paired comparison takes exams that both configurations use, and a variance takes two patients a class.
        if question is None or not set(question.sides) <= set(group.inputs) or min(positive, negative) < 2:
            continue
        design = _design(prepared, group)
        found = noninferiority_power(positive, negative, question.margin, _SUPPOSED_AUC, *design, statistics.level)
        about = (group.partition, group.tracer, *question.sides, question.margin, found.power, positive, negative)
        rows.append((*about, found.present, found.patients, found.auc, SUPPOSED_CORRELATION))
    return pd.DataFrame(rows, columns=list(_POWER_COLUMNS))


def _classes(group: ExamGroup) -> tuple[int, int]:
    """Patients with a positive exam, and with a negative one."""
    owners = (group.exams.loc[group.exams["label"] == label, "patient_id"] for label in (1, 0))
    positive, negative = (one.nunique() for one in owners)
    return positive, negative


def _design(prepared: Prepared, group: ExamGroup) -> tuple[int | None, int | None]:
    """Folds and repeats; none for a test. A fold reuses the training patients of the others, which widens intervals."""
    return (None, None) if group.partition == "test" else (prepared.plan.count, prepared.plan.repeats)


def _precision_row(group: ExamGroup, expected: ExpectedWidth) -> dict[str, object]:
    interval = expected.interval
    return {
        "partition": group.partition,
        "tracer": group.tracer,
        "inputs": ", ".join(group.inputs),
        "positive": expected.positives,
        "negative": expected.negatives,
        "auc": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "width": expected.width,
        "level": interval.level,
        "method": interval.method,
    }
