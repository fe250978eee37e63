"""Segment scores, summed scores, the true label, and the label that readers record."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.phantom.parameters import LabelParameters
from orchestrator.phantom.streams import Integers, lognormal
from orchestrator.statistics.scores import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The true scores and labels of n exams."""

    stress: NDArray[np.int8]
    """`[n, 17]`, 0 (normal) to 4 (no uptake), AHA segments in order."""
    rest: NDArray[np.int8]
    """`[n, 17]`, as `stress`; for Tl-201 of the redistribution scan."""
    summed_stress: Integers
    """`[n]`, summed stress score (SSS), 0 to 68."""
    summed_rest: Integers
    """`[n]`, summed rest score (SRS), 0 to 68."""
    summed_difference: Integers
    """`[n]`, summed difference score (SDS): SSS - SRS."""
    label: NDArray[np.int8]
    """`[n]`, 0 or 1 by the thresholds, without reader errors."""


def _score(deficit: Floats, parameters: LabelParameters) -> NDArray[np.int8]:
    """Scores 0 to 4 of mean segment deficits of any shape."""
    return np.searchsorted(np.asarray(parameters.score_edges), deficit, side="right").astype(np.int8)


def true_scores(stress: Floats, rest: Floats, tracer: Integers, parameters: LabelParameters) -> Scores:
    """Scores and labels without reader errors.

    Args:
        stress: `[n, 17]`, mean deficit of each segment at stress, 0 to 1.
        rest: `[n, 17]`, at rest.
        tracer: `[n]`, index into `TRACERS`.
        parameters: Score edges and thresholds.
    """
    at_stress, at_rest = _score(stress, parameters), _score(rest, parameters)
    summed_stress = at_stress.sum(axis=1, dtype=np.int64)
    summed_rest = at_rest.sum(axis=1, dtype=np.int64)
    difference = summed_stress - summed_rest
    return Scores(
        stress=at_stress,
        rest=at_rest,
        summed_stress=summed_stress,
        summed_rest=summed_rest,
        summed_difference=difference,
        label=_label(summed_stress.astype(float), difference.astype(float), tracer, parameters),
    )


def _label(
    summed_stress: Floats, summed_difference: Floats, tracer: Integers, parameters: LabelParameters
) -> NDArray[np.int8]:
    """`[n]`, 1 for abnormal (Tc-99m) or intermediate or high risk (Tl-201), from summed scores `[n]`."""
    # Thresholds are integer scores; a mean of several readings reaches one from half a point below.
    stress_from = np.asarray(parameters.summed_stress)[tracer] - 0.5
    differences = [np.inf if value is None else value for value in parameters.summed_difference]
    difference_from = np.asarray(differences)[tracer] - 0.5
    return ((summed_stress >= stress_from) | (summed_difference >= difference_from)).astype(np.int8)


def _readings(scores: Scores, z: Floats, parameters: LabelParameters) -> tuple[Floats, Floats]:
    """Summed stress and difference scores of every reader.

    A reader's error is a factor, the same for both scores, and a few points.

    Args:
        scores: The true scores of n exams.
        z: `[n, 3 * readers]`, standard normal numbers.
        parameters: Sizes of the errors.

    Returns:
        `[n, readers]` each, in score points.
    """
    own, points, difference_points = np.split(z, 3, axis=1)
    factor = lognormal(own, 1.0, parameters.reader_cv)
    stress = np.maximum(scores.summed_stress[:, None] * factor + parameters.reader_sd * points, 0.0)
    difference = scores.summed_difference[:, None] * factor + parameters.reader_difference_sd * difference_points
    # The difference of two maps cannot exceed the score of the stress map.
    difference = np.clip(difference, 0.0, stress)
    return stress, difference


def recorded_label(scores: Scores, tracer: Integers, z: Floats, parameters: LabelParameters) -> NDArray[np.int8]:
    """The labels `[n]` by the mean scores of all readers; `z` as in `_readings`."""
    stress, difference = _readings(scores, z, parameters)
    return _label(stress.mean(axis=1), difference.mean(axis=1), tracer, parameters)
