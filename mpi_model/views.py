"""The bank of views: every exam as it is, and changed in a few fixed ways, the same for every training of a plan.

Fixed views let the frozen stages be computed once for all candidates, and make candidates of different freeze
depths learn from the same pictures. An epoch shows each exam in one view drawn anew.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from mpi_model.augmentation import Changes, apply_changes, draw_changes
from mpi_model.bounded_cache import content_digest, process_cache
from mpi_model.exams import phase_pixels
from mpi_model.maps import FULL_SCALE, Maps
from mpi_model.vocabulary import PHASES_OF, Inputs

VIEWS: Final = 8
"""Views of an exam; view 0 is the exam as it is."""
CHUNK: Final = 64
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
        seen = _rounded(apply_changes(plain, _changes_at(self.changes, places)))
        is_plain = (places < self.exams).view(-1, 1, 1, 1, 1)
        return torch.where(is_plain, plain, _to_float(seen))


def views_of(maps: Maps, inputs: Inputs, *, seed: int | None, device: torch.device) -> Views:
    """The views of every exam of a cohort, kept for the process where they fit.

    Views are drawn and made on the CPU, so that they are the same on every device.

    Args:
        maps: The cohort; exams that lack a phase have black views, which nobody asks for.
        inputs: Which phases to show.
        seed: Decides the changes; None for the exams as they are, and nothing else.
        device: Where to keep them.
    """
    count = 1 if seed is None else VIEWS
    key = ("views", _digest(maps), inputs, seed, count, str(device))
    cache = process_cache(device.type)
    if cache.fits(count * len(PHASES_OF[inputs]) * maps.stress.nbytes):
        stored = cache.get(key, lambda: _bank(_bits(phase_pixels(maps, inputs)), seed).to(device))
        return Views(count=count, stored=stored, changes=None, exams=len(maps), key=key)
    stored = _bits(phase_pixels(maps, inputs)).to(device)
    changes = None if seed is None else _moved(_draw(len(stored), stored.shape[1], seed), device)
    return Views(count=count, stored=stored, changes=changes, exams=len(maps), key=key)


def _digest(maps: Maps) -> str:
    arrays = {"stress": maps.stress, "rest": maps.rest}
    return content_digest("maps", maps, arrays)


def _draw(exams: int, phases: int, seed: int) -> Changes:
    """The changes of all places, view after view; view 0's are drawn and not used."""
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1))
    drawn = [draw_changes(exams, phases, generator) for _ in range(VIEWS)]
    parts = {field.name: torch.cat([getattr(one, field.name) for one in drawn]) for field in fields(Changes)}
    return Changes(**parts)


def _bank(plain: Tensor, seed: int | None) -> Tensor:
    """All views: `[V * N, P, C, H, W]` from `[N, ...]`."""
    if seed is None:
        return plain
    changes = _draw(len(plain), plain.shape[1], seed)
    bank = plain.repeat(VIEWS, 1, 1, 1, 1)
    places = torch.arange(len(plain), len(bank))
    for chunk in torch.split(places, CHUNK):
        images = _to_float(plain[chunk % len(plain)])
        bank[chunk] = _rounded(apply_changes(images, _changes_at(changes, chunk)))
    return bank


def _changes_at(changes: Changes, places: Tensor) -> Changes:
    return Changes(**{field.name: getattr(changes, field.name)[places] for field in fields(Changes)})


def _moved(changes: Changes, device: torch.device) -> Changes:
    return Changes(**{field.name: getattr(changes, field.name).to(device) for field in fields(Changes)})


def _bits(pixels: np.ndarray[Any, np.dtype[np.uint16]]) -> Tensor:
    """16-bit pixels as int16 with the same bits, which every device can index."""
    return torch.from_numpy(pixels.view(np.int16))


def _to_float(bits: Tensor) -> Tensor:
    return (bits.to(torch.int32) & 0xFFFF).float() / FULL_SCALE


def _rounded(images: Tensor) -> Tensor:
    """Float 0..1 to the nearest stored value."""
    return (images * FULL_SCALE).round().to(torch.int32).to(torch.int16)
