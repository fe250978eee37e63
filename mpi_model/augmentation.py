"""Small random changes of maps during training: rotation, displacement, intensity, blur. Never a flip.

A flip would swap septum and lateral wall, a large rotation would move a defect into another artery's territory. How far
the changes go was measured on the 267 real Tl-201 exams of the SPECTF collection (doi:10.1016/S0933-3657(01)00082-3).
Rotations up to 8 degrees left the cross-validated AUC where it was. A gain of ±10 % or an exponent of 1.2 cost about
.02, since the level of counts is itself the finding.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

_ROTATION: Final = math.radians(8)
"""Largest rotation in radians, either way: how well the heart's long axis is found again by hand."""
_SHIFT: Final = 0.08
"""Largest displacement along either axis, and largest relative stretch, either way, of maps that a network with random
weights learns from. The displacement is a share of half the map's width. Apex and base are set by hand too."""
_GAIN: Final = 0.02
"""Largest relative change of the counts, either way."""
_GAMMA: Final = 0.03
"""Largest natural logarithm of the exponent applied to the counts, either way."""
_BLUR: Final = 0.5
"""Largest share of a 3 x 3 binomial blur mixed into the map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is done to each of B exams; numbers, so that the same exam can be changed alike again."""

    angle: Tensor
    """`[B]`, radians."""
    gain: Tensor
    """`[B, P, 1, 1, 1]`, relative change of the counts."""
    gamma: Tensor
    """`[B, P, 1, 1, 1]`, natural logarithm of the exponent."""
    blur: Tensor
    """`[B, P, 1, 1, 1]`, share of the blurred map, the sign without meaning."""


def draw_changes(exams: int, phases: int, generator: torch.Generator) -> Changes:
    """Draw the changes of some exams, on the generator's device.

    The two maps of a dual input turn together, because they show one heart in one place. Their intensity and
    blur are drawn apart: they are two acquisitions, each scaled and filtered by itself, and a network should not
    take a uniform difference of scale for ischaemia.
    """
    angle = _uniform((exams,), _ROTATION, generator)
    gain, gamma, blur = (_uniform((exams, phases, 1, 1, 1), largest, generator) for largest in (_GAIN, _GAMMA, _BLUR))
    return Changes(angle=angle, gain=gain, gamma=gamma, blur=blur)


def apply_changes(images: Tensor, changes: Changes) -> Tensor:
    """Change a batch of maps.

    The disc of a map is the smallest centred one that holds its non-zero pixels; outside it stays exactly zero.

    Args:
        images: `[B, P, C, H, W]`, float 0..1.
        changes: Of the same exams and phases, on the same device.

    Returns:
        `[B, P, C, H, W]`, 0..1; a new tensor.
    """
    turned = _rotate(images.flatten(1, 2), changes.angle).view_as(images)
    blurred = torch.lerp(turned, _binomial_blur(turned), changes.blur.abs())
    return (blurred.pow(changes.gamma.exp()) * (1 + changes.gain)).clamp(0, 1) * _disc(images)


def _rotate(images: Tensor, angle: Tensor) -> Tensor:
    """Rotate images about their centre, bilinearly, zeros coming in from outside.

    Args:
        images: `[B, C, H, W]`, square.
        angle: `[B]` in radians, anticlockwise as displayed.

    Returns:
        `[B, C, H, W]`.
    """
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # Rows count downwards: the matrix takes an output place to the input place it is read from.
    matrix = torch.stack((cosine, -sine, zero, sine, cosine, zero), dim=1).view(-1, 2, 3)
    places = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, places, align_corners=False)


def draw_shifts(exams: int, generator: torch.Generator) -> Tensor:
    """Draw displacements to the right and downwards, and a stretch: `[B, 3]`, on the generator's device."""
    return _uniform((exams, 3), _SHIFT, generator)


def displace(images: Tensor, shifts: Tensor) -> Tensor:
    """Displace and stretch whole maps, bilinearly, both phases of an exam alike; the edge pixels are repeated.

    The disc moves with its content. Reading what comes in from the disc's rim instead, so that its outline stays in
    place, gained half as much on small cohorts (`docs/small_cohorts.md`).

    Args:
        images: `[B, P, C, H, W]`, square.
        shifts: `[B, 3]` from `draw_shifts`.

    Returns:
        `[B, P, C, H, W]`.
    """
    flat = images.flatten(1, 2)
    unit = torch.eye(2, 3, device=images.device).expand(len(images), -1, -1)
    own = functional.affine_grid(unit, list(flat.shape), align_corners=False)
    places = own * (1 - shifts[:, None, None, 2:]) - shifts[:, None, None, :2]
    return functional.grid_sample(flat, places, padding_mode="border", align_corners=False).view_as(images)


def _uniform(shape: tuple[int, ...], largest: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(shape, generator=generator, device=generator.device) * 2 - 1) * largest


def _binomial_blur(images: Tensor) -> Tensor:
    """Convolve with (1, 2, 1)/4 along both axes, the edge pixels repeated."""
    exams, phases, channels, height, width = images.shape
    padded = functional.pad(images.flatten(0, 1), (1, 1, 1, 1), mode="replicate")
    padded = padded.view(exams, phases, channels, height + 2, width + 2)
    rows = (padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]) / 4
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4


def _disc(images: Tensor) -> Tensor:
    """Where each map's disc is: `[B, P, 1, H, W]`, true within its outermost non-zero pixel's radius."""
    height, width = images.shape[-2:]
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    radius = y[:, None] ** 2 + x**2
    covered = (images.amax(2, keepdim=True) > 0) * radius
    return radius <= covered.amax((-2, -1), keepdim=True)
