"""Saved networks: the same scores after a reload, and no file that runs code."""

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from mpi_model.errors import WeightsError
from mpi_model.prediction import predict_scores
from mpi_model.saved_model import load_description, load_network, save_network
from mpi_model.training import refit

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("heads", "inputs", "fusion", "end"),
    [
        ("tracer", "dual", "difference", None),
        ("shared", "rest", "concatenate", 2),
        ("separate", "dual", "concatenate", 3),
    ],
)
def test_a_reloaded_network_gives_identical_scores(
    heads: str, inputs: str, fusion: str, end: int | None, paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """A final model written today predicts the same tomorrow, from its two files alone, wherever its encoder ends."""
    maps, labels = paint(16, channels=3)
    recipe = make_recipe(heads=heads, inputs=inputs, fusion=fusion, dropout=0.2, encoder_stages=end)
    network = refit(maps, exams(labels, range(16)), recipe=recipe, steps=3, horizon=3, device=CPU)
    weights, document = save_network(network, {"threshold": {"Tc-99m": 0.5}})
    reloaded = load_network(weights, document)
    rows = np.arange(16)
    np.testing.assert_array_equal(
        predict_scores(reloaded, maps, rows, device=CPU), predict_scores(network, maps, rows, device=CPU)
    )
    assert load_description(document) == {"threshold": {"Tc-99m": 0.5}}
    assert reloaded.architecture == network.architecture
    assert len(reloaded.encoders[0].stages) == (end or 4)


def test_damaged_or_mismatched_files_are_refused(paint: Callable, exams: Callable, make_recipe: Callable) -> None:
    """A cut file, another network's weights or a newer format end in a message."""
    maps, labels = paint(8)
    training = exams(labels, range(8))
    stress, dual = (
        save_network(refit(maps, training, recipe=make_recipe(inputs=inputs), steps=0, horizon=1, device=CPU), {})
        for inputs in ("stress", "dual")
    )
    newer = json.dumps(json.loads(stress[1]) | {"format": 99})
    for weights, document in (
        (stress[0][:-9], stress[1]),
        (dual[0], stress[1]),
        (stress[0], stress[1][:40]),
        (stress[0], newer),
        (stress[0], '{"format": 1}'),
    ):
        with pytest.raises(WeightsError, match="models:"):
            load_network(weights, document)


def test_the_document_names_no_file_of_this_machine(paint: Callable, exams: Callable, make_recipe: Callable) -> None:
    """A model can be given away: the path of the weights it started from is not in it."""
    maps, labels = paint(8)
    recipe = make_recipe()
    network = refit(maps, exams(labels, range(8)), recipe=recipe, steps=0, horizon=1, device=CPU)
    _, document = save_network(network, {})
    assert "weights" not in json.loads(document)["architecture"]
