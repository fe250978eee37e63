"""The network: normalisation by constants, one or more encoders, fusion of the phases, heads by tracer."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, get_args

import torch
from torch import Tensor, nn

from mpi_model.backbones import StagedEncoder, build_encoder, empty_encoder
from mpi_model.errors import WeightsError
from mpi_model.settings import Fusion, Heads, NetworkSettings
from mpi_model.stages import BACKBONES, Normalisation, backbone
from mpi_model.vocabulary import PHASES_OF, TRACERS, Inputs
from mpi_model.weights import State, apply_state

_MEAN_AND_SPREAD: Final[dict[Normalisation, tuple[tuple[float, ...], tuple[float, ...]]]] = {
    # The constants that torchvision's weights were trained with, for red, green and blue.
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # Those of EfficientNet-Lite's weights: (value - 127) / 128 of 8-bit values.
    "efficientnet_lite": ((127 / 255,), (128 / 255,)),
    # 0..1 becomes -1..1. Constants, because nothing may be fitted across patients.
    "centred": ((0.5,), (0.5,)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """All that decides a network's shape; with the weights, all that a saved model needs."""

    backbone: str
    encoder_stages: int
    """The encoder ends after so many stages of the backbone."""
    fusion: Fusion
    heads: Heads
    inputs: Inputs
    image_channels: int
    """Channels C of the maps: 1 grey, 3 colour."""
    normalisation: Normalisation
    dropout: float


def architecture_in(content: Mapping[str, object]) -> Architecture:
    """An architecture from plain JSON values, which anybody may have written.

    Raises:
        WeightsError: A value is missing, unknown, or of another kind.
    """
    known: dict[str, Collection[object]] = {
        "backbone": BACKBONES,
        "fusion": get_args(Fusion),
        "heads": get_args(Heads),
        "inputs": PHASES_OF,
        "image_channels": (1, 3),
        "normalisation": _MEAN_AND_SPREAD,
    }
    # Types too: true is 1 in Python, and a list cannot be looked up.
    wrong = [name for name, values in known.items() if not _is_one_of(content.get(name), values)]
    stages, dropout = content.get("encoder_stages"), content.get("dropout")
    is_share = isinstance(dropout, int | float) and type(dropout) is not bool and 0 <= dropout < 1
    if wrong or set(content) != set(Architecture.__dataclass_fields__) or not is_share:
        raise WeightsError(
            f"models: the saved network's architecture has no usable {wrong[0] if wrong else 'set of keys'}; restore it"
        )
    whole = BACKBONES[str(content["backbone"])].stage_count
    if type(stages) is not int or not 1 <= stages <= whole:
        raise WeightsError(f"models: the saved network's encoder_stages are not 1 to {whole}; restore it")
    return Architecture(**content)  # type: ignore[arg-type] # checked above


def _is_one_of(value: object, values: Collection[object]) -> bool:
    return type(value) in (str, int) and value in values


def _architecture(
    settings: NetworkSettings, inputs: Inputs, *, encoder_stages: int | None, image_channels: int, dropout: float
) -> Architecture:
    """The architecture that settings and a candidate ask for.

    Raises:
        ExperimentError: The backbone is unknown, or has not so many stages.
    """
    ends = settings.encoder_stages if encoder_stages is None else encoder_stages
    chosen = backbone(settings.backbone, ends)
    return Architecture(
        backbone=settings.backbone,
        encoder_stages=chosen.stage_count,
        fusion=settings.fusion,
        heads=settings.heads,
        inputs=inputs,
        image_channels=image_channels,
        normalisation=normalisation_of(settings),
        dropout=dropout,
    )


def normalisation_of(settings: NetworkSettings) -> Normalisation:
    """How maps are normalised: by the constants that pretrained weights were trained with.

    Raises:
        ExperimentError: The backbone is unknown.
    """
    pretrained = None if settings.weights == "random" else backbone(settings.backbone).imagenet
    return "centred" if pretrained is None else pretrained.normalisation


class _LogitHeads(nn.Module):
    """One linear head per tracer, routed by the exam's tracer, or one shared head."""

    def __init__(self, width: int, kind: Heads) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1 if kind == "shared" else len(TRACERS), device="meta")

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights uniformly in ±1/sqrt(width), the biases zero."""
        # Created on the meta device, so that no weight is drawn from the global random state.
        self.to_empty(device="cpu")
        bound = 1 / math.sqrt(self.linear.in_features)
        nn.init.uniform_(self.linear.weight, -bound, bound, generator=generator)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor, tracer: Tensor) -> Tensor:
        """Score exams.

        Every head reads every exam and the exam's own is picked: cheaper than sorting the exams by tracer, and
        nothing waits for the device.

        Args:
            features: `[B, width]`.
            tracer: `[B]`, int64 indices into `TRACERS`.

        Returns:
            `[B]` logits.
        """
        logits: Tensor = self.linear(features)
        if self.linear.out_features == 1:
            return logits.squeeze(1)
        # One gather for all exams: indexing by tracer would wait for the device.
        return logits.gather(1, tracer.unsqueeze(1)).squeeze(1)


class TracerNetwork(nn.Module):
    """Reads polar maps of the declared phases and scores each exam by its tracer's head."""

    mean: Tensor
    """`[C, 1, 1]` or `[1, 1, 1]`, and so is `spread`: a pixel is read as (value - mean) / spread."""
    spread: Tensor

    def __init__(self, architecture: Architecture, generator: torch.Generator, state: State | None = None) -> None:
        super().__init__()
        self.architecture = architecture
        mean, spread = _MEAN_AND_SPREAD[architecture.normalisation]
        # Not persistent: constants of the architecture, which saved models need not repeat.
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(spread).view(-1, 1, 1), persistent=False)
        count = len(TRACERS) if architecture.heads == "separate" else 1
        # Encoders come first, so that one seed gives one encoder for every input configuration and kind of head.
        self.encoders = nn.ModuleList(self._encoder(generator, state) for _ in range(count))
        phases = len(PHASES_OF[architecture.inputs])
        description = backbone(architecture.backbone, architecture.encoder_stages)
        self.input_channels = description.input_channels(architecture.image_channels)
        self.heads = _LogitHeads(description.feature_width * phases, architecture.heads)
        self.heads.initialise(generator)

    def forward(
        self, images: Tensor, tracer: Tensor, *, first: int = 0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Score exams.

        Args:
            images: `[B, P, C, H, W]`, float 0..1, phases in the order of `PHASES_OF`; or, where stages are already
                applied, what `prefix` made of them.
            tracer: `[B]`, int64 indices into `TRACERS`.
            first: Stages of the encoders that are already applied.
            generator: Draws the dropout in training mode; on the images' device.

        Returns:
            `[B]` logits, positive for abnormal.
        """
        started = images if first else self._normalised(images)
        features = self._drop(self._features(started, tracer, first), generator)
        return self.heads(features, tracer)  # type: ignore[no-any-return]

    def prefix(self, images: Tensor, depth: int, *, first: int = 0) -> Tensor:
        """Apply the first encoder's first stages; every encoder's, where all started from one state.

        Args:
            images: `[B, P, C, H, W]`, float 0..1, or what `prefix(images, first)` made of them.
            depth: 1 to S.
            first: Stages that are already applied.

        Returns:
            `[B, P, C', H', W']`, or `[B, P, F]` for depth S.
        """
        encoder = self.encoders[0]
        assert isinstance(encoder, StagedEncoder)
        started = images if first else self._normalised(images)
        started = encoder.prefix(started.flatten(0, 1), depth, first)
        return started.view(*images.shape[:2], *started.shape[1:])

    def _encoder(self, generator: torch.Generator, state: State | None) -> StagedEncoder:
        """With given weights nothing is drawn: for ResNet-18 that takes longer than its heads take to train."""
        settings = self.architecture
        name, stages, channels = settings.backbone, settings.encoder_stages, settings.image_channels
        if state is None:
            return build_encoder(name, generator, stages=stages, image_channels=channels)
        encoder = empty_encoder(name, stages=stages, image_channels=channels)
        apply_state(encoder, state)
        return encoder

    def _normalised(self, images: Tensor) -> Tensor:
        return (images.expand(-1, -1, self.input_channels, -1, -1) - self.mean) / self.spread

    def _features(self, images: Tensor, tracer: Tensor, first: int) -> Tensor:
        if len(self.encoders) == 1:
            return self._fused(self.encoders[0], images, first)
        if torch.compiler.is_exporting():
            # A graph does not know how many exams are of a tracer: every encoder reads all, each exam's own counts.
            of_first, of_second = (self._fused(encoder, images, first) for encoder in self.encoders)
            return torch.where((tracer == 0).unsqueeze(1), of_first, of_second)
        features = images.new_zeros(len(images), self.heads.linear.in_features)
        for number, encoder in enumerate(self.encoders):
            # Only the tracer's own exams, or their batch statistics would mix. Finding them waits for the device
            # once a step; this comparison is worth it.
            rows = (tracer == number).nonzero().squeeze(1)
            if len(rows):
                own = self._fused(encoder, images[rows], first)
                features = features.to(own.dtype).index_copy(0, rows, own)
        return features

    def _fused(self, encoder: nn.Module, images: Tensor, first: int) -> Tensor:
        """Both phases through one encoder, then side by side or stress beside stress minus rest."""
        # Both phases in one batch: they share the encoder's weights and its batch statistics.
        phases = encoder(images.flatten(0, 1), first).unflatten(0, images.shape[:2])
        if images.shape[1] == 1:
            return phases[:, 0]  # type: ignore[no-any-return]
        stress, rest = phases.unbind(1)
        second = rest if self.architecture.fusion == "concatenate" else stress - rest
        return torch.cat((stress, second), dim=1)

    def _drop(self, features: Tensor, generator: torch.Generator | None) -> Tensor:
        # nn.Dropout can only draw from the global random state.
        keep = 1 - self.architecture.dropout
        if not self.training or keep == 1:
            return features
        # Divided by the probability of keeping a feature, so that the expected value stays (inverted dropout).
        return features * torch.empty_like(features).bernoulli_(keep, generator=generator) / keep


def build_network(
    settings: NetworkSettings,
    inputs: Inputs,
    *,
    encoder_stages: int | None = None,
    image_channels: int,
    dropout: float,
    seed: int,
    state: State | None,
) -> TracerNetwork:
    """Build a network on the CPU; the global random state is neither read nor changed.

    Args:
        settings: The `[network]` section.
        inputs: Decides the phases P.
        encoder_stages: The encoder ends after so many stages; None where the settings decide.
        image_channels: Channels C of the maps: 1 grey (repeated to three for pretrained encoders) or 3.
        dropout: Probability of dropping a feature before the heads.
        seed: Decides the random weights.
        state: Weights of the whole backbone from `mpi_model.weights.load_state`, or None for random ones.

    Raises:
        ExperimentError: The backbone is unknown, or has not so many stages.
        WeightsError: The settings ask for pretrained weights and none are given, or of another network.
    """
    architecture = _architecture(
        settings, inputs, encoder_stages=encoder_stages, image_channels=image_channels, dropout=dropout
    )
    if settings.weights != "random" and state is None:
        raise WeightsError(
            f"network.weights: {settings.weights!r} asks for pretrained weights and none were given; load them "
            'first or set weights = "random"'
        )
    # A generator of its own: the same seed gives the same weights whatever ran before in this process.
    return TracerNetwork(architecture, torch.Generator().manual_seed(seed), state)
