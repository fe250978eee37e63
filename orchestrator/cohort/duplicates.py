"""Duplicate images: equal ones are refused, nearly equal ones are reported.

Images are compared by the pixels that a network sees (decoded, scaled, resampled). A PNG and an NPY file of one map
are therefore equal, and two exports of it in different sizes are nearly equal.

The measure for "nearly" is a difference, not a correlation, because perfusion maps of different normal patients
correlate highly by anatomy and by their common background. Both maps are averaged onto a coarse grid, divided by their
own mean, and the root mean square of their difference is taken, relative to the mean. A repeated scan of one patient
differs by about 4 % a segment (limits of agreement of +/-11 %, J Nucl Med 2011;52:1204), regions of different normals
by about 7 %. Among the 534 maps of the SPECTF data the closest two of different patients differ by 2.8 % in this
measure, the median pair by 14 %. A map exported again in another size, as JPEG or as counts, differs by at most 0.3 %.

Nearly equal maps are found without comparing all pairs. Two maps that differ little also differ little in any one
direction of their space. So each is compared with its neighbours in the few directions in which the maps of this cohort
differ most (a k-d tree). The time grows with the cohort and not with its square, and so does the memory.
"""

import hashlib
from collections.abc import Iterator, Sequence
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
_FEW: Final = 2048
"""Maps up to which all pairs are compared, in less time than it takes to import a tree."""
_DIRECTIONS: Final = 12
"""Directions of the tree; more make a tree slow, fewer let it propose pairs that are far apart."""
_NEIGHBOURS: Final = 32
"""Neighbours that a map is compared with, itself included; more equal maps of a group are joined through others."""
_BLOCK: Final = 4096
"""Maps whose neighbours are held at a time."""
_ROUNDING: Final = 1e-4
"""Relative to `_NEAR`: the tree's single precision may not lose a pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadImage:
    """What is compared of a decoded map, and its place in the manifest; the pixels themselves are kept elsewhere."""

    row: int
    """1-based data row."""
    patient_id: str
    phase: Phase
    fingerprint: str
    """Of the pixels: equal for equal ones."""
    coarse: NDArray[np.float32]
    """`[grid * grid]` of a grey map, `[3 * grid * grid]` of a coloured one, divided by the map's mean."""

    @classmethod
    def of(cls, pixels: NDArray[np.uint16], *, row: int, patient_id: str, phase: Phase) -> "ReadImage":
        """Reduce a map `[C, size, size]` to what is compared."""
        return cls(row=row, patient_id=patient_id, phase=phase, fingerprint=fingerprint(pixels), coarse=_coarse(pixels))


def duplicate_images(images: Sequence[ReadImage]) -> list[Problem]:
    """Find images with equal pixels.

    Args:
        images: All maps of a manifest.

    Returns:
        A problem for every group of equal maps: under two patients, in two exams, or as both phases.
    """
    groups: dict[str, list[ReadImage]] = {}
    for image in images:
        groups.setdefault(image.fingerprint, []).append(image)
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
        A notice for each group of nearly equal maps, at most `MAX_LISTED`, and a count of the other groups.
    """
    if len(images) < 2:
        return []
    coarse = _stacked(images)
    groups = [
        [images[place] for place in group]
        for group in _groups(len(images), _near_pairs(coarse))
        if len({images[place].patient_id for place in group}) > 1
    ]
    notices = [
        f"{rows_text({image.row for image in group})}: {len(group)} maps of {_patients(group)} patients differ from "
        f"one to the next by less than {_NEAR:.0%}; check whether they are one patient"
        for group in groups[:MAX_LISTED]
    ]
    left_out = len(groups) - MAX_LISTED
    return notices + ([f"… and {left_out} more groups of nearly equal maps"] if left_out > 0 else [])


def _patients(group: Sequence[ReadImage]) -> int:
    return len({image.patient_id for image in group})


def _stacked(images: Sequence[ReadImage]) -> NDArray[np.float32]:
    """All coarse maps, `[M, K]`; beside coloured ones a grey map is repeated for each colour."""
    longest = max(len(image.coarse) for image in images)
    stack = np.empty((len(images), longest), dtype=np.float32)
    for place, image in enumerate(images):
        stack[place] = np.tile(image.coarse, longest // len(image.coarse))
    # Divided by the root of its length, so that a distance is a root mean square difference.
    stack /= np.sqrt(np.float32(longest))
    return stack


def _near_pairs(coarse: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Pairs of maps that differ by less than `_NEAR`, as far as needed to join every group of them.

    Args:
        coarse: `[M, K]`, such that the distance of two rows is their difference.
    """
    if len(coarse) <= _FEW:
        differences = np.sqrt(np.maximum(_squared_distances(coarse), 0))
        near = np.argwhere(np.triu(differences < _NEAR, 1))
        yield from ((int(first), int(second)) for first, second in near)
        return
    # Imported here: few cohorts are large, and what is finished should answer in a moment.
    from scipy.spatial import cKDTree  # noqa: PLC0415

    projected = _projected(coarse)
    tree = cKDTree(projected)
    most = min(_NEIGHBOURS, len(coarse))
    for begin in range(0, len(coarse), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        # A projection shortens distances, never lengthens them: no near pair is missing among the neighbours.
        places = np.asarray(tree.query(projected[block], k=most, distance_upper_bound=_NEAR * (1 + _ROUNDING))[1])
        mine, column = np.nonzero(places < len(coarse))
        first, second = mine + begin, places[mine, column]
        later = first < second
        first, second = first[later], second[later]
        apart = np.linalg.norm(coarse[first] - coarse[second], axis=1)
        yield from zip(first[apart < _NEAR].tolist(), second[apart < _NEAR].tolist(), strict=True)


def _squared_distances(coarse: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of every map from every other, `[M, M]`; |a - b|² = |a|² + |b|² - 2ab, in double precision."""
    values = coarse.astype(np.float64)
    squares = np.einsum("mk,mk->m", values, values)
    found: NDArray[np.float64] = squares[:, np.newaxis] + squares - 2 * (values @ values.T)
    return found


def _projected(coarse: NDArray[np.float32]) -> NDArray[np.float64]:
    """The maps along the directions in which they differ most, `[M, _DIRECTIONS]` (principal components)."""
    blocks = [slice(begin, begin + _BLOCK) for begin in range(0, len(coarse), _BLOCK)]
    mean = coarse.mean(axis=0, dtype=np.float64)
    # By blocks: a centred copy of everything would take as much memory again.
    spread = np.zeros((coarse.shape[1], coarse.shape[1]))
    for block in blocks:
        centred = coarse[block] - mean
        spread += centred.T @ centred
    # Ascending eigenvalues: the last directions are those of the largest variance.
    directions = np.linalg.eigh(spread)[1][:, -_DIRECTIONS:]
    return np.concatenate([(coarse[block] - mean) @ directions for block in blocks])


def _groups(count: int, pairs: Iterator[tuple[int, int]]) -> list[list[int]]:
    """The places 0 to `count - 1` joined by pairs, groups of two and more (union-find)."""
    parent = list(range(count))

    def root(place: int) -> int:
        while parent[place] != place:
            # Halving the path keeps later searches short.
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    joined: set[int] = set()
    for first, second in pairs:
        parent[root(second)] = root(first)
        joined |= {first, second}
    groups: dict[int, list[int]] = {}
    for place in sorted(joined):
        groups.setdefault(root(place), []).append(place)
    return list(groups.values())


def _coarse(pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Average `[C, size, size]` onto the grid and divide by the mean: `[C * grid * grid]`."""
    size = pixels.shape[1]
    grid = min(_GRID, size)
    weights = area_weights(size, grid) / size
    averaged = weights @ (pixels / FULL_SCALE) @ weights.T
    # A nearly black map has no mean to divide by, and is refused elsewhere if it is empty.
    relative: NDArray[np.float32] = (averaged / max(float(averaged.mean()), 1e-12)).astype(np.float32)
    return relative.reshape(-1)
