"""A cohort, chunk by chunk: who the patients are, what is true of them, and what their scans show."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mpi_model.errors import ExperimentError
from mpi_model.vocabulary import TRACERS
from orchestrator.phantom.disease import Disease, defect_shapes, deficits, draw_disease
from orchestrator.phantom.geometry import DiscSampler, PolarGrid, disc_sampler, paint, polar_grid
from orchestrator.phantom.imaging import SCAN_NORMALS, SCAN_UNIFORMS, acquire, draw_scan
from orchestrator.phantom.labels import Scores, recorded_label, true_scores
from orchestrator.phantom.normals import Anatomy, draw_anatomy, normal_uptake
from orchestrator.phantom.parameters import PhantomParameters
from orchestrator.phantom.patients import Patients, draw_patients, exam_rows
from orchestrator.phantom.streams import Floats, Integers, Stage, Streams

CHUNK: Final = 128
"""Patients simulated together. The last chunk is simulated whole and then cut, so that the arithmetic of a
patient, to the last bit, does not depend on how many patients follow."""
LARGEST_COUNT: Final = 65535
MOST_PATIENTS: Final = 10_000_000
SIZES: Final = (16, 1024)


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
    """`[m, size, size]`, counts; for Tl-201 the redistribution scan."""
    has_stress: NDArray[np.bool_]
    """`[m]`, whether the phase was acquired; `stress` and the truth are there all the same."""
    has_rest: NDArray[np.bool_]
    """`[m]`, as `has_stress`."""
    disease: Disease
    """The patients' disease, a row an exam."""
    stress_deficits: Floats
    """`[m, 17]`, true mean deficit of each segment, 0 to 1."""
    rest_deficits: Floats
    """`[m, 17]`."""
    extent: Floats
    """`[m]`, part of the myocardium with a stress deficit."""
    scores: Scores
    """True scores and labels."""
    recorded_label: NDArray[np.int8]
    """`[m]`, the label a reader wrote down."""

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
    """Simulate a cohort, a chunk of patients at a time.

    Args:
        patients: Number of patients; by default as many as give the sizes of the reference study.
        tracer_mix: Share of patients studied with one tracer alone; what is left to one had both.
        seed: Patient i of a seed has the same maps and truth in a cohort of any size.
        size: Pixels along an edge of the square images.
        acquisition: Another number scans the same patients once more: other noise, registration and spill.
        parameters: Every number of the phantom.

    Yields:
        The exams of up to `CHUNK` patients.

    Raises:
        ExperimentError: An argument is out of its range.
    """
    parameters = _with_mix(parameters or PhantomParameters(), tracer_mix)
    number = parameters.cohort.patients if patients is None else patients
    _check(number, seed, size, acquisition, parameters)
    return _chunks(number, seed, size, acquisition, parameters)


def _chunks(patients: int, seed: int, size: int, acquisition: int, parameters: PhantomParameters) -> Iterator[Exams]:
    for first in range(0, patients, CHUNK):
        people = draw_patients(np.arange(first, first + CHUNK), seed, parameters.cohort)
        exams = _simulate_chunk(people, seed, size, acquisition, parameters)
        yield _first_rows(exams, int(np.count_nonzero(exams.patient < patients)))


def _with_mix(parameters: PhantomParameters, mix: Mapping[str, float] | None) -> PhantomParameters:
    if mix is None:
        return parameters
    unknown = [name for name in mix if name not in TRACERS]
    if unknown:
        raise ExperimentError(f"tracer_mix names {unknown[0]!r}; it may name {' and '.join(TRACERS)}")
    shares = (float(mix.get(TRACERS[0], 0.0)), float(mix.get(TRACERS[1], 0.0)))
    return replace(parameters, cohort=replace(parameters.cohort, tracer_only=shares))


def _check(patients: int, seed: int, size: int, acquisition: int, parameters: PhantomParameters) -> None:
    shares = parameters.cohort.tracer_only
    low, high = SIZES
    rules = [
        (1 <= patients <= MOST_PATIENTS, f"patients must be 1 to {MOST_PATIENTS}, not {patients}"),
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


def _simulate_chunk(people: Patients, seed: int, size: int, acquisition: int, parameters: PhantomParameters) -> Exams:
    grid = polar_grid(parameters.grid, parameters.heart)
    streams = Streams(seed=seed, patients=people.number, branches=np.zeros_like(people.number))
    rows, tracer = exam_rows(people.tracers)
    subject = _Subject(
        tracer=tracer,
        sex=people.sex[rows],
        anatomy=draw_anatomy(streams, people.sex, parameters.heart, parameters.normals, parameters.imaging).at(rows),
        disease=draw_disease(streams, people.sex, people.age, parameters.disease).at(rows),
        streams=Streams(seed=seed, patients=people.number[rows], branches=1 + tracer, acquisition=acquisition),
    )
    truth = _truth(grid, subject, parameters)
    stress, rest = _scans(grid, subject, truth, disc_sampler(parameters.grid, size), parameters)
    return Exams(
        patient=people.number[rows],
        tracer=tracer,
        sex=subject.sex,
        age=people.age[rows],
        test=people.test[rows],
        stress=stress,
        rest=rest,
        has_stress=truth.has_stress,
        has_rest=truth.has_rest,
        disease=subject.disease,
        stress_deficits=grid.segment_means(truth.stress),
        rest_deficits=grid.segment_means(truth.rest),
        extent=((truth.stress >= parameters.labels.extent_deficit) * grid.mass).sum(axis=(1, 2)),
        scores=truth.scores,
        recorded_label=truth.recorded_label,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """The exams of a chunk before anything is imaged."""

    tracer: Integers
    sex: Integers
    anatomy: Anatomy
    disease: Disease
    streams: Streams


@dataclass(frozen=True, slots=True, kw_only=True)
class _Truth:
    """What holds of each exam, whatever its scans show."""

    hours: Floats
    stress: Floats
    rest: Floats
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


def _scans(
    grid: PolarGrid, subject: _Subject, truth: _Truth, sampler: DiscSampler, parameters: PhantomParameters
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Stress and rest images `[m, size, size]`."""
    samples = grid.radius.size
    block = SCAN_NORMALS + samples
    z, u = subject.streams.draw(Stage.SCAN, normals=2 * block, uniforms=2 * SCAN_UNIFORMS)
    washout = np.where(subject.tracer == 1, np.log(2.0) / parameters.disease.washout_half_life_hours[0], 0.0)
    images = []
    for phase, deficit in enumerate((truth.stress, truth.rest)):
        mine = z[:, phase * block : (phase + 1) * block]
        counts = _one_scan(
            grid,
            subject,
            deficit,
            phase,
            mine,
            u[:, phase * SCAN_UNIFORMS : (phase + 1) * SCAN_UNIFORMS],
            np.exp(-washout * truth.hours * phase),
            parameters,
        )
        images.append(np.minimum(np.rint(paint(counts, sampler)), LARGEST_COUNT).astype(np.uint16))
    return images[0], images[1]


def _one_scan(
    grid: PolarGrid,
    subject: _Subject,
    deficit: Floats,
    phase: int,
    z: Floats,
    u: Floats,
    held: Floats,
    parameters: PhantomParameters,
) -> Floats:
    scan = draw_scan(z[:, :SCAN_NORMALS], u, subject.tracer, phase, parameters.imaging, parameters.normals)
    normal = normal_uptake(grid, subject.anatomy, subject.sex, subject.tracer, scan.variation, parameters.normals)
    return acquire(
        grid,
        normal * (1.0 - deficit),
        scan,
        z[:, SCAN_NORMALS:].reshape(-1, *grid.shape),
        tracer=subject.tracer,
        circumference_mm=subject.anatomy.circumference_mm,
        held=held,
        heart=parameters.heart,
        imaging=parameters.imaging,
    )


def _first_rows(exams: Exams, number: int) -> Exams:
    """The first `number` exams of a chunk."""
    if number == len(exams):
        return exams
    scores = Scores(**{name: getattr(exams.scores, name)[:number] for name in Scores.__slots__})
    cut = {name: getattr(exams, name)[:number] for name in Exams.__slots__ if name not in ("disease", "scores")}
    return Exams(**cut, disease=exams.disease.at(np.arange(number)), scores=scores)
