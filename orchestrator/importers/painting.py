"""Segment values painted as a smooth polar map: one painter for every source of segments.

The geometry is that of `orchestrator.cohort.segments`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cohort.images import area_weights
from orchestrator.cohort.segments import Segments, segment_tiles
from orchestrator.experiment.bounds import check_number

_BLUR: Final = 0.12
"""Standard deviation of the painting kernel in map radii: 28 % of a radius full width at half maximum."""
_NARROW_BLUR: Final = 0.07
"""For the 20-segment model, whose apex has halves: a wide kernel overshoots where it has to keep their means."""

_SUPERSAMPLING: Final = 4
_SIZES: Final = (8, 1024)
"""Pixels of a side: below it a segment may have no pixel, above it no network reads them."""


def check_size(size: int) -> None:
    """Refuse a size that no map has.

    Raises:
        ExperimentError: It is below 8 pixels, or above 1024.
    """
    check_number("--size", size, *_SIZES, "64 pixels a side are usual")


def painting_basis(size: int, segments: Segments) -> NDArray[np.float64]:
    """The images whose weighted sum is a map.

    The segments' tiles are blurred by a Gaussian kernel normalised inside the unit disc, then combined so
    that the mean of a map over each segment is the segment's value.

    Args:
        size: Side of a map in pixels.
        segments: S segments that cover the disc.

    Returns:
        `[S, size, size]`; zero outside the unit disc, summing to the disc over the segments.
    """
    blur = _NARROW_BLUR if len(segments) == 20 else _BLUR
    tiles = segment_tiles(size * _SUPERSAMPLING, segments)
    disc = tiles.sum(axis=0)
    kernel = _kernel(size * _SUPERSAMPLING, blur)
    # Divided by the blurred disc: the kernel is normalised inside the disc, so the rim does not fade.
    smooth = disc * (kernel @ tiles @ kernel.T) / (kernel @ disc @ kernel.T)
    areas = tiles.sum(axis=(1, 2))
    means = np.einsum("ahw,bhw->ab", smooth, tiles) / areas  # of basis image a over segment b
    shrink = area_weights(size * _SUPERSAMPLING, size) / (size * _SUPERSAMPLING)
    # Blurring mixes neighbours; the inverse of the mixing restores every segment's mean.
    preserving = np.tensordot(np.linalg.inv(means), smooth, axes=1)
    basis: NDArray[np.float64] = shrink @ preserving @ shrink.T
    return basis


def painted(percent: NDArray[np.float64], basis: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Paint one map.

    Args:
        percent: `[S]`, 0 to 100, in the order of the basis's segments.
        basis: `[S, size, size]`, from `painting_basis`.

    Returns:
        `[size, size]`, 255 for 100 percent.
    """
    image = np.tensordot(percent, basis, axes=1)
    pixels: NDArray[np.uint8] = np.rint(np.clip(image, 0, 100) * 2.55).astype(np.uint8)
    return pixels


def _kernel(size: int, blur: float) -> NDArray[np.float64]:
    """`[size, size]`, one axis of the separable Gaussian kernel, not normalised."""
    centres = (np.arange(size) + 0.5) / size * 2
    kernel: NDArray[np.float64] = np.exp(-0.5 * ((centres[:, np.newaxis] - centres) / blur) ** 2)
    return kernel
