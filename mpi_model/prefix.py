"""What a training's steps read: views, or what the frozen stages made of them, computed once for all trainings.

Frozen stages are a fixed function of an exam: with pretrained weights the same for every candidate, cell and kind of
head. With random weights every training has its own, and its frozen stages run in every step.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpi_model.backbones import empty_encoder, encoder_channels
from mpi_model.bounded_cache import content_digest, process_cache
from mpi_model.maps import Maps
from mpi_model.network import TracerNetwork
from mpi_model.schedule import batches_per_epoch
from mpi_model.settings import Precision
from mpi_model.views import CHUNK, Views, views_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """The inputs of a training's steps, for every view of every exam of the cohort."""

    views: Views
    activations: Tensor | None
    """`[V * N, P, ...]`, what the first stages made of the views; None where they run in the steps."""
    first: int
    """Stages that `activations` already passed; 0 without."""

    def at(self, places: Tensor) -> Tensor:
        """What the network reads for some places `[B]` of the views: `[B, P, ...]`, a copy."""
        return self.views.images(places) if self.activations is None else self.activations.index_select(0, places)


def material_for(
    network: TracerNetwork,
    maps: Maps,
    *,
    depth: int,
    state: Mapping[str, NDArray[np.generic]] | None,
    precision: Precision,
    seed: int | None,
    device: torch.device,
) -> Material:
    """Views of a cohort, through the network's frozen stages where that is worth keeping.

    Whether it is kept depends on the cohort's size and the settings, never on what the process did before: the
    numbers of a training must not.

    Args:
        network: On `device`, frozen to `depth`; its frozen stages hold `state`.
        maps: The cohort.
        depth: Frozen stages.
        state: The weights that all encoders started from; None for random ones.
        precision: Of the frozen stages.
        seed: Of the views; None for the exams as they are.
        device: Where to compute and keep.
    """
    views = views_of(maps, network.architecture.inputs, seed=seed, device=device)
    plain = Material(views=views, activations=None, first=0)
    if state is None or depth == 0:
        return plain
    settings = network.architecture
    ends = settings.encoder_stages
    shape = _shape(settings.backbone, ends, settings.image_channels, depth, views.stored.shape[-1])
    width = 2 if precision == "bf16" else 4
    size = views.count * len(maps) * views.stored.shape[1] * int(np.prod(shape)) * width
    cache = process_cache(device.type)
    if not cache.fits(size):
        return plain
    weights = content_digest("state", state, dict(state))
    first = (settings.backbone, settings.image_channels, settings.normalisation)
    key = ("prefix", *views.key, *first, weights, precision)
    # Encoders that end at different stages share the maps of a depth; after the last stage come pooled features.
    kind = "features" if depth == ends else "maps"

    def compute() -> Tensor:
        kept = {done: found for done in range(1, depth + 1) if (found := cache.peek((*key, "maps", done))) is not None}
        nearest = max(kept, default=0)
        return _computed(network, Material(views=views, activations=kept.get(nearest), first=nearest), depth, precision)

    activations = cache.get((*key, kind, depth), compute)
    return Material(views=views, activations=activations, first=depth)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """The context that a training's forward passes run in."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


@lru_cache(maxsize=256)
def _shape(name: str, ends: int, image_channels: int, depth: int, size: int) -> tuple[int, ...]:
    """What the first stages make of one map, without computing it."""
    encoder = empty_encoder(name, stages=ends, image_channels=image_channels).eval()
    image = torch.empty(1, encoder_channels(name, image_channels), size, size, device="meta")
    return tuple(encoder.prefix(image, depth).shape[1:])


@torch.no_grad()
def _computed(network: TracerNetwork, material: Material, depth: int, precision: Precision) -> Tensor:
    """Every view of every exam through the first stages, or the rest of them.

    On a CPU in fp32 bitwise what a step would compute for `compact`, ResNet-18 and -34 and VGG-16; of ResNet-50 and
    EfficientNet-B0 within rounding, because the library picks other kernels for other batch sizes. The chunks depend
    on the cohort's size alone, and are nearly equal.
    """
    count, device = material.views.count * material.views.exams, material.views.stored.device
    found: Tensor | None = None
    for chunk in torch.arange(count, device=device).tensor_split(batches_per_epoch(count, CHUNK)):
        with autocast(device, precision):
            part = network.prefix(material.at(chunk), depth, first=material.first)
        if found is None:
            found = part.new_empty(count, *part.shape[1:])
        found[chunk] = part
    assert found is not None
    return found
