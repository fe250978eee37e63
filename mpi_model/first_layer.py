"""A first layer for one-channel maps: what the three repeated, normalised channels came to, in one convolution.

A grey map x that is repeated and normalised gives the convolution sum_c W_c * (x - m_c) / s_c, which is
(sum_c W_c / s_c) * x - (sum_c W_c m_c / s_c) * 1. The constant map 1 is a channel of its own and no bias: padding is
zero after normalisation, so that at the border a part of the constant is missing.
"""

import torch
from torch import Tensor, nn

from mpi_model.backbones import StagedEncoder


class GreyConvolution(nn.Conv2d):
    """A convolution that sees a constant map of ones after the grey map."""

    def forward(self, images: Tensor) -> Tensor:
        """Convolve maps as they are: `[B, 1, H, W]`, 0..1, to `[B, C', H', W']`."""
        return super().forward(torch.cat((images, torch.ones_like(images)), dim=1))


def fold_first_layer(encoder: StagedEncoder, mean: Tensor, spread: Tensor) -> None:
    """Let an encoder read one-channel maps, without normalisation, as it read three normalised channels.

    Afterwards it is an ordinary convolution: its two input channels learn freely.

    Args:
        encoder: Of torchvision's, with its weights. Its first convolution is exchanged; the names stay.
        mean: `[3]`, or `[1]` for all three channels.
        spread: As `mean`.
    """
    name, layer = next((name, layer) for name, layer in encoder.named_modules() if isinstance(layer, nn.Conv2d))
    folded = GreyConvolution(
        2,
        layer.out_channels,
        layer.kernel_size[0],
        stride=layer.stride[0],
        padding=layer.padding[0],
        bias=layer.bias is not None,
        device="meta",
    )
    folded.weight = nn.Parameter(_folded(layer.weight.detach(), mean, spread))
    folded.bias = layer.bias
    encoder.set_submodule(name, folded)


def _folded(weight: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """`[C', 3, k, k]` to `[C', 2, k, k]`; summed in double precision, because the two parts nearly cancel."""
    scaled = weight.double() / spread.double().view(1, -1, 1, 1)
    constant = -(scaled * mean.double().view(1, -1, 1, 1))
    return torch.stack((scaled.sum(1), constant.sum(1)), dim=1).to(weight.dtype)
