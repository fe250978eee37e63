"""Augmentation: small, the same geometry for both phases, and decided by its generator."""

import math

import numpy as np
import pytest
import rounding
import torch

from mpi_model.augmentation import (
    _GAIN,
    _GAMMA,
    _ROTATION,
    _SHIFT,
    _rotate,
    apply_changes,
    displace,
    draw_changes,
    draw_shifts,
)


def discs(exams: int, phases: int, size: int, radius: float, channels: int = 1) -> torch.Tensor:
    """Noisy discs of a given radius in pixels, zero outside."""
    axis = torch.arange(size) - (size - 1) / 2
    inside = axis[:, None] ** 2 + axis**2 <= radius**2
    generator = torch.Generator().manual_seed(2)
    return (0.2 + 0.7 * torch.rand(exams, phases, channels, size, size, generator=generator)) * inside


def centroids(images: torch.Tensor) -> np.ndarray:
    """The centre of mass of each map as a complex number, rows upwards."""
    axis = torch.arange(images.shape[-1]) - (images.shape[-1] - 1) / 2
    mass = images.sum((-3, -2, -1))
    x = (images * axis).sum((-3, -2, -1)) / mass
    y = -(images * axis[:, None]).sum((-3, -2, -1)) / mass
    return (x + 1j * y).numpy()


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Maps `[B, P, C, H, W]`, each changed at random."""
    return apply_changes(images, draw_changes(len(images), images.shape[1], generator))


@pytest.mark.parametrize("radius", [9.0, 16.0])
def test_the_background_stays_exactly_zero(radius: float) -> None:
    """Nothing bleeds over the rim of the disc, whether it fills the image or not."""
    images = discs(16, 2, 32, radius)
    changed = augment(images, torch.Generator().manual_seed(0))
    axis = torch.arange(32) - 15.5
    outside = axis[:, None] ** 2 + axis**2 > radius**2
    assert (changed[..., outside] == 0).all()
    assert (changed[..., ~outside] > 0).all()


def test_both_phases_of_an_exam_turn_together_and_exams_turn_apart() -> None:
    """A spot at one place of both maps is still at one place afterwards, within the permitted angle."""
    images = torch.zeros(24, 2, 1, 48, 48)
    images[..., 6:10, 22:26] = 0.8
    angles = np.angle(centroids(augment(images, torch.Generator().manual_seed(4))) / centroids(images))
    # Blur and interpolation smear the spot, on any processor: by a thirtieth of a pixel, 15 pixels from the centre.
    smeared = 1 / 30 / 15
    np.testing.assert_allclose(angles[:, 0], angles[:, 1], rtol=0, atol=smeared)
    assert np.abs(angles).max() < _ROTATION + smeared
    assert np.abs(angles).max() > _ROTATION / 2
    assert len(np.unique(angles[:, 0].round(4))) > 12


def test_a_shift_moves_a_spot_and_a_stretch_moves_it_outwards() -> None:
    """A shift by a twelfth of half a map of 48 pixels is two pixels, to the right and downwards."""
    image = torch.full((1, 1, 1, 48, 48), 1e-6)
    image[..., 8:12, 22:26] = 1
    start = centroids(image)[0, 0]
    right_and_down = centroids(displace(image, torch.tensor([[1 / 12, 1 / 12, 0.0]])))[0, 0]
    outwards = centroids(displace(image, torch.tensor([[0.0, 0.0, 0.1]])))[0, 0]
    assert right_and_down - start == pytest.approx(2 - 2j, abs=0.02)
    assert outwards / start == pytest.approx(1 / 0.9, abs=0.02)


def test_both_phases_of_an_exam_are_displaced_alike_and_within_the_limits() -> None:
    """A spot at one place of both maps stays at one place, no further off than the limits permit."""
    images = torch.zeros(64, 2, 1, 48, 48)
    images[..., 6:10, 22:26] = 0.8
    shifts = draw_shifts(64, torch.Generator().manual_seed(4))
    places = centroids(displace(images, shifts))
    moved = np.abs(places - centroids(images))
    np.testing.assert_allclose(places[:, 0], places[:, 1], rtol=0, atol=1e-4)
    # Along one axis the spot, 16 pixels from the centre, is shifted and stretched; along the other it is shifted.
    limit = math.hypot(_SHIFT * 24, _SHIFT * 24 + 16 * _SHIFT) / (1 - _SHIFT) + 1 / 30
    assert limit / 2 < moved.max() < limit
    assert len(np.unique(moved[:, 0].round(3))) > 32


def test_a_batch_is_decided_by_its_generator_alone() -> None:
    """The global random state neither decides the augmentation nor is used up by it."""
    images = discs(4, 1, 16, 8)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = augment(images, torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(first, augment(images, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, augment(images, torch.Generator().manual_seed(2)))


def test_a_quarter_turn_is_numpys() -> None:
    """Rotation is about the centre and anticlockwise, without a shift of half a pixel."""
    image = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(3))
    turned = _rotate(image, torch.tensor([math.pi / 2]))
    # A place is computed in four roundings of numbers up to 8 pixels, in both directions; pixels differ by up to 1.
    bound = 2 * rounding.of_sum(4) * 8
    np.testing.assert_allclose(turned.numpy(), np.rot90(image.numpy(), axes=(2, 3)), rtol=0, atol=bound)


def test_the_level_of_counts_changes_by_a_few_percent_at_most() -> None:
    """A uniform map stays within the documented gain and exponent: the level of counts is the finding."""
    level = 0.5
    images = torch.full((200, 2, 1, 9, 9), level)
    centre = augment(images, torch.Generator().manual_seed(5))[..., 4, 4].squeeze(-1).numpy()
    lowest = level ** math.exp(_GAMMA) * (1 - _GAIN)
    highest = level ** math.exp(-_GAMMA) * (1 + _GAIN)
    bound = rounding.of_sum(16)  # gain, power, three by three blur and bilinear interpolation of numbers below 1
    assert lowest - bound <= centre.min() < centre.max() <= highest + bound
    assert abs(np.corrcoef(centre.T)[0, 1]) < 0.3


def test_blur_never_leaves_the_range_of_a_map_and_smooths() -> None:
    """Blur mixes neighbours: noise goes down, no map is flipped, values stay in 0..1."""
    images = discs(64, 1, 32, 40)
    changed = augment(images, torch.Generator().manual_seed(6))
    assert 0 <= changed.min() <= changed.max() <= 1
    assert changed[..., 8:-8, 8:-8].std() < images[..., 8:-8, 8:-8].std()
    flipped = images.flip(-1)
    assert (changed - images).abs().mean() < (changed - flipped).abs().mean()


def test_colour_maps_keep_their_colours_in_step() -> None:
    """The three channels of a colour map move and change as one."""
    grey = discs(4, 1, 16, 8)
    coloured = augment(grey.expand(-1, -1, 3, -1, -1), torch.Generator().manual_seed(1))
    assert torch.equal(coloured[:, :, :1], augment(grey, torch.Generator().manual_seed(1)))
    assert torch.equal(coloured[:, :, 0], coloured[:, :, 2])
