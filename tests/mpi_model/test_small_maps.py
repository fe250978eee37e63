"""Convolutions on tiny maps: the ordinary result, and gradients that equal autograd's."""

from collections.abc import Callable

import pytest
import rounding
import torch
from torch import Tensor, nn

from mpi_model import cpu_layers
from mpi_model.backbones import build_encoder
from mpi_model.cpu_layers import _SmallMapConvolution
from mpi_model.settings import Precision
from mpi_model.training_inputs import autocast

SHAPES = [
    # kernel, stride, padding, height, width, groups
    (3, 1, 1, 2, 2, 1),
    (3, 2, 1, 4, 4, 1),
    (3, 2, 1, 3, 3, 1),
    (3, 1, 1, 1, 2, 1),
    (3, 2, 1, 4, 1, 1),
    (3, 1, 0, 4, 3, 1),
    (1, 1, 0, 2, 2, 1),
    (1, 2, 0, 3, 4, 1),
    (5, 1, 2, 2, 1, 1),
    (4, 2, 1, 4, 4, 1),
    (5, 1, 2, 4, 4, 5),
    (5, 1, 2, 1, 3, 5),
    (5, 2, 2, 8, 7, 5),
    (5, 2, 0, 7, 5, 5),
    (7, 1, 3, 2, 4, 5),
    (5, 1, 2, 8, 8, 5),
    (3, 1, 1, 2, 2, 5),
]


def layer_of(
    kernel: int, stride: int, padding: int, into: int = 5, out: int = 7, groups: int = 1
) -> _SmallMapConvolution:
    layer = _SmallMapConvolution(into, out, kernel, stride=stride, padding=padding, groups=groups, bias=False)
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(kernel + stride))
    return layer


def images_of(height: int, width: int, channels: int = 5) -> Tensor:
    return torch.randn(3, channels, height, width, generator=torch.Generator().manual_seed(height * 9 + width))


def gradients(convolved: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    told = torch.randn(convolved.shape, generator=torch.Generator().manual_seed(2)).to(convolved.dtype)
    return torch.autograd.grad(convolved, of, told)


def exact_gradients(convolved: Tensor, images: Tensor, layer: _SmallMapConvolution) -> tuple[tuple[Tensor, ...], ...]:
    """The gradients in double precision, and the same sums over absolute values."""
    both, weight = [], layer.weight
    geometry = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
    for change in (Tensor.double, lambda part: part.double().abs()):
        pixels, taps = (change(part.detach()).requires_grad_() for part in (images, weight))
        exact = nn.functional.conv2d(pixels, taps, **geometry)
        told = torch.randn(exact.shape, generator=torch.Generator().manual_seed(2)).to(convolved.dtype)
        both.append(torch.autograd.grad(exact, (pixels, taps), change(told)))
    return tuple(both)


@pytest.mark.parametrize(("kernel", "stride", "padding", "height", "width", "groups"), SHAPES)
def test_gradients_are_those_of_autograd(
    kernel: int, stride: int, padding: int, height: int, width: int, groups: int
) -> None:
    """In double precision, for every way in which taps fall off the map, against torch and finite differences."""
    layer = layer_of(kernel, stride, padding, out=7 if groups == 1 else groups, groups=groups).double()
    images = images_of(height, width).double().requires_grad_()
    convolved = layer(images)
    expected = nn.functional.conv2d(images, layer.weight, stride=stride, padding=padding, groups=groups)
    assert type(convolved.grad_fn).__name__ == "_ConvolutionBackward"
    assert torch.equal(convolved, expected)
    for ours, theirs in zip(
        gradients(convolved, images, layer.weight), gradients(expected, images, layer.weight), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(
        lambda pixels, weight: cpu_layers._Convolution.apply(pixels, weight, stride, padding, groups),
        (images, layer.weight),
    )


@pytest.mark.parametrize(("kernel", "stride", "groups"), [(3, 1, 1), (3, 2, 1), (5, 1, 64), (5, 2, 64)])
def test_gradients_under_autocast_are_right_within_rounding(kernel: int, stride: int, groups: int) -> None:
    """In bf16 the parameters still get fp32 gradients, exact but for the roundings that bf16 has."""
    layer = layer_of(kernel, stride, kernel // 2, 64, 64, groups)
    images = images_of(2 * stride, 2 * stride, 64).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        ours = layer(images)
        theirs = nn.functional.conv2d(images, layer.weight, stride=stride, padding=kernel // 2, groups=groups)
    assert ours.dtype == torch.bfloat16
    assert torch.equal(ours, theirs)
    wanted, magnitude = exact_gradients(ours, images, layer)
    # Two factors and the result are rounded to bf16; sums of at most 64 x 9 products are kept in fp32.
    allowed = rounding.of_sum(3, torch.bfloat16) + rounding.of_sum(64 * 9)
    for found, right, most in zip(gradients(ours, images, layer.weight), wanted, magnitude, strict=True):
        assert found.dtype == torch.float32
        assert ((found - right).abs() <= allowed * most).all()


@pytest.mark.parametrize("case", ["large map", "no gradient", "frozen", "depthwise", "wide"])
def test_elsewhere_it_is_the_ordinary_convolution(case: str) -> None:
    """Larger maps, evaluation and frozen layers do not leave the library's path."""
    layer, side = layer_of(3, 1, 1), 3 if case == "large map" else 2
    if case in {"depthwise", "wide"}:
        kernel, side = (3, 3) if case == "depthwise" else (5, 9)
        layer = layer_of(kernel, 1, kernel // 2, out=5, groups=5)
    layer.weight.requires_grad_(case != "frozen")
    images = images_of(side, side).requires_grad_()
    with torch.set_grad_enabled(case != "no gradient"):
        convolved = layer(images)
    assert type(convolved.grad_fn).__name__ == ("NoneType" if case == "no gradient" else "ConvolutionBackward0")


def test_images_that_need_no_gradient_cost_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stage above a frozen one only computes the gradient of its weights."""
    monkeypatch.delattr(cpu_layers, "_image_gradient")
    layer = layer_of(3, 1, 1)
    layer(images_of(2, 2)).sum().backward()
    assert layer.weight.grad is not None


def test_an_encoders_deepest_convolutions_are_exchanged_under_their_own_names() -> None:
    """ResNet-18 has the keys and shapes that torchvision's files have, and layer4 the faster gradient."""
    encoder = build_encoder("resnet18", torch.Generator().manual_seed(0))
    assert all(isinstance(part, _SmallMapConvolution) for part in encoder.modules() if isinstance(part, nn.Conv2d))
    assert encoder.state_dict()["stages.4.0.1.conv2.weight"].shape == (512, 512, 3, 3)


def test_depthwise_convolutions_without_own_padding_are_exchanged_too() -> None:
    """EfficientNet-Lite0's twelve of stride 1 are, whatever their kernel; those padded as TensorFlow's are not."""
    encoder = build_encoder("efficientnet_lite0", torch.Generator().manual_seed(0))
    ours = [part for part in encoder.modules() if isinstance(part, _SmallMapConvolution) and part.groups > 1]
    assert [part.in_channels for part in ours] == [32, 144, 240, 480, 480, 480, 672, 672, 1152, 1152, 1152, 1152]
    assert all(part.stride == (1, 1) and part.weight.shape[1] == 1 for part in ours)


def checked(weight_gradient: Callable[..., Tensor], kinds: list[torch.dtype]) -> Callable[..., Tensor]:
    """The weight gradient, held against double precision on the very numbers that it was given."""

    def compare(images: Tensor, gradient: Tensor, *spans: list[cpu_layers._Span]) -> Tensor:
        found = weight_gradient(images, gradient, *spans)
        stride, padding = spans[0][-1][1].step, found.shape[-1] // 2
        exact, magnitude = (
            nn.grad.conv2d_weight(change(images), found.shape, change(gradient), stride=stride, padding=padding)
            for change in (Tensor.double, lambda part: part.double().abs())
        )
        assert rounding.within(found, exact, magnitude, gradient[:, 0].numel(), found.dtype), "a wrong gradient"
        kinds.append(found.dtype)
        return found

    return compare


def trained(precision: Precision) -> Tensor:
    """How far four steps of AdamW move the first convolution of a narrow copy of ResNet-18's last stage."""
    generator = torch.Generator().manual_seed(3)
    strides = (2, 1, 1)
    layers = [layer_of(3, stride, 1, 16 if stride == 2 else 32, 32) for stride in strides]
    stage = nn.Sequential(*(nn.Sequential(layer, nn.BatchNorm2d(32), nn.ReLU()) for layer in layers))
    start = layers[0].weight.detach().clone()
    maps, targets = torch.rand(16, 16, 4, 4, generator=generator), torch.arange(16) % 2
    optimiser = torch.optim.AdamW(stage.parameters(), lr=1e-4)
    for _ in range(4):
        with autocast(torch.device("cpu"), precision):
            scores = stage(maps).float().flatten(1)[:, :2]
        optimiser.zero_grad()
        nn.functional.cross_entropy(scores, targets).backward()
        optimiser.step()
    return layers[0].weight.detach() - start


@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_every_gradient_of_a_training_is_right(
    precision: Precision, kind: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few steps of a stage: each of them learns from exact gradients, and from all of them.

    Final weights are not compared number by number: AdamW divides a gradient by its own size, so that rounding turns
    the sign of a step where a gradient is nearly nothing. Lost or wrong gradients leave most signs to chance, and
    then two trainings end about as far from each other as each is from its start.
    """
    kinds: list[torch.dtype] = []
    monkeypatch.setattr(cpu_layers, "_weight_gradient", checked(cpu_layers._weight_gradient, kinds))
    ours = trained(precision)
    assert kinds == [kind] * 4 * 3  # four steps of three convolutions
    monkeypatch.setattr(cpu_layers, "_LARGEST", 0)
    theirs = trained(precision)
    assert len(kinds) == 4 * 3
    assert (ours - theirs).norm() < theirs.norm() / 2
