"""Encoders: any supported backbone as an ordered list of stages that ends in one feature vector per map."""

from typing import Final

import torch
import torchvision
from torch import Tensor, nn

from mpi_model import pooling, small_maps
from mpi_model.compact import CompactNetwork
from mpi_model.efficientnet_lite import EfficientNetLite0
from mpi_model.settings import EncoderStages
from mpi_model.stages import Backbone, backbone

_COLOURS: Final = 3
"""Image channels of every backbone with ImageNet weights."""


class EncoderStage(nn.Sequential):
    """Modules applied in order, which can be frozen for good.

    A frozen stage stays in evaluation mode whatever `train()` is called, on it or on anything above it, so that
    its batch-norm statistics stand still; it runs without a gradient graph.
    """

    frozen: bool = False

    def train(self, mode: bool = True) -> "EncoderStage":
        """Set the mode; a frozen stage stays in evaluation mode, and is not walked through again."""
        if not self.frozen or self.training:
            super().train(mode and not self.frozen)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Apply the modules: `[B, C, H, W]` to `[B, C', H', W']`."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            for module in self:
                images = module(images)
        return images


class StagedEncoder(nn.Module):
    """A backbone without its classifier: the stages, then averaging to a coarse grid."""

    def __init__(self, description: Backbone, stages: list[EncoderStage]) -> None:
        super().__init__()
        self.description = description
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor, first: int = 0) -> Tensor:
        """Encode maps.

        Args:
            images: `[B, C, H, W]`, normalised, or what `prefix(images, first)` made of them.
            first: Stages that are already applied.

        Returns:
            `[B, F]` features.
        """
        for stage in self.stages[first:]:
            images = stage(images)
        return images if first == len(self.stages) else self._pooled(images)

    def prefix(self, images: Tensor, depth: int, first: int = 0) -> Tensor:
        """Apply the stages from `first` to `depth`: `[B, C', H', W']`, or `[B, F]` features after the last one."""
        for stage in self.stages[first:depth]:
            images = stage(images)
        return self._pooled(images) if depth == len(self.stages) else images

    def _pooled(self, images: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(images, self.description.grid).flatten(1)


def encoder_channels(name: str, image_channels: int) -> int:
    """Image channels that an encoder takes: `compact` those of the maps, the others always three."""
    return image_channels if name == "compact" else _COLOURS


def _source(name: str, channels: int) -> nn.Module:
    if name == "compact":
        return CompactNetwork(channels)
    if name == "efficientnet_lite0":
        return EfficientNetLite0()
    # Stochastic depth draws from the global random state, which no training here may depend on.
    arguments = {"stochastic_depth_prob": 0.0} if name.startswith("efficientnet") else {}
    source: nn.Module = torchvision.models.get_model(name, weights=None, **arguments)
    return source


def empty_encoder(name: str, *, stages: EncoderStages = "all", image_channels: int = 1) -> StagedEncoder:
    """An encoder on the meta device: its shapes and names, without memory or numbers.

    Args:
        name: A name from `mpi_model.stages.BACKBONES`.
        stages: How far the encoder goes, as in `mpi_model.stages.backbone`.
        image_channels: Channels C of the maps.

    Raises:
        ExperimentError: The name is unknown, or the backbone has not so many stages.
    """
    description = backbone(name, stages)
    with torch.device("meta"):
        source = _source(name, encoder_channels(name, image_channels))
        small_maps.exchange(source)
        pooling.exchange(source)
    return StagedEncoder(
        description,
        [EncoderStage(*(source.get_submodule(path) for path in stage.modules)) for stage in description.stages],
    )


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw every weight of a module anew.

    Convolutions are drawn as He et al. 2015 (doi 10.1109/ICCV.2015.123, fan-out), as torchvision does for these
    backbones; batch norm starts as the identity.

    Raises:
        TypeError: A layer with parameters has no rule here.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
        elif next(layer.parameters(recurse=False), None) is not None:
            raise TypeError(f"no rule to initialise {type(layer).__name__}")


def build_encoder(
    name: str, generator: torch.Generator, *, stages: EncoderStages = "all", image_channels: int = 1
) -> StagedEncoder:
    """Build an encoder with random weights; the global random state is neither read nor changed.

    Args:
        name: A name from `mpi_model.stages.BACKBONES`.
        generator: A CPU generator for the weights; an encoder that ends early draws what the whole one would.
        stages: How far the encoder goes, as in `mpi_model.stages.backbone`.
        image_channels: Channels C of the maps; only `compact` depends on it.

    Raises:
        ExperimentError: The name is unknown, or the backbone has not so many stages.
    """
    encoder = empty_encoder(name, stages=stages, image_channels=image_channels)
    # Only the stages' memory is ever allocated: VGG-16's classifier alone would take half a gigabyte.
    encoder.to_empty(device="cpu")
    initialise(encoder, generator)
    return encoder
