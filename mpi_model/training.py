"""Training: one procedure for candidates (watched epoch by epoch) and for refits (an exact number of steps)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpi_model.augmentation import displace, draw_shifts
from mpi_model.averaging import MeanNetwork
from mpi_model.errors import TrainingDivergedError
from mpi_model.exams import ResidentExams, resident, tracer_tensor
from mpi_model.freezing import freeze, parameter_groups
from mpi_model.loss import balanced_log_loss, class_weights, disturbed_logits, mean_auc, training_loss
from mpi_model.maps import LabelledExams, Maps
from mpi_model.network import TracerNetwork, build_network
from mpi_model.prediction import score_tensor
from mpi_model.schedule import epoch_batches, horizon_steps, learning_rate_factor
from mpi_model.settings import Hyperparameters, NetworkSettings, Precision, TrainingSettings
from mpi_model.stages import backbone
from mpi_model.training_inputs import TrainingInputs, autocast, training_inputs
from mpi_model.vocabulary import Inputs
from mpi_model.weights import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything about a training but its exams; the same for a candidate's trainings and its refit."""

    inputs: Inputs
    network: NetworkSettings
    training: TrainingSettings
    hyperparameters: Hyperparameters
    seed: int
    """Decides initial weights, order of the exams, the view of each and dropout; non-negative."""
    views_seed: int
    """Decides the augmented views themselves; one for all trainings that are compared; non-negative."""
    state: State | None
    """Pretrained encoder weights, or None for random ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What an epoch of a training came to."""

    epoch: int
    """From 1."""
    steps: int
    """Optimiser steps since the start."""
    training_loss: float
    """Mean over the epoch, with augmentation, dropout and label smoothing as they were."""
    validation_loss: float
    """`mpi_model.loss.balanced_log_loss`, without label smoothing."""
    validation_auc: float | None
    """Mean over the tracers that have both classes, or None."""
    validation_scores: NDArray[np.float64]
    """`[n]` logits, aligned with the validation part's rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """The moving parts of one training."""

    recipe: Recipe
    network: TracerNetwork
    optimiser: torch.optim.Optimizer
    exams: ResidentExams
    data: TrainingInputs
    horizon: int
    """Steps over which the learning-rate schedule runs."""
    order: torch.Generator
    """Draws the order of the exams and their views; on the CPU."""
    noise: torch.Generator
    """Draws dropout and logit noise; on the device."""
    shifts: torch.Generator
    """Draws the displacements of the maps; on the CPU."""
    mean: MeanNetwork


class _Batch(NamedTuple):
    """The exams of one step; tracers, labels and weights are `[B]` too."""

    places: Tensor
    """`[B]`, int64, places among the views."""
    shifts: Tensor
    """`[B, 3]`, from `draw_shifts`."""
    tracer: Tensor
    labels: Tensor
    weights: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watched:
    """The validation part on the device, as the stages that learn will read it; tracers and labels are `[n]`."""

    images: Tensor
    """`[n, P, ...]`, what the frozen stages made of the exams."""
    tracer: Tensor
    first: int
    """Stages that `images` already passed."""
    labels: NDArray[np.int8]
    weights: NDArray[np.float64]
    """`[T, 2]`, of the training part."""


def train(
    maps: Maps, training: LabelledExams, validation: LabelledExams, *, recipe: Recipe, device: torch.device
) -> Iterator[Epoch]:
    """Train a candidate, an epoch at a time, for as long as the caller keeps asking.

    Patience and pruning are the caller's: it stops asking. On a CPU with one thread, in fp32, the same arguments
    give the same bytes in any process.

    Args:
        maps: The exams' pixels and tracers.
        training: The training part.
        validation: The part that the candidate is judged on.
        recipe: How to train.
        device: Where to train.

    Returns:
        One record an epoch, `recipe.training.epochs` of them at most.

    Raises:
        ExperimentError: The settings do not fit each other, the images or the network.
        CohortError: An exam lacks a phase.
        TrainingDivergedError: A loss or a score is no longer finite; raised while iterating.
    """
    session = _start(maps, training, recipe, horizon_steps(len(training), recipe.training), device)
    return _epochs(session, _watched(session, maps, training, validation, device))


def refit(
    maps: Maps, training: LabelledExams, *, recipe: Recipe, steps: int, horizon: int, device: torch.device
) -> TracerNetwork:
    """Train for an exact number of steps, nothing watched.

    Args:
        maps: The exams' pixels and tracers.
        training: The training part.
        recipe: How to train; its epochs play no part.
        steps: Optimiser steps to take.
        horizon: Steps over which the learning-rate schedule runs, as in the candidate's own trainings.
        device: Where to train.

    Returns:
        The network, in evaluation mode, on `device`.

    Raises:
        ExperimentError: The settings do not fit each other, the images or the network.
        CohortError: An exam lacks a phase.
        TrainingDivergedError: A loss is no longer finite.
    """
    session, done = _start(maps, training, recipe, horizon, device), 0
    while done < steps:
        done, _ = _run_epoch(session, done, steps)
    return session.mean.of(session.network).eval()


def _start(maps: Maps, training: LabelledExams, recipe: Recipe, horizon: int, device: torch.device) -> _Session:
    exams = resident(maps, training, recipe.inputs, device)
    # Four independent streams: another dropout must not change the order of the exams.
    initial, order, noise, shifts = np.random.SeedSequence(recipe.seed).generate_state(4, np.uint32).tolist()
    network = build_network(
        recipe.network,
        recipe.inputs,
        encoder_stages=recipe.hyperparameters.encoder_stages,
        image_channels=maps.stress.shape[1],
        dropout=recipe.hyperparameters.dropout,
        seed=initial,
        state=recipe.state,
    ).to(device)
    encoder = backbone(recipe.network.backbone, network.architecture.encoder_stages)
    encoder.check_image_size(min(maps.stress.shape[-2:]))
    freeze(network, recipe.hyperparameters.freeze_depth)
    groups = [{**group, "peak": group["lr"]} for group in parameter_groups(network, recipe.hyperparameters)]
    return _Session(
        recipe=recipe,
        network=network.train(),
        optimiser=torch.optim.AdamW(groups, fused=True),
        exams=exams,
        data=_training_data(network, maps, recipe, recipe.training.precision, device),
        horizon=horizon,
        order=torch.Generator().manual_seed(order),
        noise=torch.Generator(device).manual_seed(noise),
        shifts=torch.Generator().manual_seed(shifts),
        mean=MeanNetwork(recipe.training.budget),
    )


def _training_data(
    network: TracerNetwork, maps: Maps, recipe: Recipe, precision: Precision, device: torch.device
) -> TrainingInputs:
    return training_inputs(
        network,
        maps,
        depth=recipe.hyperparameters.freeze_depth,
        state=recipe.state,
        precision=precision,
        seed=recipe.views_seed if recipe.training.augment else None,
        device=device,
    )


def _watched(
    session: _Session, maps: Maps, training: LabelledExams, validation: LabelledExams, device: torch.device
) -> _Watched:
    """The validation part in view 0, in full precision whatever the training's is."""
    recipe = session.recipe
    maps.check_acquired(validation.rows, recipe.inputs)
    data = session.data
    if data.first and recipe.training.precision != "fp32":
        unaugmented = replace(recipe, training=replace(recipe.training, augment=False))
        data = _training_data(session.network, maps, unaugmented, "fp32", device)
    return _Watched(
        images=data.at(torch.from_numpy(validation.rows).to(device)),
        tracer=tracer_tensor(maps, validation.rows).to(device),
        first=data.first,
        labels=validation.labels,
        weights=class_weights(training.labels, maps.tracer[training.rows]),
    )


def _epochs(session: _Session, watched: _Watched) -> Iterator[Epoch]:
    """Train an epoch, score the validation exams, report; again."""
    tracers, done = watched.tracer.cpu().numpy(), 0
    for number in range(1, session.recipe.training.epochs + 1):
        done, loss = _run_epoch(session, done, session.horizon)
        scored = score_tensor(session.mean.of(session.network), watched.images, watched.tracer, first=watched.first)
        scores = scored.cpu().numpy().astype(np.float64)
        # A NaN score would rank anywhere, and the candidate could win the search.
        if not np.isfinite(scores).all():
            raise TrainingDivergedError(f"training: scores are not finite after epoch {number}; lower the rates")
        yield Epoch(
            epoch=number,
            steps=done,
            training_loss=loss,
            validation_loss=balanced_log_loss(scores, watched.labels, tracers, watched.weights),
            validation_auc=mean_auc(scores, watched.labels, tracers),
            validation_scores=scores,
        )


def _run_epoch(session: _Session, done: int, limit: int) -> tuple[int, float]:
    """Take one epoch's steps, or as many as are left; the steps done since the start, and the mean loss.

    The loss is summed on the device and read once, so that no step waits for it.
    """
    exams = session.exams
    batches = epoch_batches(len(exams), session.recipe.training.batch_size, session.order)
    sizes = [len(batch) for batch in batches][: limit - done]
    shown = torch.randint(session.data.views.count, (len(exams),), generator=session.order)
    device = exams.tracer.device
    # Drawn for all exams, also where fewer steps are left: the streams go on alike.
    shifts = draw_shifts(len(exams), session.shifts)
    taken = sum(sizes)
    order = torch.cat(batches)[:taken].to(device)
    places = exams.rows[order] + shown[:taken].to(device) * session.data.views.exams
    fields = (places, shifts[:taken].to(device), exams.tracer[order], exams.labels[order], exams.weights[order])
    columns = (field.split_with_sizes(sizes) for field in fields)
    total = torch.zeros((), device=device)
    for step, (size, *batch) in enumerate(zip(sizes, *columns, strict=True), start=done):
        total += _step(session, _Batch(*batch), step) * size
    loss = float(total) / taken
    if not math.isfinite(loss):
        raise TrainingDivergedError(f"training: the loss is {loss} by step {done + len(sizes)}; lower the rates")
    done += len(sizes)
    session.mean.after_epoch(session.network, done / session.horizon)
    return done, loss


def _step(session: _Session, batch: _Batch, step: int) -> Tensor:
    """One optimiser step on some exams, each in one view; the batch's loss, detached."""
    recipe, data = session.recipe, session.data
    for group in session.optimiser.param_groups:
        group["lr"] = group["peak"] * learning_rate_factor(step, session.horizon)
    images = data.at(batch.places)
    # Pretrained stages are computed once for fixed views; random ones run in every step, and may see a map anew.
    if recipe.training.augment and recipe.state is None:
        images = displace(images, batch.shifts)
    with autocast(images.device, recipe.training.precision):
        logits = session.network(images, batch.tracer, first=data.first, generator=session.noise)
    logits = disturbed_logits(logits, recipe.hyperparameters.logit_noise, session.noise)
    loss = training_loss(logits, batch.labels, batch.weights, recipe.hyperparameters.label_smoothing)
    # Gradients become None, not zero: parameters that no exam of the batch reached keep their moments.
    session.optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    session.optimiser.step()
    return loss.detach()
