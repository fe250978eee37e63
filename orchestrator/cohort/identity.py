"""The same image where two different ones are claimed: refused when equal, reported when nearly so.

Identity is judged on the pixels a network would see (decoded, scaled, resampled), so that a PNG and an NPY of
one map are the same image and two exports of it in different sizes are nearly so.

What "nearly" means. Perfusion maps of different normal patients resemble each other: correlations of percent
of peak are high by anatomy, and higher by the background they share. The measure used is therefore a
difference, not a correlation: both maps are averaged onto a coarse grid (about the 15 angles that a
resolution of 12 mm leaves independent on a circumference of 180 mm), divided by their own mean, and the root
mean square of their difference is taken, in percent of the mean. A repeated scan of one patient differs by
about 4 % a segment (limits of agreement of +/-11 %, J Nucl Med 2011;52:1204), regions of different normals
by about 7 %. Among the 534 maps of the SPECTF data the closest two of different patients differ by 2.8 %, by
this measure, the median pair by 14 %; a map exported again in another size, as JPEG or as counts by at most
0.3 %.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mpi_model.maps import FULL_SCALE
from mpi_model.vocabulary import Phase
from orchestrator.cohort.images import area_weights
from orchestrator.cohort.problems import SHOWN, Problem, rows_text

NEAR: Final = 0.01
"""Root-mean-square difference, relative to the mean, below which two maps are reported as one."""
GRID: Final = 16
"""Pixels a side on which maps are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadImage:
    """A decoded map and where the manifest names it."""

    row: int
    patient_id: str
    phase: Phase
    pixels: NDArray[np.uint16]
    """`[C, size, size]`."""


def repeated_images(images: Sequence[ReadImage]) -> list[Problem]:
    """Find one image that is claimed to be several.

    Args:
        images: All maps of a manifest.

    Returns:
        A problem for every group of equal maps, by what the group has in common.
    """
    groups: dict[str, list[ReadImage]] = {}
    for image in images:
        groups.setdefault(_fingerprint(image.pixels), []).append(image)
    return [_repetition(group) for group in groups.values() if len(group) > 1]


def _fingerprint(pixels: NDArray[np.uint16]) -> str:
    shape = repr(pixels.shape).encode("ascii")
    return hashlib.sha256(shape + np.ascontiguousarray(pixels, dtype="<u2").tobytes()).hexdigest()


def _repetition(group: Sequence[ReadImage]) -> Problem:
    rows = {image.row for image in group}
    place = rows_text(rows)
    if len({image.patient_id for image in group}) > 1:
        kind, advice = "one image under two patients", "name each patient's own image"
    elif len(rows) > 1:
        kind, advice = "one image in two exams of a patient", "delete the repetition or name the right image"
    else:
        kind, advice = "one image as stress and rest", "leave the phase that was not acquired blank"
    return Problem(kind=kind, line=f"{place}: {kind} (the decoded pixels are equal); {advice}")


def near_repetitions(images: Sequence[ReadImage]) -> list[str]:
    """Report maps of different patients that differ by less than two scans of one patient would.

    Args:
        images: Maps of a manifest, none equal to another.

    Returns:
        A notice for each pair, at most `SHOWN` and a count.
    """
    if len(images) < 2:
        return []
    _, patients = np.unique([image.patient_id for image in images], return_inverse=True)
    close = np.triu(relative_differences(images) < NEAR, 1) & (patients[:, np.newaxis] != patients)
    pairs = [(images[first], images[second]) for first, second in np.argwhere(close)]
    notices = [
        f"{rows_text([first.row])} ({first.phase}) and {rows_text([second.row])} ({second.phase}): maps of "
        f"two patients differ by less than {NEAR:.0%}; check whether they are one patient"
        for first, second in pairs[:SHOWN]
    ]
    return notices + [f"… and {len(pairs) - SHOWN} more pairs of nearly equal maps"] * (len(pairs) > SHOWN)


def relative_differences(images: Sequence[ReadImage]) -> NDArray[np.float64]:
    """Compare every map with every other (the measure of the module's docstring).

    Args:
        images: M maps.

    Returns:
        `[M, M]`, root-mean-square differences relative to the maps' means.
    """
    coarse = np.stack([_coarse(image.pixels) for image in images])
    squares = np.einsum("mk,mk->m", coarse, coarse)
    squared = squares[:, np.newaxis] + squares - 2 * (coarse @ coarse.T)
    differences: NDArray[np.float64] = np.sqrt(np.maximum(squared, 0) / coarse.shape[1])
    return differences


def _coarse(pixels: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Average onto the grid and divide by the mean: `[3 * GRID * GRID]`, grey repeated over the channels."""
    size = pixels.shape[1]
    grid = min(GRID, size)
    weights = area_weights(size, grid) / size
    averaged = weights @ (pixels / FULL_SCALE) @ weights.T
    return np.broadcast_to(averaged / averaged.mean(), (3, grid, grid)).reshape(-1)
