"""Convolutions on tiny maps: the ordinary result, and gradients that equal autograd's."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mpi_model import small_maps
from mpi_model.backbones import build_encoder
from mpi_model.small_maps import SmallMapConvolution
from mpi_model.training import refit

SHAPES = [
    # kernel, stride, padding, height, width
    (3, 1, 1, 2, 2),
    (3, 2, 1, 4, 4),
    (3, 2, 1, 3, 3),
    (3, 1, 1, 1, 2),
    (3, 2, 1, 4, 1),
    (3, 1, 0, 4, 3),
    (1, 1, 0, 2, 2),
    (1, 2, 0, 3, 4),
    (5, 1, 2, 2, 1),
    (4, 2, 1, 4, 4),
]


def layer_of(kernel: int, stride: int, padding: int, into: int = 5, out: int = 7) -> SmallMapConvolution:
    layer = SmallMapConvolution(into, out, kernel, stride=stride, padding=padding, bias=False)
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(kernel + stride))
    return layer


def images_of(height: int, width: int, channels: int = 5) -> Tensor:
    return torch.randn(3, channels, height, width, generator=torch.Generator().manual_seed(height * 9 + width))


def gradients(convolved: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    told = torch.randn(convolved.shape, generator=torch.Generator().manual_seed(2)).to(convolved.dtype)
    return torch.autograd.grad(convolved, of, told)


@pytest.mark.parametrize(("kernel", "stride", "padding", "height", "width"), SHAPES)
def test_gradients_are_those_of_autograd(kernel: int, stride: int, padding: int, height: int, width: int) -> None:
    """In double precision, for every way in which taps fall off the map, against torch and finite differences."""
    layer, images = layer_of(kernel, stride, padding).double(), images_of(height, width).double().requires_grad_()
    convolved = layer(images)
    expected = nn.functional.conv2d(images, layer.weight, stride=stride, padding=padding)
    assert type(convolved.grad_fn).__name__ == "_ConvolutionBackward"
    assert torch.equal(convolved, expected)
    for ours, theirs in zip(
        gradients(convolved, images, layer.weight), gradients(expected, images, layer.weight), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(
        lambda pixels, weight: small_maps._Convolution.apply(pixels, weight, stride, padding), (images, layer.weight)
    )


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_under_autocast_are_right_within_rounding(stride: int) -> None:
    """In bf16 the parameters still get fp32 gradients, as near to the exact ones as the library's own."""
    layer, images = layer_of(3, stride, 1, 64, 64), images_of(2 * stride, 2 * stride, 64).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        ours = layer(images)
        theirs = nn.functional.conv2d(images, layer.weight, stride=stride, padding=1)
    assert ours.dtype == torch.bfloat16
    assert torch.equal(ours, theirs)
    exact = nn.functional.conv2d(images.double(), layer.weight.double(), stride=stride, padding=1)
    wanted = gradients(exact, images, layer.weight)
    for found, library, right in zip(
        gradients(ours, images, layer.weight), gradients(theirs, images, layer.weight), wanted, strict=True
    ):
        assert found.dtype == torch.float32
        assert (found - right).abs().max() < 2 * (library - right).abs().max() + 1e-3 * right.abs().max()


@pytest.mark.parametrize("case", ["large map", "no gradient", "frozen"])
def test_elsewhere_it_is_the_ordinary_convolution(case: str) -> None:
    """Larger maps, evaluation and frozen layers do not leave the library's path."""
    layer, side = layer_of(3, 1, 1), 3 if case == "large map" else 2
    layer.weight.requires_grad_(case != "frozen")
    images = images_of(side, side).requires_grad_()
    with torch.set_grad_enabled(case != "no gradient"):
        convolved = layer(images)
    assert type(convolved.grad_fn).__name__ == ("NoneType" if case == "no gradient" else "ConvolutionBackward0")


def test_images_that_need_no_gradient_cost_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stage above a frozen one only computes the gradient of its weights."""
    monkeypatch.delattr(small_maps, "_image_gradient")
    layer = layer_of(3, 1, 1)
    layer(images_of(2, 2)).sum().backward()
    assert layer.weight.grad is not None


def test_an_encoders_deepest_convolutions_are_exchanged_under_their_own_names() -> None:
    """ResNet-18 has the keys and shapes that torchvision's files have, and layer4 the faster gradient."""
    encoder = build_encoder("resnet18", torch.Generator().manual_seed(0))
    assert all(isinstance(part, SmallMapConvolution) for part in encoder.modules() if isinstance(part, nn.Conv2d))
    assert encoder.state_dict()["stages.4.0.1.conv2.weight"].shape == (512, 512, 3, 3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_ends_where_the_ordinary_one_does(
    precision: str, paint: Callable, exams: Callable, make_recipe: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few steps with and without the exchanged gradient give the same weights but for rounding."""
    maps, labels = paint(16, size=64)
    encoder = build_encoder("resnet18", torch.Generator().manual_seed(5))
    recipe = make_recipe(
        backbone="resnet18",
        state={key: value.numpy() for key, value in encoder.state_dict().items()},
        freeze_depth=3,
        encoder_learning_rate=1e-4,
        training={"precision": precision},
    )
    states = []
    for largest in (2, 0):
        monkeypatch.setattr(small_maps, "LARGEST", largest)
        network = refit(maps, exams(labels, range(16)), recipe=recipe, steps=4, horizon=8, device=torch.device("cpu"))
        states.append(network.state_dict())
    name = "encoders.0.stages.4.0.0.conv2.weight"
    start = recipe.state["stages.4.0.0.conv2.weight"]
    ours, theirs = (state[name].numpy() - start for state in states)
    assert not np.array_equal(ours, theirs)
    assert np.linalg.norm(ours - theirs) < 1e-3 * np.linalg.norm(theirs)
