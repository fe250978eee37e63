"""How an epoch is cut into steps, and how learning rates move."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mpi_model.schedule import epoch_batches, horizon_steps, learning_rate_factor
from mpi_model.settings import TrainingSettings


@given(st.integers(1, 200), st.integers(1, 64))
def test_an_epoch_shows_every_exam_once_in_nearly_equal_batches(exams: int, size: int) -> None:
    """No exam is dropped or repeated, and no epoch ends in a batch of one."""
    batches = epoch_batches(exams, size, torch.Generator().manual_seed(0))
    sizes = [len(batch) for batch in batches]
    assert sorted(torch.cat(batches).tolist()) == list(range(exams))
    assert len(batches) == math.ceil(exams / size)
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    assert horizon_steps(exams, TrainingSettings(epochs=3, batch_size=size)) == 3 * len(batches)


def test_epochs_differ_and_their_generator_decides_them() -> None:
    """The order of exams is new in each epoch and repeats with the seed."""
    generator, again = (torch.Generator().manual_seed(1) for _ in range(2))
    first, second = (torch.cat(epoch_batches(50, 8, generator)).tolist() for _ in range(2))
    assert first != second
    assert torch.cat(epoch_batches(50, 8, again)).tolist() == first


def test_learning_rates_rise_then_fall_as_half_a_cosine() -> None:
    """A twentieth of the horizon up, then the cosine's known values down to zero."""
    factors = [learning_rate_factor(step, 200) for step in range(201)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == 1
    assert factors[10 + 95] == pytest.approx(0.5)
    assert factors[200] == pytest.approx(0)
    assert all(late <= early for early, late in itertools.pairwise(factors[10:]))
    assert min(factors[:200]) > 0


@pytest.mark.parametrize("horizon", [1, 2])
def test_the_shortest_trainings_still_learn(horizon: int) -> None:
    """A horizon of a step or two has positive rates."""
    assert all(learning_rate_factor(step, horizon) > 0 for step in range(horizon))
