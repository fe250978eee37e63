"""What an exam is compared with: the mean map of the development exams of its tracer that are labelled normal.

A black map would not do. Perfusion defects are dark, and attributions are products with the difference from the
reference: of a defect they would be nearly nothing, whatever the network reads there (Sturmfels, Lundberg & Lee 2020,
doi:10.23915/distill.00022).
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpi_model.maps import FULL_SCALE, LabelledExams, Maps
from mpi_model.vocabulary import Inputs

ReferenceMaps = Mapping[int, Tensor]
"""By the tracer's number, `[P, C, H, W]`, float32 0..1."""


def reference_maps(maps: Maps, training: LabelledExams, inputs: Inputs) -> ReferenceMaps:
    """The mean normal map of every tracer that occurs.

    Args:
        maps: The exams.
        training: What the explained network has learned from: nothing of the exams that are explained.
        inputs: Which phases to show; every training exam has them.
    """
    found: dict[int, Tensor] = {}
    for tracer in np.unique(maps.tracer[training.rows]).tolist():
        normal = training.rows[(maps.tracer[training.rows] == tracer) & (training.labels == 0)]
        found[tracer] = torch.from_numpy(_mean(maps.pixels(inputs)[normal]))
    return found


def _mean(pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
    # Whole numbers are added up exactly, in whatever order a library adds them.
    mean: NDArray[np.float32] = (pixels.sum(axis=0, dtype=np.int64) / (len(pixels) * FULL_SCALE)).astype(np.float32)
    return mean
