"""What a training's steps read: views of the exams, or what the frozen stages made of them, computed once.

Every exam has a bank of views: as it is, and changed in a few fixed ways, the same for every training of a plan. Fixed
views let the frozen stages be computed once for all candidates, and candidates of different freeze depths learn from
the same images. An epoch shows each exam in one view, drawn anew.

Frozen stages are a fixed function of an exam. With pretrained weights they are the same for every candidate, cell and
kind of head. With random weights every training has its own, and its frozen stages run in every step.
"""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpi_model.augmentation import Changes, apply_changes, draw_changes
from mpi_model.backbones import empty_encoder
from mpi_model.bounded_cache import process_cache
from mpi_model.maps import FULL_SCALE, Maps
from mpi_model.network import TracerNetwork
from mpi_model.schedule import batches_per_epoch
from mpi_model.settings import Precision
from mpi_model.vocabulary import PHASES_OF, Inputs

_LAST_DIGEST: Final[dict[str, tuple[object, str]]] = {}
_VIEWS: Final = 8
"""Views of an exam; view 0 is the exam as it is."""
_CHUNK: Final = 64
"""Exams at a time, at most, while a bank is filled; fixed, as the last bits may depend on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """The views of all N exams of a cohort, on a device."""

    count: int
    """V; place `v * N + row` is view v of the exam in that row of `Maps`."""
    stored: Tensor
    """`[V * N, P, C, H, W]` as 16-bit integers' bits in int16, 0..FULL_SCALE; `[N, ...]` where V times that is
    too much to keep."""
    changes: Changes | None
    """Of all V * N places, where the views have to be made when they are asked for."""
    exams: int
    """N."""
    key: tuple[Any, ...]
    """All that the views depend on."""

    def images(self, places: Tensor) -> Tensor:
        """The views at some places `[B]`: `[B, P, C, H, W]`, float32 0..1."""
        if self.changes is None:
            return _to_float(self.stored.index_select(0, places))
        rows = places % self.exams
        plain = _to_float(self.stored.index_select(0, rows))
        changed = _rounded(apply_changes(plain, _changes_at(self.changes, places)))
        # View 0 is the exam as it is; the changes drawn for it are not applied.
        is_plain = (places < self.exams).view(-1, 1, 1, 1, 1)
        return torch.where(is_plain, plain, _to_float(changed))


def _views_of(maps: Maps, inputs: Inputs, *, seed: int | None, device: torch.device) -> Views:
    """The views of every exam of a cohort, kept for the process where they fit.

    Views are drawn and made on the CPU, so that they are the same on every device.

    Args:
        maps: The cohort; exams that lack a phase have black views, which nobody asks for.
        inputs: Which phases to show.
        seed: Decides the changes; None for the exams as they are, and nothing else.
        device: Where to keep them.
    """
    count = 1 if seed is None else _VIEWS
    key = ("views", _digest(maps), inputs, seed, count, str(device))
    cache = process_cache(device.type)
    # Decided by size alone, not by what the cache holds: the path must be the same in every process.
    if cache.fits(count * len(PHASES_OF[inputs]) * maps.stress.nbytes):
        stored = cache.get(key, lambda: _bank(_bits(maps.pixels(inputs)), seed).to(device))
        return Views(count=count, stored=stored, changes=None, exams=len(maps), key=key)
    stored = _bits(maps.pixels(inputs)).to(device)
    changes = None if seed is None else _moved(_draw(len(stored), stored.shape[1], seed), device)
    return Views(count=count, stored=stored, changes=changes, exams=len(maps), key=key)


def _digest(maps: Maps) -> str:
    arrays = {"stress": maps.stress, "rest": maps.rest}
    return _content_digest("maps", maps, arrays)


def _draw(exams: int, phases: int, seed: int) -> Changes:
    """The changes of all places, view after view; view 0's are drawn and not used."""
    # Shifted right by one bit: manual_seed takes a signed 64-bit number.
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1))
    drawn = [draw_changes(exams, phases, generator) for _ in range(_VIEWS)]
    parts = {field.name: torch.cat([getattr(one, field.name) for one in drawn]) for field in fields(Changes)}
    return Changes(**parts)


def _bank(plain: Tensor, seed: int | None) -> Tensor:
    """All views: `[V * N, P, C, H, W]` from `[N, ...]`."""
    if seed is None:
        return plain
    changes = _draw(len(plain), plain.shape[1], seed)
    bank = plain.repeat(_VIEWS, 1, 1, 1, 1)
    places = torch.arange(len(plain), len(bank))
    for chunk in torch.split(places, _CHUNK):
        images = _to_float(plain[chunk % len(plain)])
        bank[chunk] = _rounded(apply_changes(images, _changes_at(changes, chunk)))
    return bank


def _changes_at(changes: Changes, places: Tensor) -> Changes:
    return Changes(**{field.name: getattr(changes, field.name)[places] for field in fields(Changes)})


def _moved(changes: Changes, device: torch.device) -> Changes:
    return Changes(**{field.name: getattr(changes, field.name).to(device) for field in fields(Changes)})


def _bits(pixels: np.ndarray[Any, np.dtype[np.uint16]]) -> Tensor:
    """16-bit pixels as int16 with the same bits, which every device can index."""
    # Torch supports uint16 in part only.
    return torch.from_numpy(pixels.view(np.int16))


def _to_float(bits: Tensor) -> Tensor:
    # The mask undoes the sign that int16 gave to values above 32767.
    return (bits.to(torch.int32) & 0xFFFF).float() / FULL_SCALE


def _rounded(images: Tensor) -> Tensor:
    """Float 0..1 to the nearest stored value."""
    return (images * FULL_SCALE).round().to(torch.int32).to(torch.int16)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingInputs:
    """The inputs of a training's steps, for every view of every exam of the cohort."""

    views: Views
    activations: Tensor | None
    """`[V * N, P, ...]`, what the first stages made of the views; None where they run in the steps."""
    first: int
    """Stages that `activations` already passed; 0 without."""

    def at(self, places: Tensor) -> Tensor:
        """What the network reads for some places `[B]` of the views: `[B, P, ...]`, a copy."""
        return self.views.images(places) if self.activations is None else self.activations.index_select(0, places)


def training_inputs(
    network: TracerNetwork,
    maps: Maps,
    *,
    depth: int,
    state: Mapping[str, NDArray[np.generic]] | None,
    precision: Precision,
    seed: int | None,
    device: torch.device,
) -> TrainingInputs:
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
    views = _views_of(maps, network.architecture.inputs, seed=seed, device=device)
    plain = TrainingInputs(views=views, activations=None, first=0)
    if state is None or depth == 0:
        return plain
    settings = network.architecture
    ends = settings.encoder_stages
    shape = _shape(settings.backbone, ends, settings.image_channels, depth, views.stored.shape[-1])
    # Bytes of one activation.
    width = 2 if precision == "bf16" else 4
    size = views.count * len(maps) * views.stored.shape[1] * int(np.prod(shape)) * width
    cache = process_cache(device.type)
    if not cache.fits(size):
        return plain
    weights = _content_digest("state", state, dict(state))
    encoder = (settings.backbone, settings.image_channels, settings.normalisation)
    key = ("prefix", *views.key, *encoder, weights, precision)
    # Encoders that end at different stages share the maps of a depth; after the last stage come pooled features.
    kind = "features" if depth == ends else "maps"

    def compute() -> Tensor:
        kept = {done: found for done in range(1, depth + 1) if (found := cache.peek((*key, "maps", done))) is not None}
        # A shallower depth that is already kept saves its stages.
        nearest = max(kept, default=0)
        return _computed(
            network, TrainingInputs(views=views, activations=kept.get(nearest), first=nearest), depth, precision
        )

    activations = cache.get((*key, kind, depth), compute)
    return TrainingInputs(views=views, activations=activations, first=depth)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """The context that a training's forward passes run in."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


@lru_cache(maxsize=256)
def _shape(name: str, ends: int, image_channels: int, depth: int, size: int) -> tuple[int, ...]:
    """What the first stages make of one map, without computing it."""
    encoder = empty_encoder(name, stages=ends, image_channels=image_channels).eval()
    image = torch.empty(1, encoder.description.input_channels(image_channels), size, size, device="meta")
    return tuple(encoder.prefix(image, depth).shape[1:])


@torch.no_grad()
def _computed(network: TracerNetwork, inputs: TrainingInputs, depth: int, precision: Precision) -> Tensor:
    """Every view of every exam through the first stages, or the rest of them.

    On a CPU in fp32 they are bitwise what a step would compute for `compact`, ResNet-18 and -34 and VGG-16. For
    ResNet-50, EfficientNet-B0 and EfficientNet-Lite0 they are so within rounding, because on some processors the
    library picks other kernels for other batch sizes. The chunks depend on the cohort's size alone, and are nearly
    equal.
    """
    count, device = inputs.views.count * inputs.views.exams, inputs.views.stored.device
    found: Tensor | None = None
    # Allocated after the first chunk, whose type depends on autocast.
    for chunk in torch.arange(count, device=device).tensor_split(batches_per_epoch(count, _CHUNK)):
        with autocast(device, precision):
            part = network.prefix(inputs.at(chunk), depth, first=inputs.first)
        if found is None:
            found = part.new_empty(count, *part.shape[1:])
        found[chunk] = part
    assert found is not None
    return found


def _content_digest(kind: str, owner: object, arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """SHA-256 of arrays, their names, types and shapes; remembered for the last owner of each kind.

    Args:
        kind: What is digested, for example `maps`.
        owner: The object that holds the arrays, never changed while it lives; recognised by identity.
        arrays: The content.
    """
    # By identity, because hashing a cohort takes longer than looking up the views.
    if kind in _LAST_DIGEST and _LAST_DIGEST[kind][0] is owner:
        return _LAST_DIGEST[kind][1]
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        # Type and shape too: equal bytes of another shape are other maps.
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data if array.size else b"")
    _LAST_DIGEST[kind] = (owner, digest.hexdigest())
    return _LAST_DIGEST[kind][1]
