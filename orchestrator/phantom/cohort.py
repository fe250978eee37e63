"""Simulates a cohort in chunks of patients: composition, truth, scans, labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mpi_model.errors import ExperimentError
from mpi_model.vocabulary import TRACERS
from orchestrator.phantom.disease import Disease, defect_shapes, deficits, draw_disease
from orchestrator.phantom.geometry import PolarGrid, polar_grid
from orchestrator.phantom.imaging import scan_images
from orchestrator.phantom.labels import Scores, recorded_label, true_scores
from orchestrator.phantom.normals import Anatomy, draw_anatomy
from orchestrator.phantom.parameters import CohortParameters, PhantomParameters
from orchestrator.phantom.streams import Integers, Stage, Streams, pick, take_rows
from orchestrator.statistics.scores import Floats

CHUNK: Final = 128
"""Patients that are simulated together. The last chunk is simulated in full and then cut, because vectorised
arithmetic can differ in the last bit with the number of rows."""

_MAX_PATIENTS: Final = 10_000_000
_SIZES: Final = (16, 1024)
# Steps of Roberts' R2 sequence, which fills the unit square evenly: 1/p and 1/p² of the plastic number, p³ = p + 1.
_STEPS: Final = (0.7548776662466927, 0.5698402909980532)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patients:
    """The composition of n patients."""

    number: Integers
    """`[n]`, 0, 1, 2, …"""
    sex: Integers
    """`[n]`, index into `parameters.SEXES`."""
    age: Floats
    """`[n]`, whole years."""
    tracers: Integers
    """`[n]`, 0 or 1 for one of `TRACERS` alone, 2 for both."""
    test: NDArray[np.bool_]
    """`[n]`, whether in the test partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exams:
    """The exams of one chunk of patients: m rows, sorted by patient, then tracer."""

    patient: Integers
    """`[m]`, patient numbers."""
    tracer: Integers
    """`[m]`, index into `TRACERS`."""
    sex: Integers
    """`[m]`, index into `parameters.SEXES`."""
    age: Floats
    """`[m]`, years."""
    test: NDArray[np.bool_]
    """`[m]`, whether in the test partition."""
    stress: NDArray[np.uint16]
    """`[m, size, size]`, counts; 0 outside the disc."""
    rest: NDArray[np.uint16]
    """`[m, size, size]`, counts; for Tl-201 of the redistribution scan."""
    has_stress: NDArray[np.bool_]
    """`[m]`, whether the phase is part of the cohort; `stress` and the truth exist in any case."""
    has_rest: NDArray[np.bool_]
    """`[m]`, as `has_stress`."""
    disease: Disease
    """The disease of the patients, one row an exam."""
    stress_deficits: Floats
    """`[m, 17]`, true mean deficit of each segment at stress, 0 to 1."""
    rest_deficits: Floats
    """`[m, 17]`, the same at rest."""
    extent: Floats
    """`[m]`, part of the myocardium with a deficit at stress, 0 to 1."""
    scores: Scores
    """True scores and labels."""
    recorded_label: NDArray[np.int8]
    """`[m]`, the label by the readers."""

    def __len__(self) -> int:
        return len(self.patient)


def simulate(
    *,
    patients: int | None = None,
    tracer_mix: Mapping[str, float] | None = None,
    seed: int = 0,
    size: int = 64,
    acquisition: int = 0,
    parameters: PhantomParameters | None = None,
) -> Iterator[Exams]:
    """Simulate a cohort in chunks of patients.

    Args:
        patients: Number of patients; by default that of a cohort with the sizes of the reference study.
        tracer_mix: Shares of patients studied with one tracer alone; the remaining patients have both.
        seed: Patient i of a seed has the same maps and truth whatever the number of patients.
        size: Pixels along an edge of the square images.
        acquisition: Another number repeats the scans of the same patients, with new noise, registration and spill.
        parameters: All parameters of the phantom.

    Yields:
        The exams of up to `CHUNK` patients.

    Raises:
        ExperimentError: An argument is out of range.
    """
    # The checks run now and not at the first chunk, hence a function that returns a generator.
    parameters = _with_mix(parameters or PhantomParameters(), tracer_mix)
    number = parameters.cohort.patients if patients is None else patients
    _check(number, seed, size, acquisition, parameters)
    return _chunks(number, seed, size, acquisition, parameters)


def _chunks(patients: int, seed: int, size: int, acquisition: int, parameters: PhantomParameters) -> Iterator[Exams]:
    for first in range(0, patients, CHUNK):
        composition = _draw_patients(np.arange(first, first + CHUNK), seed, parameters.cohort)
        exams = _simulate_chunk(composition, seed, size, acquisition, parameters)
        yield _first_rows(exams, int(np.count_nonzero(exams.patient < patients)))


def _draw_patients(number: Integers, seed: int, parameters: CohortParameters) -> _Patients:
    """Sex, age, tracers and partition of the patients `number` `[n]`."""
    streams = Streams(seed=seed, patients=number, branches=np.zeros_like(number))
    z, u = streams.draw(Stage.PATIENT, normals=1, uniforms=1)
    # Tracers and partition follow an evenly filling sequence instead of independent draws. The groups of a small
    # cohort then have nearly the expected sizes, and still depend on the patient's number alone.
    shift = np.random.default_rng(np.random.SeedSequence(seed)).random(2)
    even = np.mod(number[:, None] * np.array(_STEPS) + shift, 1.0)
    technetium, thallium = parameters.tracer_only
    tracers = np.searchsorted([technetium, technetium + thallium], even[:, 0], side="right")
    age = np.clip(np.rint(parameters.age_mean + parameters.age_sd * z[:, 0]), *parameters.age_range)
    return _Patients(
        number=number,
        sex=(u[:, 0] < parameters.men).astype(np.int64),
        age=age,
        tracers=tracers,
        test=even[:, 1] < pick(parameters.test_share, tracers),
    )


def _exam_rows(tracers: Integers) -> tuple[Integers, Integers]:
    """The patient's row and the tracer of each exam `[m]`, from the tracers of each patient `[n]`."""
    rows, tracer = np.nonzero(np.stack([tracers != 1, tracers != 0], axis=1))
    return rows, tracer


def _with_mix(parameters: PhantomParameters, mix: Mapping[str, float] | None) -> PhantomParameters:
    if mix is None:
        return parameters
    unknown = [name for name in mix if name not in TRACERS]
    if unknown:
        raise ExperimentError(f"tracer_mix names {unknown[0]!r}; it may name {' and '.join(TRACERS)}")
    if not all(isinstance(share, int | float) for share in mix.values()):
        raise ExperimentError("tracer_mix must hold numbers, the shares of patients with one tracer alone")
    shares = (float(mix.get(TRACERS[0], 0.0)), float(mix.get(TRACERS[1], 0.0)))
    return replace(parameters, cohort=replace(parameters.cohort, tracer_only=shares))


def _check(patients: int, seed: int, size: int, acquisition: int, parameters: PhantomParameters) -> None:
    shares = parameters.cohort.tracer_only
    low, high = _SIZES
    for name, value in (("patients", patients), ("seed", seed), ("size", size)):
        if not hasattr(value, "__index__"):  # a program may give anything
            raise ExperimentError(f"{name} must be a whole number, but is a {type(value).__name__}")
    rules = [
        (1 <= patients <= _MAX_PATIENTS, f"patients must be 1 to {_MAX_PATIENTS}, not {patients}"),
        (seed >= 0, f"seed must not be negative, but is {seed}"),
        (low <= size <= high, f"size must be {low} to {high} pixels, not {size}"),
        (acquisition >= 0, f"acquisition must not be negative, but is {acquisition}"),
        (
            all(0.0 <= share <= 1.0 for share in shares) and sum(shares) <= 1.0 + 1e-9,
            "tracer_mix must hold shares of 0 to 1 that add up to at most 1 (the rest of the patients have both "
            f"tracers), not {shares[0]:g} and {shares[1]:g}",
        ),
        (
            parameters.grid.rings >= 6 and parameters.grid.angles >= 8 and parameters.grid.angles % 2 == 0,
            f"the polar grid needs 6 rings and an even number of 8 angles or more, not {parameters.grid.rings} "
            f"and {parameters.grid.angles}",
        ),
    ]
    problems = [problem for holds, problem in rules if not holds]
    if problems:
        raise ExperimentError(*problems)


def _simulate_chunk(
    patients: _Patients, seed: int, size: int, acquisition: int, parameters: PhantomParameters
) -> Exams:
    grid = polar_grid(parameters.grid, parameters.heart)
    # Anatomy and disease belong to the patient, scans and readings to the exam: two tracers see the same heart.
    streams = Streams(seed=seed, patients=patients.number, branches=np.zeros_like(patients.number))
    rows, tracer = _exam_rows(patients.tracers)
    anatomy = draw_anatomy(streams, patients.sex, parameters.heart, parameters.normals, parameters.imaging)
    disease = draw_disease(streams, patients.sex, patients.age, parameters.disease)
    subject = _Subject(
        tracer=tracer,
        sex=patients.sex[rows],
        anatomy=take_rows(anatomy, rows),
        disease=take_rows(disease, rows),
        streams=Streams(seed=seed, patients=patients.number[rows], branches=1 + tracer, acquisition=acquisition),
    )
    truth = _truth(grid, subject, parameters)
    stress, rest = scan_images(
        grid,
        subject.anatomy,
        (truth.stress, truth.rest),
        sex=subject.sex,
        tracer=tracer,
        hours=truth.hours,
        streams=subject.streams,
        size=size,
        parameters=parameters,
    )
    return Exams(
        patient=patients.number[rows],
        tracer=tracer,
        sex=subject.sex,
        age=patients.age[rows],
        test=patients.test[rows],
        stress=stress,
        rest=rest,
        has_stress=truth.has_stress,
        has_rest=truth.has_rest,
        disease=subject.disease,
        stress_deficits=grid.segment_means(truth.stress),
        rest_deficits=grid.segment_means(truth.rest),
        # Weighted by mass: a sample at the base is more myocardium than one at the apex.
        extent=((truth.stress >= parameters.labels.extent_deficit) * grid.mass).sum(axis=(1, 2)),
        scores=truth.scores,
        recorded_label=truth.recorded_label,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """The exams of a chunk before imaging."""

    tracer: Integers
    sex: Integers
    anatomy: Anatomy
    disease: Disease
    streams: Streams


@dataclass(frozen=True, slots=True, kw_only=True)
class _Truth:
    """The truth of each exam, independent of its scans."""

    hours: Floats
    """`[m]`, delay of the redistribution scan."""
    stress: Floats
    """`[m, R, A]`, lost part of the uptake, 0 to 1."""
    rest: Floats
    """`[m, R, A]`."""
    scores: Scores
    recorded_label: NDArray[np.int8]
    has_stress: NDArray[np.bool_]
    has_rest: NDArray[np.bool_]


def _truth(grid: PolarGrid, subject: _Subject, parameters: PhantomParameters) -> _Truth:
    z, u = subject.streams.draw(Stage.READING, normals=3 * parameters.labels.readers, uniforms=2)
    early, late = parameters.disease.redistribution_hours
    hours = early + (late - early) * u[:, 0]
    size = subject.anatomy.circumference_mm
    length = size * parameters.heart.length_to_circumference
    shapes = defect_shapes(grid, subject.disease, size, length, parameters.disease)
    stress, rest = deficits(shapes, subject.disease, subject.tracer, hours)
    scores = true_scores(grid.segment_means(stress), grid.segment_means(rest), subject.tracer, parameters.labels)
    # One uniform number decides both phases, so that no exam loses both.
    no_stress, no_rest = parameters.cohort.missing
    return _Truth(
        hours=hours,
        stress=stress,
        rest=rest,
        scores=scores,
        recorded_label=recorded_label(scores, subject.tracer, z, parameters.labels),
        has_stress=u[:, 1] >= no_stress,
        has_rest=(u[:, 1] < no_stress) | (u[:, 1] >= no_stress + no_rest),
    )


def _first_rows(exams: Exams, number: int) -> Exams:
    """The first `number` exams of a chunk."""
    if number == len(exams):
        return exams
    first = np.arange(number)
    nested: dict[str, Any] = {"disease": take_rows(exams.disease, first), "scores": take_rows(exams.scores, first)}
    arrays: dict[str, Any] = {name: getattr(exams, name)[first] for name in Exams.__slots__ if name not in nested}
    return Exams(**arrays, **nested)
