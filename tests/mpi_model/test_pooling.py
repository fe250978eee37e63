"""Maximum pooling with the channels side by side: the library's own bits, result and gradient."""

import pytest
import torch
from torch import Tensor, nn

from mpi_model.backbones import build_encoder
from mpi_model.cpu_layers import _ChannelwiseMaxPool


def images_of(height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Few different values, so that windows are full of ties; a NaN, an infinity, both zeros."""
    images = torch.randint(-2, 3, (3, 37, height, width), generator=torch.Generator().manual_seed(height)).to(dtype)
    images[0, 0, 2, 3], images[1, 5, 0, 0], images[2, 7, 1] = torch.nan, torch.inf, -0.0
    return images


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether all numbers have the same bits; there are many NaNs, which need only be NaN in both."""
    whole = {torch.float32: torch.int32, torch.float64: torch.int64, torch.bfloat16: torch.int16}[one.dtype]
    if one.dtype != other.dtype or not torch.equal(one.isnan(), other.isnan()):
        return False
    return torch.equal(*(found.detach().masked_fill(found.isnan(), 0).view(whole) for found in (one, other)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("geometry", [(3, 2, 1), (2, 2, 0), (3, 1, 1)])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10), (32, 32)])
def test_result_and_gradient_are_the_librarys_bit_for_bit(
    height: int, width: int, geometry: tuple[int, int, int], dtype: torch.dtype
) -> None:
    """With ties, NaN and signed zeros, the gradient goes to the same pixel."""
    layer, images = _ChannelwiseMaxPool(*geometry), images_of(height, width, dtype)
    ours, theirs = (images.clone().requires_grad_() for _ in range(2))
    found, expected = layer(ours), nn.functional.max_pool2d(theirs, *geometry)
    told = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    found.backward(told)
    expected.backward(told)
    assert found.is_contiguous()
    assert type(found.grad_fn).__name__ == "_PoolingBackward"
    assert same_bits(found, expected)
    assert same_bits(ours.grad, theirs.grad)
    with torch.no_grad():
        assert same_bits(layer(images), expected)


def test_autocast_changes_nothing() -> None:
    """Under autocast the kind of numbers is what the library would give."""
    layer = _ChannelwiseMaxPool(3, 2, 1)
    with torch.autocast("cpu", torch.bfloat16):
        for images in (images_of(8, 8, torch.float32), images_of(8, 8, torch.bfloat16)):
            assert same_bits(layer(images.requires_grad_()), nn.functional.max_pool2d(images, 3, 2, 1))


def test_the_ordinary_path_serves_another_layout() -> None:
    """Maps whose channels are side by side already stay as they are."""
    images = images_of(8, 8, torch.float32).contiguous(memory_format=torch.channels_last).requires_grad_()
    pooled = _ChannelwiseMaxPool(3, 2, 1)(images)
    assert type(pooled.grad_fn).__name__ == "MaxPool2DWithIndicesBackward0"


@pytest.mark.parametrize(("name", "poolings"), [("resnet18", 1), ("vgg16_bn", 5), ("efficientnet_b0", 0)])
def test_encoders_pool_with_it(name: str, poolings: int) -> None:
    """Every maximum pooling of a backbone is exchanged."""
    encoder = build_encoder(name, torch.Generator().manual_seed(0))
    found = [type(part) for part in encoder.modules() if isinstance(part, nn.MaxPool2d)]
    assert found == [_ChannelwiseMaxPool] * poolings
