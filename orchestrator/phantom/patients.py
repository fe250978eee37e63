"""Who the patients of a cohort are: sex, age, tracers, partition."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.phantom.parameters import CohortParameters
from orchestrator.phantom.streams import Floats, Integers, Stage, Streams, pick

_STEPS: Final = (0.7548776662466927, 0.5698402909980532)
"""Steps of the evenly filling sequence of two dimensions: 1/p and 1/p² of the plastic number p, p³ = p + 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patients:
    """Who n patients are."""

    number: Integers
    """`[n]`, 0, 1, 2, …"""
    sex: Integers
    """`[n]`, index into `parameters.SEXES`."""
    age: Floats
    """`[n]`, whole years."""
    tracers: Integers
    """`[n]`, 0 and 1 for one of `TRACERS` alone, 2 for both."""
    test: NDArray[np.bool_]
    """`[n]`, whether the patient is in the test partition."""


def draw_patients(number: Integers, seed: int, parameters: CohortParameters) -> Patients:
    """Sex, age, tracers and partition of the patients `number` `[n]`.

    Tracers and partition follow an evenly filling sequence (Roberts' R2, shifted by the seed) instead of
    independent draws: the groups of a small cohort have nearly the sizes asked for, and still depend on the
    patient's number alone.
    """
    streams = Streams(seed=seed, patients=number, branches=np.zeros_like(number))
    z, u = streams.draw(Stage.PERSON, normals=1, uniforms=1)
    shift = np.random.default_rng(np.random.SeedSequence(seed)).random(2)
    even = np.mod(number[:, None] * np.array(_STEPS) + shift, 1.0)
    technetium, thallium = parameters.tracer_only
    tracers = np.searchsorted([technetium, technetium + thallium], even[:, 0], side="right")
    age = np.clip(np.rint(parameters.age_mean + parameters.age_sd * z[:, 0]), *parameters.age_range)
    return Patients(
        number=number,
        sex=(u[:, 0] < parameters.men).astype(np.int64),
        age=age,
        tracers=tracers,
        test=even[:, 1] < pick(parameters.test_share, tracers),
    )


def exam_rows(tracers: Integers) -> tuple[Integers, Integers]:
    """Row of the patient and tracer of each exam, from each patient's tracers (2 is both)."""
    has = np.stack([tracers != 1, tracers != 0], axis=1)
    rows, tracer = np.nonzero(has)
    return rows, tracer
