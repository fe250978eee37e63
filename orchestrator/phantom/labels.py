"""Segment scores, summed scores, the true label, and the label that readers recorded."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.phantom.parameters import LabelParameters
from orchestrator.phantom.streams import Floats, Integers, lognormal


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The truth of n exams in the reader's units."""

    stress: NDArray[np.int8]
    """`[n, 17]`, 0 normal to 4 absent, AHA segments in order."""
    rest: NDArray[np.int8]
    """`[n, 17]`; for Tl-201 of the redistribution scan."""
    summed_stress: Integers
    """`[n]`, SSS, 0 to 68."""
    summed_rest: Integers
    """`[n]`, SRS."""
    summed_difference: Integers
    """`[n]`, SDS."""
    label: NDArray[np.int8]
    """`[n]`, what the scores mean by the rules, without any reader."""


def score(deficit: Floats, parameters: LabelParameters) -> NDArray[np.int8]:
    """Scores 0 to 4 of mean segment deficits of any shape."""
    return np.searchsorted(np.asarray(parameters.score_edges), deficit, side="right").astype(np.int8)


def true_scores(stress: Floats, rest: Floats, tracer: Integers, parameters: LabelParameters) -> Scores:
    """Scores and true labels from segment deficits `[n, 17]` at stress and rest."""
    at_stress, at_rest = score(stress, parameters), score(rest, parameters)
    summed_stress = at_stress.sum(axis=1, dtype=np.int64)
    summed_rest = at_rest.sum(axis=1, dtype=np.int64)
    difference = summed_stress - summed_rest
    return Scores(
        stress=at_stress,
        rest=at_rest,
        summed_stress=summed_stress,
        summed_rest=summed_rest,
        summed_difference=difference,
        label=label(summed_stress.astype(float), difference.astype(float), tracer, parameters),
    )


def label(
    summed_stress: Floats, summed_difference: Floats, tracer: Integers, parameters: LabelParameters
) -> NDArray[np.int8]:
    """1 for abnormal (Tc-99m) or intermediate or high risk (Tl-201), from summed scores `[n]`.

    Thresholds are scores, so that a mean of readings counts from half a point below.
    """
    never = np.inf
    stress_from = np.asarray(parameters.summed_stress)[tracer] - 0.5
    differences = [never if value is None else value for value in parameters.summed_difference]
    difference_from = np.asarray(differences)[tracer] - 0.5
    return ((summed_stress >= stress_from) | (summed_difference >= difference_from)).astype(np.int8)


def readings(scores: Scores, z: Floats, parameters: LabelParameters) -> tuple[Floats, Floats]:
    """Summed stress and difference scores of every reader, `[n, readers]` each.

    `z` holds standard normal numbers `[n, 3 * readers]`. A reader is off by a factor, the same for both scores,
    and by a few points.
    """
    own, points, difference_points = np.split(z, 3, axis=1)
    factor = lognormal(own, 1.0, parameters.reader_cv)
    stress = np.maximum(scores.summed_stress[:, None] * factor + parameters.reader_sd * points, 0.0)
    difference = scores.summed_difference[:, None] * factor + parameters.reader_difference_sd * difference_points
    difference = np.clip(difference, 0.0, stress)
    return stress, difference


def recorded_label(scores: Scores, tracer: Integers, z: Floats, parameters: LabelParameters) -> NDArray[np.int8]:
    """The label that the readers' mean scores give, `[n]`; `z` as in `readings`."""
    stress, difference = readings(scores, z, parameters)
    return label(stress.mean(axis=1), difference.mean(axis=1), tracer, parameters)
