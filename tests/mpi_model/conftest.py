"""Painted exams with a known answer, and one thread, for every test of the network."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from mpi_model.determinism import single_threaded
from mpi_model.maps import FULL_SCALE, LabelledExams, Maps
from mpi_model.settings import Hyperparameters, NetworkSettings, TrainingSettings
from mpi_model.training import Recipe

PaintedExams = tuple[Maps, NDArray[np.int8]]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with single_threaded():
        yield


def _paint(count: int, *, size: int = 16, seed: int = 0, channels: int = 1, depth: float = 0.35) -> PaintedExams:
    """Discs of noisy uptake; the abnormal ones have a stress defect at the bottom, where the inferior wall is."""
    generator = np.random.default_rng(seed)
    axis = np.arange(size) - (size - 1) / 2
    radius = np.hypot(axis[:, None], axis) / (size / 2)
    labels = (np.arange(count) % 4 < 2).astype(np.int8)
    level = generator.uniform(0.6, 0.8, (count, 1, 1, 1))
    noise = generator.normal(0, 0.03, (2, count, channels, size, size))
    defect = depth * ((axis[:, None] > size / 8) & (abs(axis) < size / 4))
    rest = (level + noise[0]) * (radius <= 1)
    stress = (level + noise[1] - defect * labels[:, None, None, None]) * (radius <= 1)
    stored = [np.round(np.clip(phase, 0, 1) * FULL_SCALE).astype(np.uint16) for phase in (stress, rest)]
    acquired = np.ones(count, dtype=np.bool_)
    tracer = (np.arange(count) % 2).astype(np.int8)
    maps = Maps(stress=stored[0], rest=stored[1], has_stress=acquired, has_rest=acquired, tracer=tracer)
    return maps, labels


def _exams(labels: NDArray[np.int8], rows: NDArray[np.integer] | range) -> LabelledExams:
    rows = np.asarray(rows, dtype=np.int64)
    return LabelledExams(rows=rows, labels=labels[rows])


def _recipe(
    *,
    backbone: str = "compact",
    inputs: str = "stress",
    heads: str = "tracer",
    fusion: str = "concatenate",
    seed: int = 7,
    views_seed: int = 11,
    state: object = None,
    training: dict[str, object] | None = None,
    **hyperparameters: object,
) -> Recipe:
    weights = "random" if state is None else "weights.pth"
    return Recipe(
        inputs=inputs,
        network=NetworkSettings(backbone=backbone, weights=weights, heads=heads, fusion=fusion),
        training=TrainingSettings(**({"epochs": 2, "batch_size": 8, "budget": "best_epoch"} | (training or {}))),
        hyperparameters=Hyperparameters(**hyperparameters),
        seed=seed,
        views_seed=views_seed,
        state=state,
    )


@pytest.fixture(scope="session")
def paint() -> Callable[..., PaintedExams]:
    """`paint(count, size=, seed=, channels=, depth=)`: maps and labels, both classes of both tracers."""
    return _paint


@pytest.fixture(scope="session")
def exams() -> Callable[..., LabelledExams]:
    """`exams(labels, rows)`: some of the painted exams with their labels."""
    return _exams


@pytest.fixture(scope="session")
def make_recipe() -> Callable[..., Recipe]:
    """`make_recipe(backbone=, inputs=, ..., training={...}, **hyperparameters)`: a short training of `compact`."""
    return _recipe
