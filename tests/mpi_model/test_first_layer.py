"""The first layer for one-channel maps: the numbers of three repeated, normalised channels, and it learns."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from mpi_model.backbones import build_encoder
from mpi_model.errors import ExperimentError
from mpi_model.network import TracerNetwork, build_network
from mpi_model.prediction import predict_scores
from mpi_model.saved_model import load_network, save_network
from mpi_model.settings import NetworkSettings
from mpi_model.stages import BACKBONES, backbone, check_first_layer
from mpi_model.training import refit, train

CPU = torch.device("cpu")
TRACER = torch.tensor([0, 1, 1, 0])
OF_TORCHVISION = [name for name in BACKBONES if name != "compact"]


def weights_of(name: str) -> dict[str, np.ndarray]:
    """Made-up weights with batch-norm statistics that are not the identity's."""
    encoder, generator = build_encoder(name, torch.Generator().manual_seed(3)), torch.Generator().manual_seed(4)
    for key, value in encoder.state_dict().items():
        if key.endswith(("running_mean", "running_var", "bias")):
            value.copy_(torch.rand(value.shape, generator=generator) * 0.2 + (0.9 if "var" in key else -0.1))
    return {key: value.numpy() for key, value in encoder.state_dict().items()}


def network_of(name: str, first_layer: str, *, pretrained: bool, **settings: str) -> TracerNetwork:
    weights = "imagenet" if pretrained else "random"
    chosen = NetworkSettings(backbone=name, weights=weights, first_layer=first_layer, **settings)
    state = weights_of(name) if pretrained else None
    return build_network(chosen, "dual", image_channels=1, dropout=0.0, seed=1, state=state)


def bright_at_the_edge() -> torch.Tensor:
    """Grey stress and rest maps whose brightest pixels touch the border."""
    images = torch.rand(len(TRACER), 2, 1, 64, 64, generator=torch.Generator().manual_seed(9)) * 0.5
    images[..., 0, :] = images[..., -1, :] = images[..., 0] = images[..., -1] = 1.0
    return images


def assert_close(found: torch.Tensor, expected: torch.Tensor, share: float = 2e-5) -> None:
    """Equal within a share of the largest value: what rounding leaves after many layers."""
    assert (found - expected).abs().max() <= share * expected.abs().max()


@pytest.mark.parametrize("pretrained", [False, True])
@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_scores_are_those_of_three_repeated_channels(name: str, pretrained: bool) -> None:
    """Folding the repetition and the normalisation into the weights changes no score, in either mode."""
    images = bright_at_the_edge()
    one, three = (network_of(name, kind, pretrained=pretrained) for kind in ("one_channel", "three_channels"))
    with torch.no_grad():
        assert_close(one.eval()(images, TRACER), three.eval()(images, TRACER))
        # Of four exams, batch norm divides by small spreads.
        assert_close(one.train()(images, TRACER), three.train()(images, TRACER), 1e-4)


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_every_pixel_of_the_first_feature_maps_is_the_same(name: str) -> None:
    """At the padded border, too, where a bias in place of the constant map would be wrong."""
    images = bright_at_the_edge()[:, 0]
    networks = [network_of(name, kind, pretrained=True) for kind in ("one_channel", "three_channels")]
    layers = [next(part for part in net.modules() if isinstance(part, nn.Conv2d)) for net in networks]
    mean, spread = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        found, expected = layers[0](images), layers[1]((images.expand(-1, 3, -1, -1) - mean) / spread)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6 * float(expected.abs().max()))


def test_separate_encoders_are_both_adapted() -> None:
    """Each tracer's own encoder reads the grey map."""
    images = bright_at_the_edge()
    one, three = (
        network_of("resnet18", kind, pretrained=False, heads="separate").eval()
        for kind in ("one_channel", "three_channels")
    )
    with torch.no_grad():
        assert_close(one(images, TRACER), three(images, TRACER))
    assert [encoder.stages[0][0].weight.shape[1] for encoder in one.encoders] == [2, 2]


@pytest.mark.parametrize("name", ["resnet18", "vgg16_bn", "efficientnet_b0"])
def test_the_adapted_layer_learns(name: str) -> None:
    """Gradients reach both of its channels, and a bias that was there."""
    network = network_of(name, "one_channel", pretrained=True).train()
    network(bright_at_the_edge(), TRACER).sum().backward()
    layer = next(part for part in network.modules() if isinstance(part, nn.Conv2d))
    assert all((layer.weight.grad[:, channel] != 0).any() for channel in (0, 1))
    assert (layer.bias is None) == (name != "vgg16_bn")
    assert layer.bias is None or layer.bias.grad is not None


@pytest.mark.parametrize("freeze_depth", [0, 5])
def test_a_saved_network_scores_alike(
    freeze_depth: int, paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """A trained network with an adapted first layer is rebuilt from its two files."""
    maps, labels = paint(8, size=64)
    recipe = make_recipe(
        backbone="resnet18", first_layer="one_channel", state=weights_of("resnet18"), freeze_depth=freeze_depth
    )
    network = refit(maps, exams(labels, range(8)), recipe=recipe, steps=2, horizon=2, device=CPU)
    reloaded = load_network(*save_network(network, {}))
    assert reloaded.architecture == network.architecture
    assert reloaded.architecture.first_layer == "one_channel"
    rows = np.arange(8)
    scores = predict_scores(network, maps, rows, device=CPU)
    np.testing.assert_array_equal(predict_scores(reloaded, maps, rows, device=CPU), scores)


def test_frozen_stages_are_kept_apart_from_those_of_three_channels(
    paint: Callable, exams: Callable, make_recipe: Callable
) -> None:
    """Both kinds in one process: the cache gives neither the other's activations."""
    maps, labels = paint(8, size=64)
    training, state, scores = exams(labels, range(8)), weights_of("resnet18"), {}
    for kind in ("three_channels", "one_channel"):
        recipe = make_recipe(backbone="resnet18", first_layer=kind, state=state, freeze_depth=1)
        scores[kind] = next(train(maps, training, training, recipe=recipe, device=CPU)).validation_scores
        network = refit(maps, training, recipe=recipe, steps=1, horizon=2, device=CPU)
        np.testing.assert_array_equal(scores[kind], predict_scores(network, maps, training.rows, device=CPU))
    assert not np.array_equal(*scores.values())


def test_it_is_refused_where_it_has_no_place() -> None:
    """The compact network and colour maps, both problems at once; and by the network as by the check."""
    with pytest.raises(ExperimentError) as refused:
        check_first_layer(backbone("compact"), "one_channel", 3)
    compact, colour = refused.value.problems
    assert "compact takes the maps' own channels" in compact
    assert "found maps of 3 channels" in colour
    settings = NetworkSettings(backbone="resnet18", weights="random", first_layer="one_channel")
    with pytest.raises(ExperimentError, match="3 channels"):
        build_network(settings, "stress", image_channels=3, dropout=0.0, seed=0, state=None)
    check_first_layer(backbone("resnet18"), "one_channel", 1)
    check_first_layer(backbone("compact"), "three_channels", 3)
