"""Instability measures against a naive reimplementation and closed forms."""

import numpy as np
import pytest

from orchestrator.statistics.instability import Instability


def test_measures_are_those_of_a_naive_loop():
    """Riley and Collins's measures, exam by exam in plain loops, in and out of the bag."""
    random = np.random.default_rng(0)
    original, samples = random.random(7), random.random((20, 7))
    in_bag = random.random((20, 7)) < 0.63
    in_bag[:, 0] = True
    found = Instability.of((original, original >= 0.5), (samples, samples >= 0.5), in_bag, 0.9)

    for exam in range(7):
        errors = [abs(samples[sample, exam] - original[exam]) for sample in range(20)]
        flips = [(samples[sample, exam] >= 0.5) != (original[exam] >= 0.5) for sample in range(20)]
        outside = [sample for sample in range(20) if not in_bag[sample, exam]]
        assert found.error[exam] == pytest.approx(sum(errors) / 20)
        assert found.flips[exam] == pytest.approx(sum(flips) / 20)
        assert found.low[exam] == pytest.approx(np.percentile(samples[:, exam], 5))
        assert found.high[exam] == pytest.approx(np.percentile(samples[:, exam], 95))
        if outside:
            assert found.error_out_of_bag[exam] == pytest.approx(np.mean([errors[sample] for sample in outside]))
            assert found.flips_out_of_bag[exam] == pytest.approx(np.mean([flips[sample] for sample in outside]))
    assert np.isnan(found.error_out_of_bag[0]), "a patient in every sample has no prediction from outside"


def test_a_procedure_that_always_gives_the_same_is_stable():
    """Equal predictions have no error and no flip; without thresholds nothing is said of decisions."""
    original = np.array([0.2, 0.7])
    samples = np.tile(original, (5, 1))
    found = Instability.of((original, None), (samples, None), np.zeros((5, 2), dtype=bool), 0.95)

    assert found.error.tolist() == [0, 0]
    assert np.isnan(found.flips).all()
    assert found.low.tolist() == found.high.tolist() == original.tolist()
