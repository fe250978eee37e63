"""Scores of exams from a trained network."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpi_model.exams import input_tensor, tracer_tensor
from mpi_model.maps import Maps
from mpi_model.network import TracerNetwork
from mpi_model.schedule import batches_per_epoch

_BATCH = 64
"""Exams at a time. Fixed, since the last bits of a matrix product may depend on the number of its rows."""


def score_tensor(network: TracerNetwork, images: Tensor, tracer: Tensor, *, first: int = 0) -> Tensor:
    """Score exams that are on the network's device; the network's mode is as before afterwards.

    Args:
        network: In any mode; evaluated in evaluation mode and full precision.
        images: `[n, P, C, H, W]`, float32 0..1, or what the first stages made of them.
        tracer: `[n]`, int64.
        first: Stages that are already applied.

    Returns:
        `[n]` logits, float32.
    """
    mode = network.training
    network.eval()
    # Nearly equal parts, by the exams' number alone: the split must not depend on the caller.
    parts = max(1, batches_per_epoch(len(tracer), _BATCH))
    with torch.no_grad():
        pairs = zip(images.tensor_split(parts), tracer.tensor_split(parts), strict=True)
        scores = torch.cat([network(*pair, first=first) for pair in pairs])
    network.train(mode)
    return scores


def predict_scores(
    network: TracerNetwork, maps: Maps, rows: NDArray[np.int64], *, device: torch.device
) -> NDArray[np.float64]:
    """Score exams.

    Args:
        network: Moved to `device`; it knows its own input configuration.
        maps: The exams.
        rows: `[n]`, row numbers into `maps`.
        device: Where to compute.

    Returns:
        `[n]` logits, positive for abnormal.

    Raises:
        CohortError: An exam lacks a phase that the network reads.
    """
    images = input_tensor(maps, rows, network.architecture.inputs).to(device)
    scores = score_tensor(network.to(device), images, tracer_tensor(maps, rows).to(device))
    # Statistics run in float64; the conversion from float32 is exact.
    return scores.cpu().numpy().astype(np.float64)
