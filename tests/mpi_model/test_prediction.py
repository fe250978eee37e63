"""Prediction: a score belongs to its exam."""

from collections.abc import Callable

import numpy as np
import rounding
import torch

from mpi_model.network import build_network
from mpi_model.prediction import predict_scores
from mpi_model.settings import NetworkSettings

CPU = torch.device("cpu")


def test_scores_follow_their_rows_whatever_the_batch(paint: Callable) -> None:
    """More exams than a batch, in any order, with the network left in training mode: same scores."""
    maps, _ = paint(150)
    settings = NetworkSettings(backbone="compact", weights="random")
    network = build_network(settings, "stress", image_channels=1, dropout=0.5, seed=0, state=None).train()
    rows = np.random.default_rng(0).permutation(150)
    scores = predict_scores(network, maps, rows, device=CPU)
    assert network.training
    one_by_one = [predict_scores(network, maps, np.array([row]), device=CPU)[0] for row in rows[:5]]
    bound = rounding.through(network) * np.abs(scores).max()
    assert bound < np.diff(np.sort(scores)).mean()  # another exam's score is farther off
    np.testing.assert_allclose(scores[:5], one_by_one, rtol=0, atol=bound)
    in_order = predict_scores(network, maps, np.arange(150), device=CPU)
    np.testing.assert_allclose(scores[np.argsort(rows)], in_order, rtol=0, atol=bound)
    assert scores.dtype == np.float64


def test_prediction_moves_no_statistic_of_the_network(paint: Callable) -> None:
    """Looking at test exams leaves the network as it was, bit for bit."""
    maps, _ = paint(10)
    settings = NetworkSettings(backbone="compact", weights="random")
    network = build_network(settings, "stress", image_channels=1, dropout=0.0, seed=0, state=None).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    predict_scores(network, maps, np.arange(10), device=CPU)
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())
