"""Duplicate images: equal ones are refused, nearly equal ones are reported.

Images are compared by the pixels that a network sees (decoded, scaled, resampled). A PNG and an NPY file of one map
are therefore equal, and two exports of it in different sizes are nearly equal.

The measure for "nearly" is a difference, not a correlation, because perfusion maps of different normal patients
correlate highly by anatomy and by their common background. Both maps are averaged onto a coarse grid, divided by their
own mean, and the root mean square of their difference is taken, relative to the mean. A repeated scan of one patient
differs by about 4 % a segment (limits of agreement of +/-11 %, J Nucl Med 2011;52:1204), regions of different normals
by about 7 %. Among the 534 maps of the SPECTF data the closest two of different patients differ by 2.8 % in this
measure, the median pair by 14 %; a map exported again in another size, as JPEG or as counts, by at most 0.3 %.
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
from orchestrator.cohort.problems import MAX_LISTED, Problem, rows_text

# Between the 0.3 % of one map exported twice and the 2.8 % of the most similar different patients (see above).
_NEAR: Final = 0.01
# Pixels along an edge. A resolution of 12 mm leaves about 15 independent angles on a circumference of 180 mm.
_GRID: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadImage:
    """A decoded map and its place in the manifest."""

    row: int
    """1-based data row."""
    patient_id: str
    phase: Phase
    pixels: NDArray[np.uint16]
    """`[C, size, size]`."""


def duplicate_images(images: Sequence[ReadImage]) -> list[Problem]:
    """Find images with equal pixels.

    Args:
        images: All maps of a manifest.

    Returns:
        A problem for every group of equal maps: under two patients, in two exams, or as both phases.
    """
    groups: dict[str, list[ReadImage]] = {}
    for image in images:
        groups.setdefault(fingerprint(image.pixels), []).append(image)
    return [_duplicate(group) for group in groups.values() if len(group) > 1]


def fingerprint(pixels: NDArray[np.uint16]) -> str:
    """SHA-256, hexadecimal, of a decoded map `[C, size, size]`: equal for equal pixels, whatever the file."""
    # Little-endian on every machine, and the shape first: equal bytes of another shape are another image.
    shape = repr(pixels.shape).encode("ascii")
    return hashlib.sha256(shape + np.ascontiguousarray(pixels, dtype="<u2").tobytes()).hexdigest()


def _duplicate(group: Sequence[ReadImage]) -> Problem:
    rows = {image.row for image in group}
    place = rows_text(rows)
    if len({image.patient_id for image in group}) > 1:
        kind, advice = "one image under two patients", "name each patient's own image"
    elif len(rows) > 1:
        kind, advice = "one image in two exams of a patient", "delete the repetition or name the right image"
    else:
        kind, advice = "one image as stress and rest", "leave the phase that was not acquired blank"
    return Problem(kind=kind, line=f"{place}: {kind} (the decoded pixels are equal); {advice}")


def near_duplicates(images: Sequence[ReadImage]) -> list[str]:
    """Report maps of different patients that differ by less than two scans of one patient.

    Args:
        images: Maps of a manifest, none equal to another.

    Returns:
        A notice for each pair, at most `MAX_LISTED`, and a count of the rest.
    """
    if len(images) < 2:
        return []
    _, patients = np.unique([image.patient_id for image in images], return_inverse=True)
    # The upper triangle: each pair once, no map with itself.
    close = np.triu(_relative_differences(images) < _NEAR, 1) & (patients[:, np.newaxis] != patients)
    pairs = [(images[first], images[second]) for first, second in np.argwhere(close)]
    notices = [
        f"{rows_text([first.row])} ({first.phase}) and {rows_text([second.row])} ({second.phase}): maps of "
        f"two patients differ by less than {_NEAR:.0%}; check whether they are one patient"
        for first, second in pairs[:MAX_LISTED]
    ]
    return notices + [f"… and {len(pairs) - MAX_LISTED} more pairs of nearly equal maps"] * (len(pairs) > MAX_LISTED)


def _relative_differences(images: Sequence[ReadImage]) -> NDArray[np.float64]:
    """Compare every map with every other by the measure of this module.

    Args:
        images: M maps.

    Returns:
        `[M, M]`, root-mean-square differences relative to the maps' means.
    """
    coarse = np.stack([_coarse(image.pixels) for image in images])
    # |a - b|² = |a|² + |b|² - 2ab needs one matrix product instead of a difference for each pair. Rounding can make
    # it slightly negative.
    squares = np.einsum("mk,mk->m", coarse, coarse)
    squared = squares[:, np.newaxis] + squares - 2 * (coarse @ coarse.T)
    differences: NDArray[np.float64] = np.sqrt(np.maximum(squared, 0) / coarse.shape[1])
    return differences


def _coarse(pixels: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Average `[C, size, size]` onto the grid and divide by the mean: `[3 * grid * grid]`, grey repeated thrice."""
    size = pixels.shape[1]
    grid = min(_GRID, size)
    weights = area_weights(size, grid) / size
    averaged = weights @ (pixels / FULL_SCALE) @ weights.T
    return np.broadcast_to(averaged / averaged.mean(), (3, grid, grid)).reshape(-1)
