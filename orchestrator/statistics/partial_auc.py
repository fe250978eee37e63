"""The part of the area under the ROC curve where few are called positive by mistake."""

import numpy as np

from mpi_model.errors import StatisticsError
from orchestrator.statistics.intervals import Interval, Method, logit_interval
from orchestrator.statistics.scores import Floats, PatientScores


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
    exams, patients = model.exams, model.exams.patient_count
    if min(exams.class_patients) < 2:
        raise StatisticsError("a partial AUC's variance needs two patients of each class")
    # Row 0 weighs all exams; row p + 1 leaves out patient p with all exams.
    weights = np.ones((patients + 1, exams.labels.size))
    weights[exams.patients + 1, np.arange(exams.labels.size)] = 0.0
    values = _standardised(model, weights, 1 - specificity)
    # The jackknife: DeLong's influences do not hold for a part of the curve, whose border moves with the scores.
    variance = (patients - 1) / patients * float(((values[1:] - values[1:].mean()) ** 2).sum())
    return logit_interval(estimate=float(values[0]), variance=variance, level=level, method=Method.PARTIAL)


def _standardised(model: PatientScores, weights: Floats, most: float) -> Floats:
    """`[B]`, under each row of exam weights `[B, N]`; straight lines between the points of the curve."""
    order = np.argsort(-model.scores, kind="stable")
    labels, drawn = model.exams.labels[order], weights[:, order]
    # The curve has points only where the score changes; tied exams are joined by a straight line.
    ends = np.append(np.flatnonzero(np.diff(model.scores[order])), labels.size - 1)
    curves = [np.cumsum(np.where(mask, drawn, 0.0), axis=1)[:, ends] for mask in (labels, ~labels)]
    true, false = (np.insert(curve / curve[:, -1:], 0, 0.0, axis=1) for curve in curves)
    areas = np.array([_area_up_to(x, y, most) for x, y in zip(false, true, strict=True)])
    standardised: Floats = 0.5 * (1 + (areas - most**2 / 2) / (most - most**2 / 2))
    return standardised


def _area_up_to(false: Floats, true: Floats, most: float) -> float:
    # The last point is interpolated at the border itself.
    inside = int(np.searchsorted(false, most, side="right"))
    x = np.append(false[:inside], most)
    y = np.append(true[:inside], np.interp(most, false, true))
    return float(np.trapezoid(y, x))
