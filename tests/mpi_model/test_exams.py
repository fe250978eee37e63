"""Inputs: a function of the declared phases of an exam, and of nothing else."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mpi_model.errors import CohortError
from mpi_model.exams import input_tensor

ROWS = np.array([3, 0, 5])


@pytest.mark.parametrize(("inputs", "hidden"), [("stress", "rest"), ("rest", "stress")])
def test_the_other_phase_cannot_leak_into_an_input(inputs: str, hidden: str, paint: Callable) -> None:
    """Replacing every map of the undeclared phase changes no bit of the input."""
    maps, _ = paint(6)
    changed = replace(maps, **{hidden: 65535 - getattr(maps, hidden)})
    np.testing.assert_array_equal(input_tensor(maps, ROWS, inputs), input_tensor(changed, ROWS, inputs))


def test_other_exams_cannot_leak_into_an_input(paint: Callable) -> None:
    """Nothing is fitted across patients: an exam's input is the same alone and among others."""
    maps, _ = paint(6)
    together, alone = input_tensor(maps, ROWS, "dual"), input_tensor(maps, ROWS[:1], "dual")
    np.testing.assert_array_equal(together[:1], alone)


def test_dual_input_is_stress_then_rest_on_a_scale_of_one(paint: Callable) -> None:
    """The phases keep their order, the rows theirs, and full scale is one."""
    maps, _ = paint(6)
    expected = np.stack((maps.stress[ROWS], maps.rest[ROWS]), axis=1) / 65535
    np.testing.assert_allclose(input_tensor(maps, ROWS, "dual"), expected, rtol=1e-6)


def test_a_phase_that_was_not_acquired_is_refused(paint: Callable) -> None:
    """An exam without a rest map never enters a dual training as a black image."""
    maps, _ = paint(6)
    lacking = replace(maps, has_rest=np.arange(6) != 5)
    assert len(input_tensor(lacking, ROWS, "stress")) == 3
    with pytest.raises(CohortError, match="rest map, which 1 of 3"):
        input_tensor(lacking, ROWS, "dual")
