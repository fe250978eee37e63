"""What a run keeps of its cohort's maps: a fingerprint of each, and the means of its 17 segments; no pixels.

With them an external validation can tell, years later and without the development images, how unlike those a new
centre's maps are, and whether some of them are the same.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.maps import Maps
from mpi_model.vocabulary import PHASES, Phase
from orchestrator.cohort.duplicates import fingerprint
from orchestrator.cohort.segments import SEGMENTS_17, segment_means


def facts_of_maps(maps: Maps) -> pd.DataFrame:
    """The facts of N exams, one row an exam in the order of the maps.

    Returns:
        For each phase `<phase>_sha256`, the fingerprint of the decoded map, and `<phase>_segment_1` to `_17`, means of
        the AHA's segments in 0..1, over channels; null where it was not acquired.
    """
    columns: dict[str, object] = {}
    for phase, stack, present in zip(PHASES, (maps.stress, maps.rest), (maps.has_stress, maps.has_rest), strict=True):
        prints = [
            fingerprint(_grey_if_equal(image)) if here else None for image, here in zip(stack, present, strict=True)
        ]
        columns[f"{phase}_sha256"] = pd.array(prints, dtype="str")
        # A missing phase is stored as zeros in the maps; null keeps it apart from a map that is black.
        means = np.where(present[:, np.newaxis], segment_means(stack).mean(axis=1), np.nan)
        columns |= dict(zip(segment_columns(phase), means.T, strict=True))
    return pd.DataFrame(columns)


def segment_columns(phase: Phase) -> list[str]:
    """The names of a phase's 17 columns."""
    return [f"{phase}_segment_{segment.name}" for segment in SEGMENTS_17]


def _grey_if_equal(image: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """One channel where all are equal: a grey map in a cohort with coloured ones is stored in three."""
    return image[:1] if (image == image[:1]).all() else image
