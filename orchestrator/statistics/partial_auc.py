"""The part of the area under the ROC curve where few are called positive by mistake."""

from dataclasses import dataclass

import numpy as np

from mpi_model.errors import StatisticsError
from orchestrator.statistics.auc import wins
from orchestrator.statistics.intervals import Interval, Method, logit_interval
from orchestrator.statistics.scores import Codes, Flags, Floats, PatientScores


def partial_auc_interval(model: PatientScores, specificity: float, level: float) -> Interval:
    """The standardised partial AUC over specificities from a value to 1; ½ is chance, 1 is perfect.

    McClish (1989, doi:10.1177/0272989X8900900307): ½ (1 + (area − f²/2) / (f − f²/2)) with f = 1 − specificity. Its
    variance is the jackknife's, one patient left out at a time, on the logit scale.

    Args:
        model: The scores.
        specificity: The lowest specificity that counts, in (0, 1).
        level: Confidence level.

    Raises:
        StatisticsError: The area is 0 or 1 or does not vary, or leaving out a patient leaves one class.
    """
    patients = model.exams.patient_count
    if min(model.exams.class_patients) < 2:
        raise StatisticsError("a partial AUC's variance needs two patients of each class")
    values = _jackknife(model, 1 - specificity)
    # The jackknife: DeLong's influences do not hold for a part of the curve, whose border moves with the scores.
    variance = (patients - 1) / patients * float(((values[1:] - values[1:].mean()) ** 2).sum())
    return logit_interval(estimate=float(values[0]), variance=variance, level=level, method=Method.PARTIAL)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Removed:
    """What is taken out of one class of the exams with each patient."""

    keys: Codes
    """Patient and tie of every exam of the class as one number, sorted."""
    ties: int

    @classmethod
    def of(cls, patients: Codes, places: Codes, ties: int) -> "_Removed":
        return cls(keys=np.sort(patients * (ties + 1) + places), ties=ties)

    def above(self, ends: Codes) -> Codes:
        """`[P]`, each patient's exams in the first `ends[p]` ties."""
        first = np.arange(ends.size) * (self.ties + 1)
        counts: Codes = (np.searchsorted(self.keys, first + ends) - np.searchsorted(self.keys, first)).astype(np.int64)
        return counts


def _jackknife(model: PatientScores, most: float) -> Floats:
    """`[1 + P]`, the standardised area of everybody, and with each patient left out with all exams.

    From counts of the whole curve, less what a patient adds to them: a curve for every patient takes the square of
    their number in time and memory.
    """
    labels, scores = model.exams.labels, model.scores
    # Patient 0 is nobody, who is left out of the curve of all.
    whose, patients = model.exams.patients + 1, model.exams.patient_count + 1
    # Ties in the order of the curve, from the highest score on; tied exams are joined by a straight line.
    tie: Codes = np.unique(-scores, return_inverse=True)[1].astype(np.int64)
    ties = int(tie.max()) + 1
    up, right = (np.bincount(tie[of_class], minlength=ties) for of_class in (labels, ~labels))
    true, false = (np.append(0, np.cumsum(count)) for count in (up, right))
    less_true, less_false = (_Removed.of(whose[of_class], tie[of_class], ties) for of_class in (labels, ~labels))
    every = np.full(patients, ties)
    positives, negatives = true[-1] - less_true.above(every), false[-1] - less_false.above(every)
    border = most * negatives
    end = _whole_ties(false, less_false, border)
    # The trapezoids of all ties before the border, of the whole curve ...
    middle = (true[:-1] + true[1:]) / 2
    area = np.append(0, np.cumsum(right * middle))[end]
    # ... less the patient's negatives under it, less the height of the patient's positives, plus what is both.
    before = tie < end[whose]
    for of_class, part in (
        (~labels, middle[tie]),
        (labels, false[end][whose] - false[tie + 1] + right[tie] / 2),
        (~labels, -_won(scores, labels, whose, before)),
    ):
        counted = before & of_class
        area = area - np.bincount(whose[counted], part[counted], patients)
    # The tie at the border is cut there.
    x, y = false[end] - less_false.above(end), true[end] - less_true.above(end)
    beyond_x, beyond_y = false[end + 1] - less_false.above(end + 1), true[end + 1] - less_true.above(end + 1)
    slope = (beyond_y - y) / (beyond_x - x)
    area = area + (border - x) * (y + slope * (border - x) / 2)
    standardised: Floats = 0.5 * (1 + (area / (positives * negatives) - most**2 / 2) / (most - most**2 / 2))
    return standardised


def _whole_ties(false: Codes, less: _Removed, border: Floats) -> Codes:
    """`[P]`, how many ties the curve has before its border, by bisection for all patients at once."""
    low, high = np.zeros(border.size, dtype=np.int64), np.full(border.size, false.size - 2)
    while (low < high).any():
        middle = (low + high + 1) // 2
        inside = false[middle] - less.above(middle) <= border
        low, high = np.where(inside, middle, low), np.where(inside, high, middle - 1)
    return low


def _won(scores: Floats, labels: Flags, whose: Codes, chosen: Flags) -> Floats:
    """`[N]`, the positives of the same patient that a chosen exam lies under, ties counting half."""
    found = np.zeros(scores.size)
    found[chosen] = wins(scores[chosen], labels[chosen], whose[chosen])[0]
    return found
