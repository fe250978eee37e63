"""What several members say together: one model for AUC, probability and decision."""

import numpy as np
import pytest
from scipy.special import expit

from mpi_model.errors import StatisticsError
from orchestrator.cells.decision import Decision
from orchestrator.statistics.members import Model


def test_the_probability_is_the_calibration_of_the_mean_score() -> None:
    """Members share a calibration: the model's probability is that calibration, applied to the mean score."""
    scores = np.array([[-6.0, 0.3, 4.0], [2.5, 0.1, 9.0], [2.5, -0.7, 1.0]])
    decision = Decision(threshold=0.4, slope=0.7, intercept=-0.2)
    thresholds = np.full(scores.shape, decision.probability_threshold)
    model = Model.of(scores, decision.probability(scores), thresholds)

    assert model.probabilities == pytest.approx(decision.probability(scores.mean(axis=0)))
    assert model.positive is not None
    assert model.positive.tolist() == (scores.mean(axis=0) >= 0.4).tolist()


def test_a_single_member_is_the_model_bit_by_bit() -> None:
    """One network's scores, probabilities and thresholds come back unchanged, 0 and 1 included."""
    probabilities = np.array([[0.0, 1.0, 0.1, expit(50.0)]])
    model = Model.of(np.array([[-1.0, 2.0, 3.0, 50.0]]), probabilities, np.full((1, 4), 0.3))

    assert model.probabilities.tolist() == probabilities[0].tolist()
    assert model.thresholds.tolist() == [0.3] * 4


def test_without_probability_or_threshold_nothing_is_decided() -> None:
    """A missing value is no decision, and members of other shapes are no members."""
    scores = np.zeros((2, 3))
    nothing = np.full((2, 3), np.nan)

    assert Model.of(scores, nothing, np.full((2, 3), 0.5)).positive is None
    assert Model.of(scores, np.full((2, 3), 0.5), nothing).positive is None
    with pytest.raises(StatisticsError, match="one shape"):
        Model.of(scores, np.zeros((2, 2)), scores)
