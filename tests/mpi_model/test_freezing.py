"""Freezing: what is frozen keeps its bits, what is not learns."""

from collections.abc import Callable

import pytest
import torch

from mpi_model.errors import ExperimentError, SpaceError
from mpi_model.freezing import freeze, parameter_groups
from mpi_model.network import build_network
from mpi_model.settings import Hyperparameters, NetworkSettings
from mpi_model.stages import backbone
from mpi_model.training import refit

CPU = torch.device("cpu")
COMPACT = NetworkSettings(backbone="compact", weights="random", heads="separate")
# Every depth of two families, one depth of each large one; their other depths are slow, and the same code.
CASES = [
    pytest.param(name, depth, marks=[] if name in {"compact", "resnet18"} or depth == 2 else pytest.mark.slow)
    for name in ("compact", "resnet18", "vgg16_bn", "efficientnet_b0")
    for depth in range(backbone(name).stage_count + 1)
] + [("efficientnet_lite0", depth) for depth in (0, 1, 9, 18)]


@pytest.mark.parametrize(("name", "depth"), CASES)
def test_training_changes_exactly_the_stages_that_are_not_frozen(
    name: str, depth: int, paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """At every depth of every family, frozen weights and batch-norm statistics keep their bits; others move."""
    maps, labels = paint(4, size=backbone(name).smallest_image)
    recipe = make_recipe(backbone=name, inputs="dual", freeze_depth=depth, training={"batch_size": 4})
    before, after = (
        refit(maps, exams(labels, range(4)), recipe=recipe, steps=steps, horizon=2, device=CPU) for steps in (0, 1)
    )
    for number, stage in enumerate(before.encoders[0].stages):
        trained = after.encoders[0].stages[number].state_dict()
        same = [torch.equal(trained[key], value) for key, value in stage.state_dict().items()]
        assert all(same) if number < depth else not any(same)
    assert not torch.equal(before.heads.linear.weight, after.heads.linear.weight)


@pytest.mark.parametrize("depth", range(5))
def test_no_call_of_train_thaws_batch_norm(depth: int) -> None:
    """Statistics stand still whichever part of the network is put into training mode."""
    network = build_network(COMPACT, "stress", image_channels=1, dropout=0.0, seed=0, state=None)
    freeze(network, depth)
    encoder = network.encoders[0]
    before = {key: value.clone() for key, value in encoder.stages[:depth].state_dict().items()}
    for part in (network, network.encoders, encoder, encoder.stages, *encoder.stages):
        part.train()
        network(torch.rand(4, 1, 1, 16, 16), torch.zeros(4, dtype=torch.int64))
    after = encoder.stages[:depth].state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_frozen_stages_run_without_a_gradient_graph() -> None:
    """A frozen prefix costs a forward pass and no memory for a backward one."""
    network = build_network(COMPACT, "stress", image_channels=1, dropout=0.0, seed=0, state=None)
    freeze(network, 2)
    stages = network.encoders[0].stages
    features = stages[1](stages[0](torch.rand(2, 1, 16, 16, requires_grad=True)))
    assert not features.requires_grad
    assert stages[2](features).requires_grad


def test_groups_hold_every_learning_parameter_once_with_its_own_rate() -> None:
    """Encoder and heads learn at their own rates; norms and biases are not decayed; the frozen are left out."""
    network = build_network(COMPACT, "stress", image_channels=1, dropout=0.0, seed=0, state=None)
    freeze(network, 1)
    chosen = Hyperparameters(encoder_learning_rate=1e-4, head_learning_rate=2e-3, weight_decay=0.3)
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in parameter_groups(network, chosen)
        for parameter in group["params"]
    }
    expected = {
        id(parameter): (2e-3 if name.startswith("heads") else 1e-4, 0.3 if parameter.ndim > 1 else 0.0)
        for name, parameter in network.named_parameters()
        if ".stages.0." not in name
    }
    assert found == expected


def test_layer_decay_slows_each_stage_against_the_next() -> None:
    """With a decay of a half the rates double from stage to stage up to the encoder's own; heads keep theirs."""
    network = build_network(COMPACT, "stress", image_channels=1, dropout=0.0, seed=0, state=None)
    freeze(network, 1)
    chosen = Hyperparameters(encoder_learning_rate=8e-4, head_learning_rate=2e-3, layer_decay=0.5)
    rates = {id(item): group["lr"] for group in parameter_groups(network, chosen) for item in group["params"]}
    for encoder in network.encoders:
        for stage, rate in zip(encoder.stages[1:], (2e-4, 4e-4, 8e-4), strict=True):
            assert {rates.pop(id(parameter)) for parameter in stage.parameters()} == {rate}
    assert set(rates.values()) == {2e-3}


def test_a_wholly_frozen_encoder_has_no_group_and_needs_no_rate() -> None:
    """At full depth only the heads learn, and the encoder's rate may be absent."""
    network = build_network(COMPACT, "stress", image_channels=1, dropout=0.0, seed=0, state=None)
    freeze(network, 4)
    groups = parameter_groups(network, Hyperparameters(encoder_learning_rate=None, freeze_depth=4))
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in network.heads.parameters()}


def test_a_learning_encoder_without_a_rate_is_refused() -> None:
    """A space that forgets the encoder's rate is an error, not an encoder that never learns."""
    network = build_network(COMPACT, "stress", image_channels=1, dropout=0.0, seed=0, state=None)
    freeze(network, 3)
    with pytest.raises(ExperimentError, match="encoder_learning_rate"):
        parameter_groups(network, Hyperparameters(encoder_learning_rate=None, freeze_depth=3))


def test_thawing_gives_the_stages_back_and_too_great_a_depth_is_refused() -> None:
    """Freeze depth is a setting that can be changed, within the stages there are."""
    network = build_network(COMPACT, "stress", image_channels=1, dropout=0.0, seed=0, state=None)
    freeze(network, 4)
    freeze(network, 0)
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(stage.training for stage in network.encoders[0].stages)
    with pytest.raises(SpaceError):
        freeze(network, 5)
