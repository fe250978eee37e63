"""Exams as tensors: a network's input is a function of the declared phases of that exam and of constants."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpi_model.errors import ExperimentError
from mpi_model.loss import exam_weights
from mpi_model.maps import FULL_SCALE, LabelledExams, Maps
from mpi_model.vocabulary import Inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentExams:
    """The exams of one training, on its device for as long as it lasts; nothing is loaded by the step."""

    rows: Tensor
    """`[n]`, int64, row numbers into `Maps`."""
    tracer: Tensor
    """`[n]`, int64."""
    labels: Tensor
    """`[n]`, float32 0 or 1."""
    weights: Tensor
    """`[n]`, float32, from `mpi_model.loss.exam_weights`."""

    def __len__(self) -> int:
        return len(self.tracer)


def input_tensor(maps: Maps, rows: NDArray[np.int64], inputs: Inputs) -> Tensor:
    """The images of some exams, as a network reads them.

    Args:
        maps: The exams.
        rows: `[n]`, row numbers into `maps`.
        inputs: Which phases to show; others are not touched.

    Returns:
        `[n, P, C, H, W]`, float32 0..1, on the CPU.

    Raises:
        CohortError: An exam lacks a phase.
    """
    maps.check_acquired(rows, inputs)
    # Float32 division of exact 16-bit integers: the same bits on every machine.
    pixels = maps.pixels(inputs)[rows].astype(np.float32) / np.float32(FULL_SCALE)
    return torch.from_numpy(pixels)


def tracer_tensor(maps: Maps, rows: NDArray[np.int64]) -> Tensor:
    """The tracers of some exams: `[n]`, int64, on the CPU."""
    return torch.from_numpy(maps.tracer[rows].astype(np.int64))


def resident(maps: Maps, exams: LabelledExams, inputs: Inputs, device: torch.device) -> ResidentExams:
    """Bring the exams of a training part to a device.

    Raises:
        CohortError: An exam lacks a phase.
        ExperimentError: There is no exam.
    """
    if len(exams) == 0:
        raise ExperimentError("training: there are no exams to train on; enlarge the training part")
    maps.check_acquired(exams.rows, inputs)
    # Weights come from this training part alone, never from validation or test exams.
    weights = exam_weights(exams.labels, maps.tracer[exams.rows])
    return ResidentExams(
        rows=torch.from_numpy(exams.rows).to(device),
        tracer=tracer_tensor(maps, exams.rows).to(device),
        labels=torch.from_numpy(exams.labels.astype(np.float32)).to(device),
        weights=torch.from_numpy(weights.astype(np.float32)).to(device),
    )
