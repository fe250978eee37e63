"""What a run keeps of its cohort's maps: a fingerprint of each, and the means of its 17 segments; no pixels.

With them an external validation can tell, years later and without the development images, whether a new centre's maps
are among those that the networks were trained on, and how unlike them they are.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.maps import FULL_SCALE, Maps
from mpi_model.vocabulary import PHASES, Phase
from orchestrator.cohort.duplicates import fingerprint
from orchestrator.importers.painting import SEGMENTS_17, segment_tiles

# Pixel centres of a map of 16 pixels leave the apex four of them; a finer grid places the edges of a segment better.
_FINER: Final = 4


def facts_of_maps(maps: Maps) -> pd.DataFrame:
    """The facts of N exams, one row an exam in the order of the maps.

    Returns:
        For each phase `<phase>_sha256`, the fingerprint of the decoded map, and `<phase>_segment_1` to `_17`, means of
        the AHA's segments in 0..1 (Cerqueira et al. 2002, doi:10.1161/hc0402.102975); null where it was not acquired.
    """
    columns: dict[str, object] = {}
    for phase, stack, present in zip(PHASES, (maps.stress, maps.rest), (maps.has_stress, maps.has_rest), strict=True):
        prints = [
            fingerprint(_grey_if_equal(image)) if here else None for image, here in zip(stack, present, strict=True)
        ]
        columns[f"{phase}_sha256"] = pd.array(prints, dtype="str")
        means = np.where(present[:, np.newaxis], _segment_means(stack), np.nan)
        columns |= dict(zip(segment_columns(phase), means.T, strict=True))
    return pd.DataFrame(columns)


def segment_columns(phase: Phase) -> list[str]:
    """The names of a phase's 17 columns."""
    return [f"{phase}_segment_{segment.name}" for segment in SEGMENTS_17]


def _grey_if_equal(image: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """One channel where all are equal: a grey map in a cohort with coloured ones is stored in three."""
    return image[:1] if (image == image[:1]).all() else image


def _segment_means(stack: NDArray[np.uint16]) -> NDArray[np.float64]:
    """`[N, 17]` from `[N, C, size, size]`, channels averaged."""
    size = stack.shape[-1]
    tiles = segment_tiles(size * _FINER, SEGMENTS_17)
    shares = tiles.reshape(len(tiles), size, _FINER, size, _FINER).sum(axis=(2, 4)).reshape(len(tiles), -1)
    weights = shares / shares.sum(axis=1, keepdims=True)
    pixels = stack.mean(axis=1).reshape(len(stack), -1) / FULL_SCALE
    means: NDArray[np.float64] = pixels @ weights.T
    return means
