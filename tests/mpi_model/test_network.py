"""The network: what it reads, how it is routed, and that its seed decides it."""

import numpy as np
import pytest
import rounding
import torch

from mpi_model.backbones import _coordinates, build_encoder
from mpi_model.errors import WeightsError
from mpi_model.network import TracerNetwork, build_network
from mpi_model.settings import NetworkSettings

TRACER = torch.tensor([0, 1, 1, 0, 1])


def network_of(
    inputs: str = "stress", *, seed: int = 1, channels: int = 1, dropout: float = 0.0, **settings: str
) -> TracerNetwork:
    chosen = NetworkSettings(**({"backbone": "compact", "weights": "random"} | settings))
    built = build_network(chosen, inputs, image_channels=channels, dropout=dropout, seed=seed, state=None)
    return built.eval()


def images_of(phases: int = 1, channels: int = 1, size: int = 16) -> torch.Tensor:
    return torch.rand(5, phases, channels, size, size, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("heads", ["tracer", "separate"])
def test_changing_the_thallium_head_never_changes_a_technetium_score(heads: str) -> None:
    """An exam is judged by its own tracer's head alone."""
    network, images = network_of(heads=heads), images_of()
    before = network(images, TRACER)
    with torch.no_grad():
        network.heads.linear.weight[1] += 1
        network.heads.linear.bias[1] += 1
    after = network(images, TRACER)
    assert torch.equal(before[TRACER == 0], after[TRACER == 0])
    assert (before[TRACER == 1] != after[TRACER == 1]).all()


def test_the_shared_head_ignores_the_tracer() -> None:
    """The comparison network cannot tell the tracers apart."""
    network, images = network_of(heads="shared"), images_of()
    assert torch.equal(network(images, TRACER), network(images, 1 - TRACER))


def test_separate_encoders_share_nothing() -> None:
    """A loss on technetium exams leaves thallium's encoder without gradient, its statistics unmoved."""
    network, images = network_of("dual", heads="separate").train(), images_of(2)
    before = {key: value.clone() for key, value in network.encoders[1].state_dict().items()}
    network(images[TRACER == 0], TRACER[TRACER == 0]).sum().backward()
    assert all(parameter.grad is None for parameter in network.encoders[1].parameters())
    assert all(parameter.grad is not None for parameter in network.encoders[0].parameters())
    after = network.encoders[1].state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert (network.heads.linear.weight.grad[1] == 0).all()


def test_separate_encoders_normalise_over_their_own_tracer() -> None:
    """In training mode a technetium score does not depend on which thallium exams share its batch."""
    network, images = network_of(heads="separate").train(), images_of()
    changed = images.clone()
    changed[TRACER == 1] = 0
    scores, others = network(images, TRACER), network(changed, TRACER)
    assert torch.equal(scores[TRACER == 0], others[TRACER == 0])
    assert not torch.equal(scores[TRACER == 1], others[TRACER == 1])


@pytest.mark.parametrize(("fusion", "of_rest"), [("concatenate", 1.0), ("difference", -1.0)])
def test_dual_features_are_both_phases_through_one_encoder(fusion: str, of_rest: float) -> None:
    """The head reads stress first, then rest (or stress minus rest), each encoded alike."""
    network, images = network_of("dual", fusion=fusion, heads="shared"), images_of(2)
    encoder = network.encoders[0]
    stress, rest = (encoder(images[:, phase] * 2 - 1) for phase in (0, 1))
    second = of_rest * rest + (stress if fusion == "difference" else 0)
    expected = network.heads.linear(torch.cat((stress, second), dim=1)).squeeze(1)
    torch.testing.assert_close(network(images, TRACER), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_pretrained_encoders_see_colours_normalised_as_imagenet_was(channels: int) -> None:
    """The first convolution receives three channels with torchvision's published mean and spread."""
    state = {
        key: value.numpy()
        for key, value in build_encoder("resnet18", torch.Generator().manual_seed(2)).state_dict().items()
    }
    settings = NetworkSettings(backbone="resnet18", weights="imagenet")
    network = build_network(settings, "stress", image_channels=channels, dropout=0.0, seed=0, state=state)
    seen = []
    network.encoders[0].stages[0][0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = images_of(channels=channels, size=64)
    network.eval()(images, TRACER)
    colours = images[:, 0].numpy().repeat(3 // channels, axis=1)
    mean, spread = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (colours - mean[:, None, None]) / spread[:, None, None]
    # Mean, difference, spread and quotient are rounded: four times, of numbers up to the largest result.
    bound = rounding.of_sum(4) * np.abs(expected).max()
    np.testing.assert_allclose(seen[0].numpy(), expected, rtol=0, atol=bound)
    assert torch.equal(network.encoders[0].stages[0][0].weight, torch.from_numpy(state["stages.0.0.weight"]))


def test_a_seed_decides_the_weights_and_the_global_state_does_not() -> None:
    """Experiments pair by their seeds: same seed, same network, whatever ran before in the process."""
    torch.manual_seed(11)
    before = torch.get_rng_state()
    one = network_of(seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12)
    same, other = network_of(seed=4), network_of(seed=5)
    images = images_of()
    assert torch.equal(one(images, TRACER), same(images, TRACER))
    assert not torch.equal(one(images, TRACER), other(images, TRACER))


def test_one_seed_gives_one_encoder_for_all_inputs_and_heads() -> None:
    """Stress-only and dual, shared and separate, start from the same encoder, so that they pair."""
    encoders = [
        network.encoders[0].state_dict() for network in (network_of(), network_of("dual"), network_of(heads="separate"))
    ]
    for other in encoders[1:]:
        assert all(torch.equal(encoders[0][key], value) for key, value in other.items())


def test_dropout_draws_from_its_generator_and_keeps_the_mean() -> None:
    """Dropout repeats with its generator, leaves evaluation alone and is unbiased."""
    network, images = network_of(dropout=0.5), images_of()
    plain = network(images, TRACER)
    network.encoders.eval()
    network.training = True
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        draws = torch.stack([network(images, TRACER, generator=generator) for _ in range(500)])
        again = network(images, TRACER, generator=torch.Generator().manual_seed(3))
    assert torch.equal(draws[0], again)
    assert not torch.equal(draws[0], plain)
    standard_error = draws.std(0) / 500**0.5
    assert ((draws.mean(0) - plain).abs() < 4 * standard_error).all()


def test_pretrained_weights_that_were_not_given_are_missed() -> None:
    """An experiment that says imagenet never trains from random weights in silence."""
    with pytest.raises(WeightsError, match="none were given"):
        build_network(NetworkSettings(), "stress", image_channels=1, dropout=0.0, seed=0, state=None)


def test_compact_knows_where_a_defect_is() -> None:
    """A defect changes the features of its own side of the map most, so that the head can see where it is."""
    encoder = build_encoder("compact", torch.Generator().manual_seed(0)).eval()
    maps = torch.full((3, 1, 32, 32), 0.7)
    maps[1, :, 4:10, 12:20] = 0.2
    maps[2, :, 22:28, 12:20] = 0.2
    normal, top, bottom = encoder(maps).unflatten(1, (32, 4, 4))
    for changed, own, opposite in ((top, 0, 3), (bottom, 3, 0)):
        difference = (changed - normal).abs()
        assert difference[:, own].sum() > 5 * difference[:, opposite].sum()


def test_coordinates_run_from_left_to_right_and_from_bottom_to_top() -> None:
    """The constant channels tell a place by its x and y, whatever the image shows."""
    x, y = _coordinates(2, 3, torch.device("cpu"))
    assert x.tolist() == [[-1, 0, 1], [-1, 0, 1]]
    assert y.tolist() == [[1, 1, 1], [-1, -1, -1]]
