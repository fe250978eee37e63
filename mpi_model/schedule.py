"""How an epoch is cut into steps, and how learning rates rise and fall over them."""

import math
from typing import Final

import torch
from torch import Tensor

from mpi_model.settings import TrainingSettings

_WARM_UP: Final = 0.05
"""Share of the horizon in which the learning rates rise linearly."""


def batches_per_epoch(exams: int, batch_size: int) -> int:
    """Steps of one epoch."""
    return math.ceil(exams / batch_size)


def horizon_steps(exams: int, settings: TrainingSettings) -> int:
    """Steps of a full training: the horizon of the learning-rate schedule.

    Args:
        exams: Exams in the training part.
        settings: Epochs and batch size.
    """
    return settings.epochs * batches_per_epoch(exams, settings.batch_size)


def epoch_batches(exams: int, batch_size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """A seeded permutation of the exams, cut into batches of nearly equal size.

    Nearly equal, so that no epoch ends in a batch of one or two exams whose statistics batch norm would take
    for those of the cohort.

    Args:
        exams: Number of exams n.
        batch_size: Most exams in a batch.
        generator: A CPU generator.

    Returns:
        Index tensors `[B]` (int64, CPU) that together hold every exam once; their sizes B differ by one at most.
    """
    order = torch.randperm(exams, generator=generator)
    return order.tensor_split(batches_per_epoch(exams, batch_size))


def learning_rate_factor(step: int, horizon: int) -> float:
    """The factor on every learning rate at a step.

    A short linear rise, then half a cosine down to zero (Loshchilov and Hutter 2017, doi:10.48550/arXiv.1608.03983,
    without restarts).

    Args:
        step: Steps done so far, from 0.
        horizon: Steps of a full training.

    Returns:
        Above 0 and at most 1 within the horizon, 0 beyond it.
    """
    # At least one step, so that very short trainings do not divide by zero.
    warm_up = max(1, round(_WARM_UP * horizon))
    # Adam's second moments are unreliable in the first steps; small rates keep them from spoiling pretrained weights.
    if step < warm_up:
        return (step + 1) / warm_up
    progress = min(1.0, (step - warm_up) / max(1, horizon - warm_up))
    return (1 + math.cos(math.pi * progress)) / 2
