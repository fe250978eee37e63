"""A cohort as a whole: sizes, reproducibility, independence of the patients, refusals."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from mpi_model.errors import ExperimentError
from orchestrator.phantom.cohort import CHUNK, Exams, simulate
from orchestrator.phantom.parameters import GridParameters, PhantomParameters


def everything(exams: Exams) -> list[np.ndarray]:
    """Every array of a chunk, disease and scores included."""
    nested = [exams.disease, exams.scores]
    plain = [getattr(exams, field.name) for field in fields(exams) if field.name not in ("disease", "scores")]
    return plain + [getattr(record, field.name) for record in nested for field in fields(record)]


def test_a_patient_is_the_same_in_a_cohort_of_any_size() -> None:
    """Protects patient i's maps and truth, to the last bit, against the number of patients."""
    few = next(simulate(patients=3, seed=11))
    many = next(simulate(patients=CHUNK + 40, seed=11))
    for short, long in zip(everything(few), everything(many), strict=True):
        assert np.array_equal(short, long[: len(few)])


def test_chunks_continue_the_cohort() -> None:
    """Protects the seam between chunks: every patient once, in order, and no chunk repeats another."""
    first, second = simulate(patients=CHUNK + 40, seed=11, size=16)
    assert sorted(set(first.patient) | set(second.patient)) == list(range(CHUNK + 40))
    assert not set(first.patient) & set(second.patient)
    assert len(np.unique(np.concatenate([first.stress, second.stress]), axis=0)) == len(first) + len(second)


def test_seeds_and_acquisitions_differ_where_they_should() -> None:
    """Protects repeat scans: another acquisition has the same truth and other counts; another seed nothing."""
    one, again, other = (
        next(simulate(patients=20, size=16, seed=seed, acquisition=take)) for seed, take in ((1, 0), (1, 1), (2, 0))
    )
    assert np.array_equal(one.stress_deficits, again.stress_deficits)
    assert np.array_equal(one.recorded_label, again.recorded_label)
    assert not (one.stress == again.stress).all(axis=(1, 2)).any()
    assert not np.array_equal(one.age, other.age)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_default_sizes_are_those_of_the_reference_study(seed: int) -> None:
    """Protects the default cohort: about 170 and 300 development, 23 and 110 test exams, some of both tracers."""
    chunks = list(simulate(seed=seed, size=16))
    tracer, test = (np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in ("tracer", "test"))
    sizes = [int(np.sum((tracer == index) & (test == part))) for part in (False, True) for index in (0, 1)]
    assert sizes == pytest.approx([170, 300, 23, 110], abs=12)
    patient = np.concatenate([chunk.patient for chunk in chunks])
    assert 0.03 < 1.0 - len(np.unique(patient)) / len(patient) < 0.1
    missing = [np.mean(~np.concatenate([getattr(c, name) for c in chunks])) for name in ("has_stress", "has_rest")]
    assert 0.0 < missing[0] < missing[1] < 0.1
    assert not any((~chunk.has_stress & ~chunk.has_rest).any() for chunk in chunks)


def test_a_patients_exams_are_in_one_partition_and_of_one_disease() -> None:
    """Protects patients with two exams: same partition, sex, age and stress deficits under either tracer."""
    exams = next(simulate(patients=60, size=16, tracer_mix={}))
    technetium, thallium = exams.tracer == 0, exams.tracer == 1
    for name in ("patient", "test", "sex", "age", "stress_deficits"):
        values = getattr(exams, name)
        assert np.array_equal(values[technetium], values[thallium])


def test_the_mix_gives_the_shares() -> None:
    """Protects `tracer_mix`: shares of patients with one tracer alone, the rest with both."""
    chunks = list(simulate(patients=500, size=16, tracer_mix={"Tc-99m": 0.5, "Tl-201": 0.2}))
    tracers = [set(chunk.tracer[chunk.patient == number]) for chunk in chunks for number in set(chunk.patient)]
    shares = [sum(found == kind for found in tracers) / 500 for kind in ({0}, {1}, {0, 1})]
    assert shares == pytest.approx([0.5, 0.2, 0.3], abs=0.02)


def test_the_polar_grid_is_a_parameter() -> None:
    """Protects other sampling grids: the same patients and nearly the same truth on a finer one."""
    fine = replace(PhantomParameters(), grid=GridParameters(rings=32, angles=64))
    coarse, finer = next(simulate(patients=30, size=32)), next(simulate(patients=30, size=32, parameters=fine))
    assert finer.stress_deficits == pytest.approx(coarse.stress_deficits, abs=0.06)


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: simulate(patients=0), "patients must be 1 to"),
    (lambda: simulate(patients=-5), "not -5"),
    (lambda: simulate(seed=-1), "seed must not be negative"),
    (lambda: simulate(size=-64), "size must be 16 to 1024 pixels, not -64"),
    (lambda: simulate(tracer_mix={"Tc-99m": 0.8, "Tl-201": 0.3}), "add up to at most 1"),
    (lambda: simulate(tracer_mix={"Tc-99m": -0.1}), "shares of 0 to 1"),
    (lambda: simulate(tracer_mix={"Tc-99m": float("nan")}), "shares of 0 to 1"),
    (lambda: simulate(tracer_mix={"F-18": 0.5}), "names 'F-18'"),
    (lambda: simulate(parameters=replace(PhantomParameters(), grid=GridParameters(angles=47))), "even number"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_bad_arguments_are_refused_before_anything_is_simulated(call: Callable[[], object], message: str) -> None:
    """Protects users from a late or silent failure: the rule and the value, on the call itself."""
    with pytest.raises(ExperimentError, match=message):
        call()


def test_all_problems_come_together() -> None:
    """Protects users from mending one argument at a time."""
    with pytest.raises(ExperimentError) as caught:
        simulate(patients=0, seed=-1, size=1)
    assert len(caught.value.problems) == 3
