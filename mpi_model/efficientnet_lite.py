"""EfficientNet-Lite0, the source network of the backbone `efficientnet_lite0`, of torch's own layers.

EfficientNet-B0 (Tan and Le 2019, doi:10.48550/arXiv.1905.11946) without squeeze-and-excitation and with ReLU6. Stem
and head have the width of B0. Layers bear the names of the published weights' file, so that nothing is renamed.
"""

from typing import Final

import torch
from torch import Tensor, nn

_EPSILON: Final = 1e-3
"""Added to batch norm's variances, as where the weights were trained (TensorFlow)."""
_GROUPS: Final = (
    # expansion, kernel, stride of the first block, channels, blocks
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class _SamePadConvolution(nn.Conv2d):
    """A convolution padded as TensorFlow's "same": with stride 2, even sides get their odd pixel right and below.

    Symmetric padding would shift every feature map against the one that the weights were trained on.
    """

    def __init__(self, channels: int, features: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, features, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Convolve: `[B, C, H, W]` to `[B, C', ceil(H / stride), ceil(W / stride)]`."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (max(kernel - (side % stride or stride), 0) for side in images.shape[-2:])
        edges = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(nn.functional.pad(images, edges))


def _batch_norm(features: int) -> nn.BatchNorm2d:
    # Torch's momentum of .1, not the .01 of the original training: a training here has some hundred steps.
    return nn.BatchNorm2d(features, eps=_EPSILON)


def _depthwise(features: int, kernel: int, stride: int) -> nn.Conv2d:
    if stride == 1:
        return nn.Conv2d(features, features, kernel, padding=kernel // 2, groups=features, bias=False)
    return _SamePadConvolution(features, features, kernel, stride=stride, groups=features)


class _InvertedResidual(nn.Module):
    """Widen by 1 x 1, convolve every channel by itself, narrow by 1 x 1; added to its input where shapes allow it."""

    def __init__(self, channels: int, features: int, *, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        # As published: a block that changes shape has no shortcut, and none is projected.
        self.is_residual = stride == 1 and channels == features
        layers: dict[str, nn.Module] = {}
        if expansion > 1:
            expand = nn.Conv2d(channels, wide, 1, bias=False)
            layers |= {"_expand_conv": expand, "_bn0": _batch_norm(wide), "_relu0": nn.ReLU6(inplace=True)}
        depthwise = _depthwise(wide, kernel, stride)
        layers |= {"_depthwise_conv": depthwise, "_bn1": _batch_norm(wide), "_relu1": nn.ReLU6(inplace=True)}
        layers |= {"_project_conv": nn.Conv2d(wide, features, 1, bias=False), "_bn2": _batch_norm(features)}
        # Registered under the published file's names, in the order they are applied.
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, images: Tensor) -> Tensor:
        """Apply the block: `[B, C, H, W]` to `[B, C', H', W']`."""
        # Channels side by side: depthwise convolutions and batch norm take two thirds of the time then, on a CPU.
        images = images.contiguous(memory_format=torch.channels_last)
        found = images
        for layer in self.children():
            found = layer(found)
        return images + found if self.is_residual else found


class EfficientNetLite0(nn.Module):
    """The layers in order, without the classifier; run as the stages of `mpi_model.backbones.StagedEncoder`."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SamePadConvolution(3, 32, 3, stride=2)
        self._bn0 = _batch_norm(32)
        self._blocks = nn.ModuleList()
        channels = 32
        for expansion, kernel, first_stride, features, count in _GROUPS:
            for number in range(count):
                stride = first_stride if number == 0 else 1
                block = _InvertedResidual(channels, features, expansion=expansion, kernel=kernel, stride=stride)
                self._blocks.append(block)
                channels = features
        self._conv_head = nn.Conv2d(channels, 1280, 1, bias=False)
        self._bn1 = _batch_norm(1280)
        self.activation = nn.ReLU6(inplace=True)
