"""Small cohorts that are hard in the way of the clinic: 60 to 150 patients a task, several exams each.

Each has two tracers with a task of its own, as a department has, and comes from one of five sources: the phantom with
repeated scans, the halved SPECTF patients, scikit-learn's handwritten digits and tables of measurements painted as
maps, and smooth random fields with a weak local effect. All but SPECTF need no file; everything is drawn from a seed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter, zoom
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

from mpi_model.maps import FULL_SCALE, Maps
from mpi_model.vocabulary import TRACERS
from orchestrator.cohort.segments import SEGMENTS_15
from orchestrator.importers.painting import painting_basis
from orchestrator.importers.spectf import _read_spectf
from orchestrator.importers.spectf_painting import segment_values
from orchestrator.phantom.cohort import simulate

SIZE = 48
Floats = NDArray[np.float64]
Task = tuple[Floats, Floats, NDArray[np.int8], NDArray[np.int64]]
"""Stress and rest maps `[n, SIZE, SIZE]` in 0..1, labels `[n]` and patients `[n]` of one tracer's exams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallCohort:
    """A cohort of both tracers; rows of `maps`, `labels` and `patients` are the same exam."""

    name: str
    maps: Maps
    labels: NDArray[np.int8]
    """`[N]`, 0 or 1."""
    patients: NDArray[np.int64]
    """`[N]`, numbers; no patient has both tracers."""


def small_cohorts(spectf: Path | None, seed: int = 0) -> Iterator[SmallCohort]:
    """All cohorts, one after another.

    Args:
        spectf: The folder with `SPECTF.train` and `SPECTF.test`; None leaves these patients out.
        seed: Draws everything.
    """
    builders: list[tuple[str, Callable[[np.random.Generator], list[Task]]]] = [
        ("phantom-90-130", lambda rng: _phantom(rng, (90, 130), ("recorded", "recorded"))),
        ("digits-parity", lambda rng: _digits(rng, ((92, (0, 2, 4, 6, 8), 0.9), (132, (0, 1, 2, 3, 4), 0.9)))),
        ("tables", lambda rng: [_table(rng, load_breast_cancer(), 3.0, 95), _table(rng, load_diabetes(), 0.5, 140)]),
        ("fields-90-130", lambda rng: [_fields(rng, 90, 0.3, 0.45), _fields(rng, 130, 0.45, 0.4)]),
        ("phantom-60-75", lambda rng: _phantom(rng, (60, 75), ("recorded", "ischaemia"))),
        ("digits-shapes", lambda rng: _digits(rng, ((70, (3, 5, 8), 1.0), (110, (4, 7, 9), 1.0)))),
        ("phantom-150-70", lambda rng: _phantom(rng, (150, 70), ("scar", "recorded"))),
        ("tables-noisy", lambda rng: [_table(rng, load_wine(), 1.5, 75), _table(rng, load_breast_cancer(), 4.0, 120)]),
        ("fields-dim", lambda rng: [_dim(_fields(rng, 80, 0.4, 0.5)), _dim(_fields(rng, 120, 0.3, 0.5))]),
        ("digits-dim", lambda rng: list(map(_dim, _digits(rng, ((91, (1, 4, 7), 1.0), (132, (0, 6, 8), 1.3)))))),
        ("phantom-110-60", lambda rng: _phantom(rng, (110, 60), ("ischaemia", "scar"))),
    ]  # fmt: skip
    if spectf is not None:
        builders.insert(4, ("spectf-halves", lambda rng: _spectf(rng, spectf)))
    yield from _drawn(builders, seed)


def larger_cohorts(seed: int = 1) -> Iterator[SmallCohort]:
    """Four of the sources again with 220 to 300 patients a task, drawn anew and with other questions."""
    yield from _drawn(
        [
            ("phantom-220-260", lambda rng: _phantom(rng, (220, 260), ("recorded", "ischaemia"))),
            ("digits-220-300", lambda rng: _digits(rng, ((220, (1, 3, 5, 7, 9), 0.9), (300, (2, 5, 6), 1.0)))),
            (
                "tables-220-300",
                lambda rng: [_table(rng, load_diabetes(), 0.5, 220), _table(rng, load_breast_cancer(), 3.0, 300)],
            ),
            ("fields-220-260", lambda rng: [_fields(rng, 220, 0.3, 0.45), _fields(rng, 260, 0.45, 0.4)]),
        ],
        seed,
    )


def _drawn(builders: list[tuple[str, Callable[[np.random.Generator], list[Task]]]], seed: int) -> Iterator[SmallCohort]:
    for number, (name, build) in enumerate(builders):
        yield _joined(name, build(np.random.default_rng([seed, number])))


def _joined(name: str, tasks: list[Task]) -> SmallCohort:
    """Both tasks in one cohort, a tracer each."""
    assert len(tasks) == len(TRACERS)
    stress, rest, labels, patients = (np.concatenate(parts) for parts in zip(*tasks, strict=True))
    tracer = np.repeat(np.arange(len(tasks)), [len(task[2]) for task in tasks])
    here = np.ones(len(labels), dtype=np.bool_)
    pixels = (np.rint(images.clip(0, 1) * FULL_SCALE).astype(np.uint16)[:, None] for images in (stress, rest))
    stress, rest = pixels
    return SmallCohort(
        name=name,
        maps=Maps(stress=stress, rest=rest, has_stress=here, has_rest=here, tracer=tracer.astype(np.int8)),
        labels=labels.astype(np.int8),
        patients=patients + 10_000 * tracer,
    )


def _exams(rng: np.random.Generator, patients: int) -> NDArray[np.int64]:
    """Patients of the exams: two or three each."""
    return np.repeat(np.arange(patients), rng.choice((2, 3), size=patients, p=(0.2, 0.8)))


def _phantom(rng: np.random.Generator, patients: tuple[int, int], endpoints: tuple[str, str]) -> list[Task]:
    """Simulated patients scanned two or three times; each map in counts of its own maximum."""
    tasks = []
    for tracer, count, endpoint in zip(TRACERS, patients, endpoints, strict=True):
        seed = int(rng.integers(2**31))
        scans = [list(simulate(patients=count, tracer_mix={tracer: 1.0}, seed=seed, size=SIZE, acquisition=scan))
                 for scan in range(3)]  # fmt: skip
        first = scans[0]
        truth = {
            "recorded": np.concatenate([part.recorded_label for part in first]),
            "ischaemia": np.concatenate([part.scores.summed_stress - part.scores.summed_rest for part in first]) >= 3,
            "scar": np.concatenate([part.scores.summed_rest for part in first]) >= 3,
        }[endpoint]
        person = _exams(rng, count)
        scan = np.concatenate([np.arange(many) for many in np.bincount(person)])
        maps = []
        for phase in ("stress", "rest"):
            counts = np.stack([np.concatenate([getattr(part, phase) for part in parts]) for parts in scans])
            chosen = counts[scan, person].astype(np.float64)
            maps.append(chosen / chosen.max(axis=(1, 2), keepdims=True))
        tasks.append((*maps, truth[person].astype(np.int8), person))
    return tasks


def _spectf(rng: np.random.Generator, folder: Path) -> list[Task]:
    """The SPECTF patients in two halves, display-scaled."""
    sides = [_read_spectf(folder / name) for name in ("SPECTF.train", "SPECTF.test")]
    labels = np.concatenate([side.labels for side in sides])
    basis = painting_basis(SIZE, SEGMENTS_15)
    phases = [np.concatenate([getattr(side, phase) for side in sides]) for phase in ("stress", "rest")]
    stress, rest = (np.tensordot(segment_values(counts), basis, axes=1) / 100 for counts in phases)
    halves = np.array_split(rng.permutation(len(labels)), 2)
    return [(stress[half], rest[half], labels[half], np.arange(len(half))) for half in halves]


def _digits(rng: np.random.Generator, tasks: tuple[tuple[int, tuple[int, ...], float], ...]) -> list[Task]:
    """Handwritten digits in a person's own slant: is the digit one of a set? Noise of a given strength."""
    images, digits = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8) / 16
    found = []
    for patients, positives, noise in tasks:
        person = _exams(rng, patients)
        digit = rng.integers(10, size=patients)[person]
        maps = [np.stack([images[rng.choice(np.flatnonzero(digits == one))] for one in digit]) for _ in range(2)]
        slants = rng.normal(0, 0.15, (patients, 2, 2))[person]
        stress = _photographed(rng, maps[0], slants, 0.35, noise)
        rest = _photographed(rng, maps[1], slants, 0.25, noise)
        found.append((stress, rest, np.isin(digit, positives).astype(np.int8), person))
    return found


def _photographed(rng: np.random.Generator, digits: Floats, slants: Floats, contrast: float, noise: float) -> Floats:
    """Digits slanted, enlarged and covered by smooth noise, on a disc."""
    centre = np.array([3.5, 3.5])
    seen = []
    for digit, slant in zip(digits, slants, strict=True):
        matrix = np.eye(2) + slant
        turned = affine_transform(digit, matrix, offset=centre - matrix @ centre, order=1)
        seen.append(zoom(turned, SIZE / 8, order=1))
    grain = _smooth(rng, len(digits), 2.0)
    return (0.35 + contrast * np.stack(seen) + noise * 0.1 * grain).clip(0, 1) * _disc()


def _table(rng: np.random.Generator, table: object, noise: float, patients: int) -> Task:
    """A table of measurements, a cell of a ring-and-sector grid each, measured anew at every exam."""
    features, target = table.data, table.target  # type: ignore[attr-defined]
    labels = target > np.median(target) if len(np.unique(target)) > 3 else target == 1
    order = rng.permutation(len(labels))[:patients]
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    person = _exams(rng, len(order))
    basis = _cells(features.shape[1])
    stress, rest = (
        np.tensordot(features[order][person] + scale * rng.normal(size=(len(person), features.shape[1])), basis, 1)
        for scale in (noise, 2 * noise)
    )
    disc = _disc()
    own = [(0.6 + 0.08 * gaussian_filter(maps, (0, 1.5, 1.5)) + 0.02 * _smooth(rng, len(maps), 1.0)) * disc
           for maps in (stress, rest)]  # fmt: skip
    return own[0].clip(0, 1), own[1].clip(0, 1), labels[order][person].astype(np.int8), person


def _fields(rng: np.random.Generator, patients: int, prevalence: float, effect: float) -> Task:
    """Smooth random maps of a patient and an exam, dimmed a little at two places where the patient is ill."""
    person = _exams(rng, patients)
    ill = rng.random(patients) < prevalence
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    places = rng.uniform(-0.5, 0.5, (2, 2))
    pattern = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / 0.05) for a, b in places)
    depth = (effect * rng.gamma(4, 0.25, patients) * ill)[person, None, None]
    anatomy = _smooth(rng, patients, 6.0)[person]
    stress = 0.65 - 0.1 * depth * 3 * pattern + 0.07 * anatomy + 0.05 * _smooth(rng, len(person), 3.0)
    rest = 0.65 - 0.05 * depth * 3 * pattern + 0.07 * anatomy + 0.05 * _smooth(rng, len(person), 3.0)
    return (stress * _disc()).clip(0, 1), (rest * _disc()).clip(0, 1), ill[person].astype(np.int8), person


def _dim(task: Task) -> Task:
    """The same maps with a third of the contrast, on a light ground: a display window chosen badly."""
    stress, rest, labels, patients = task
    return 0.5 + stress / 3, 0.5 + rest / 3, labels, patients


def _smooth(rng: np.random.Generator, count: int, width: float) -> Floats:
    """Gaussian fields of unit variance and a given width in pixels: `[count, SIZE, SIZE]`."""
    fields = gaussian_filter(rng.normal(size=(count, SIZE, SIZE)), (0, width, width), mode="wrap")
    smooth: Floats = fields / fields.std()
    return smooth


def _disc() -> Floats:
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    inside: Floats = (x**2 + y**2 <= 1).astype(np.float64)
    return inside


def _cells(count: int) -> Floats:
    """Indicators of `count` cells of the disc, ring by ring: `[count, SIZE, SIZE]`."""
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    rings = 2 if count < 20 else 3
    sectors = -(-count // rings)
    ring = np.minimum((np.hypot(x, y) * rings).astype(int), rings - 1)
    sector = np.minimum(((np.arctan2(y, x) + np.pi) / (2 * np.pi) * sectors).astype(int), sectors - 1)
    cell = ring * sectors + sector
    return np.stack([(cell == number).astype(np.float64) for number in range(count)])
