"""The supported backbones as a table: ordered stages, sizes and files. No torch, so that checks start at once.

A stage is a run of consecutive modules of the network it is taken from; freezing goes by whole stages. The
torchvision networks are cut where their resolution halves.
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mpi_model.errors import ExperimentError, SpaceError, WeightsError
from mpi_model.settings import FirstLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of an encoder."""

    name: str
    modules: tuple[str, ...]
    """Paths of its modules in the source network, in the order they are applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNetWeights:
    """Where torchvision keeps a backbone's ImageNet weights."""

    enum: str
    """Name of the member of torchvision's weights enum, for example `ResNet18_Weights.IMAGENET1K_V1`."""
    file: str
    """File name under torch hub's `checkpoints` folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """What has to be known of an encoder before it is built."""

    name: str
    stages: tuple[Stage, ...]
    channels: int
    """Channels of the last stage's feature maps."""
    grid: int
    """The last feature maps are averaged to `grid` x `grid` places; 1 is global average pooling."""
    smallest_image: int
    """Pixels a side; below it the last feature map is smaller than 2 x 2, and batch norm fails on one exam."""
    classifier: tuple[str, ...]
    """Modules of the source network that the encoder leaves out."""
    imagenet: ImageNetWeights | None

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages in order."""
        return tuple(stage.name for stage in self.stages)

    @property
    def stage_count(self) -> int:
        """Number of stages S; freeze depths run from 0 to S."""
        return len(self.stages)

    @property
    def feature_width(self) -> int:
        """Length F of the feature vector of one map."""
        return self.channels * self.grid**2


def _resnet(name: str, *, channels: int, enum: str, file: str) -> Backbone:
    stem = Stage(name="stem", modules=("conv1", "bn1", "relu", "maxpool"))
    layers = tuple(Stage(name=layer, modules=(layer,)) for layer in ("layer1", "layer2", "layer3", "layer4"))
    return Backbone(
        name=name,
        stages=(stem, *layers),
        channels=channels,
        grid=1,
        smallest_image=64,
        classifier=("fc",),
        imagenet=ImageNetWeights(enum=enum, file=file),
    )


def _from_features(
    name: str, *, ends: Mapping[str, int], channels: int, classifier: str, enum: str, file: str
) -> Backbone:
    """A backbone whose source keeps its layers in one sequence `features`, cut after the given indices."""
    stages, start = [], 0
    for stage, end in ends.items():
        modules = tuple(f"features.{index}" for index in range(start, end + 1))
        stages.append(Stage(name=stage, modules=modules))
        start = end + 1
    return Backbone(
        name=name,
        stages=tuple(stages),
        channels=channels,
        grid=1,
        smallest_image=64,
        classifier=(classifier,),
        imagenet=ImageNetWeights(enum=enum, file=file),
    )


_COMPACT: Final = Backbone(
    name="compact",
    stages=tuple(Stage(name=name, modules=(name,)) for name in ("fine", "middle", "coarse", "place")),
    channels=32,
    grid=4,
    smallest_image=16,
    classifier=(),
    imagenet=None,
)

_ALL: Final = (
    _COMPACT,
    _resnet("resnet18", channels=512, enum="ResNet18_Weights.IMAGENET1K_V1", file="resnet18-f37072fd.pth"),
    _resnet("resnet34", channels=512, enum="ResNet34_Weights.IMAGENET1K_V1", file="resnet34-b627a593.pth"),
    _resnet("resnet50", channels=2048, enum="ResNet50_Weights.IMAGENET1K_V1", file="resnet50-0676ba61.pth"),
    _from_features(
        "vgg16_bn",
        ends={"block1": 6, "block2": 13, "block3": 23, "block4": 33, "block5": 43},
        channels=512,
        classifier="classifier",
        enum="VGG16_BN_Weights.IMAGENET1K_V1",
        file="vgg16_bn-6c64b313.pth",
    ),
    _from_features(
        "efficientnet_b0",
        ends={"stride2": 1, "stride4": 2, "stride8": 3, "stride16": 5, "stride32": 8},
        channels=1280,
        classifier="classifier",
        enum="EfficientNet_B0_Weights.IMAGENET1K_V1",
        file="efficientnet_b0_rwightman-7f5810bc.pth",
    ),
)

BACKBONES: Final[Mapping[str, Backbone]] = MappingProxyType({entry.name: entry for entry in _ALL})
"""Every supported backbone by name."""


def backbone(name: str) -> Backbone:
    """Look a backbone up.

    Raises:
        ExperimentError: The name is unknown.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    nearest = difflib.get_close_matches(name, BACKBONES, n=1, cutoff=0.4)
    remedy = f"did you mean {nearest[0]!r}?" if nearest else f"choose one of {', '.join(BACKBONES)}"
    raise ExperimentError(f"network.backbone: {name!r} is not a supported backbone; {remedy}")


def check_image_size(chosen: Backbone, size: int) -> None:
    """Refuse images too small for a backbone.

    Args:
        chosen: The backbone.
        size: Pixels a side.

    Raises:
        ExperimentError: The images are too small.
    """
    if size < chosen.smallest_image:
        raise ExperimentError(
            f"images.size: {chosen.name} needs images of at least {chosen.smallest_image} pixels a side, found "
            f"{size}; enlarge the images or choose another network.backbone"
        )


def check_first_layer(chosen: Backbone, first_layer: FirstLayer, image_channels: int | None = None) -> None:
    """Refuse a first layer for one-channel maps where it has no place.

    Args:
        chosen: The backbone.
        first_layer: The setting.
        image_channels: Channels C of the maps; None where they are not known yet.

    Raises:
        ExperimentError: The backbone reads the maps' own channels anyway, or the maps are coloured.
    """
    if first_layer == "three_channels":
        return
    problems = []
    if chosen.name == "compact":
        problems.append(
            f'network.first_layer: {chosen.name} takes the maps\' own channels already, found "{first_layer}"; '
            'set first_layer = "three_channels" or choose another network.backbone'
        )
    if image_channels is not None and image_channels != 1:
        problems.append(
            f'network.first_layer: "{first_layer}" reads grey maps, found maps of {image_channels} channels; '
            'set first_layer = "three_channels" or export the maps as grey ones'
        )
    if problems:
        raise ExperimentError(*problems)


def check_freeze_depth(chosen: Backbone, depth: int) -> None:
    """Refuse a freeze depth that the backbone does not have.

    Raises:
        SpaceError: `depth` is outside 0..S.
    """
    if not 0 <= depth <= chosen.stage_count:
        raise SpaceError(
            f"freeze_depth: {chosen.name} has {chosen.stage_count} stages ({', '.join(chosen.stage_names)}), "
            f"found {depth}; choose 0 to {chosen.stage_count}"
        )


def imagenet_weights(chosen: Backbone) -> ImageNetWeights:
    """The backbone's entry for ImageNet weights.

    Raises:
        WeightsError: There are no ImageNet weights for it.
    """
    if chosen.imagenet is None:
        raise WeightsError(
            f"network.weights: there are no ImageNet weights for {chosen.name}; "
            'set weights = "random" or give the path of a state dict'
        )
    return chosen.imagenet


def checkpoint_path(chosen: Backbone) -> Path:
    """Where torch keeps the backbone's ImageNet weights, whether or not the file is there.

    Follows `torch.hub.get_dir`: `TORCH_HOME`, else `XDG_CACHE_HOME/torch`, else `~/.cache/torch`.

    Raises:
        WeightsError: There are no ImageNet weights for this backbone.
    """
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints" / imagenet_weights(chosen).file
