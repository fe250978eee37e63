"""A small network for small maps: reads a few hundred patients on one CPU core, and knows where a defect is.

Anatomy has a fixed place on a polar map: the septum is always on the left, the apex in the middle. Two things
keep that knowledge, which global average pooling would throw away. Constant coordinate channels stand beside
the map (Liu et al. 2018, doi 10.48550/arXiv.1807.03247), and the last feature maps are averaged to a coarse grid
(`Backbone.grid`) that the head reads place by place, so that it can weigh the inferior wall of a man's map,
dimmed by the diaphragm, otherwise than the anterior wall.

Measured on the stress maps of the 267 Tl-201 exams of SPECTF, painted at 32 pixels, with the default
hyperparameters and two repeats of five-fold cross-validation: AUC .858 after 30 epochs, against .861 for ridge
logistic regression on the 22 region counts themselves. In a first sketch of this network, leaving the coordinate
channels out cost .01 to .02, a grid of 2 x 2 instead of 4 x 4 up to .01.
"""

from typing import Final

import torch
from torch import Tensor, nn

COORDINATES: Final = 2
"""Constant channels beside the map: left to right, and up to down."""


def coordinates(height: int, width: int, device: torch.device) -> Tensor:
    """The constant coordinate channels.

    Returns:
        `[2, H, W]`, each from -1 to 1: x to the right, y upwards.
    """
    x = torch.linspace(-1, 1, width, device=device).expand(height, width)
    y = torch.linspace(1, -1, height, device=device)[:, None].expand(height, width)
    return torch.stack((x, y))


class CoordinateConvolution(nn.Conv2d):
    """A convolution that sees the coordinate channels after the image's own."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__(channels + COORDINATES, features, kernel_size=4, stride=2, padding=1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Convolve.

        Args:
            images: `[B, C, H, W]`.

        Returns:
            `[B, features, H/2, W/2]`.
        """
        places = coordinates(images.shape[-2], images.shape[-1], images.device).to(images.dtype)
        return super().forward(torch.cat((images, places.expand(len(images), -1, -1, -1)), dim=1))


def _block(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True))


class CompactNetwork(nn.Module):
    """Four convolutions in four stages; the source network of the backbone `compact`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fine = _block(CoordinateConvolution(channels, 16))
        self.middle = _block(nn.Conv2d(16, 24, kernel_size=3, stride=2, padding=1, bias=False))
        self.coarse = _block(nn.Conv2d(24, 32, kernel_size=3, stride=2, padding=1, bias=False))
        self.place = _block(nn.Conv2d(32, 32, kernel_size=3, padding=1, bias=False))
