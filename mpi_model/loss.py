"""The one loss of training and selection: class-balanced within each tracer, averaged equally over tracers.

For N exams of T tracers, n(t, c) of them of tracer t and class c, an exam weighs u = N / (T * 2 * n(t, c)). The mean of
u times binary cross-entropy is then the mean over tracers of the mean over classes. (King and Zeng 2001,
doi:10.1093/oxfordjournals.pan.a004868, weight by class like this; the tracers are this project's own addition.)
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mpi_model.vocabulary import TRACERS


def class_weights(labels: NDArray[np.integer], tracer: NDArray[np.integer]) -> NDArray[np.float64]:
    """The weight of an exam of each tracer and class.

    Args:
        labels: `[N]`, 0 or 1, of the training part.
        tracer: `[N]`, indices into `TRACERS`.

    Returns:
        `[T, 2]`; zero for what is absent. A tracer with one class only is averaged over that class alone. The
        weights of the N exams themselves have mean 1.
    """
    counts = np.zeros((len(TRACERS), 2))
    np.add.at(counts, (tracer, labels), 1)
    present = counts > 0
    tracers = present.any(axis=1).sum()
    # Divided by the tracers and classes that are present, so that the weights of the N exams have mean 1.
    share = len(labels) / np.maximum(tracers * present.sum(axis=1, keepdims=True), 1)
    return np.where(present, share / np.maximum(counts, 1), 0.0)


def exam_weights(labels: NDArray[np.integer], tracer: NDArray[np.integer]) -> NDArray[np.float64]:
    """The weight of each exam of the training part.

    Args:
        labels: `[N]`, 0 or 1.
        tracer: `[N]`, indices into `TRACERS`.

    Returns:
        `[N]`, with mean 1.
    """
    weights: NDArray[np.float64] = class_weights(labels, tracer)[tracer, labels]
    return weights


def training_loss(logits: Tensor, labels: Tensor, weights: Tensor, label_smoothing: float) -> Tensor:
    """The loss of a batch, an unbiased estimate of the loss of the whole training part.

    Args:
        logits: `[B]`.
        labels: `[B]`, float 0 or 1.
        weights: `[B]`, from `exam_weights` of the whole training part.
        label_smoothing: s; targets become `label * (1 - s) + s / 2`.

    Returns:
        A scalar.
    """
    targets = labels * (1 - label_smoothing) + label_smoothing / 2
    # In float32 also under bf16 autocast: bf16 keeps 8 bits, too few for a loss that is summed and compared.
    return functional.binary_cross_entropy_with_logits(logits.float(), targets, weight=weights)


def disturbed_logits(logits: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """Logits with Gaussian noise, for training: the loss of an exam known by heart does not fall to zero.

    Noise keeps the logistic function from saturating early, as Chen, Deng and Du 2017 (doi:10.1109/CVPR.2017.428) do
    for the softmax. What it gains on small cohorts stands in `docs/small_cohorts.md`.

    Args:
        logits: `[B]`.
        noise: Standard deviation, on the scale of log odds.
        generator: On the logits' device.

    Returns:
        `[B]`, float32; the logits themselves without noise.
    """
    # Nothing is drawn without noise, so that dropout draws what it always drew.
    return (
        logits.float() + noise * torch.randn(len(logits), generator=generator, device=logits.device)
        if noise
        else logits
    )


def balanced_log_loss(
    scores: NDArray[np.float64],
    labels: NDArray[np.integer],
    tracer: NDArray[np.integer],
    weights: NDArray[np.float64],
) -> float:
    """The same measure on other exams: weighted means within tracers, then the mean over tracers present.

    On the training part itself this equals the mean of `exam_weights` times the log loss.

    Args:
        scores: `[n]` logits.
        labels: `[n]`, 0 or 1.
        tracer: `[n]`, indices into `TRACERS`.
        weights: `[T, 2]`, from `class_weights` of the training part.

    Returns:
        The loss; NaN if no exam has a weight.
    """
    # log(1 + exp(-s)) for positives: logaddexp does not overflow for large scores.
    losses = np.logaddexp(0, np.where(labels == 1, -scores, scores))
    exam = weights[tracer, labels]
    totals = np.bincount(tracer, exam, minlength=len(TRACERS))
    sums = np.bincount(tracer, exam * losses, minlength=len(TRACERS))
    # A tracer without exams in this part has no mean; it must not count as a loss of zero.
    present = totals > 0
    return float(np.mean(sums[present] / totals[present])) if present.any() else float("nan")


def mean_auc(scores: NDArray[np.float64], labels: NDArray[np.integer], tracer: NDArray[np.integer]) -> float | None:
    """The mean over tracers of the area under the ROC curve.

    The area is the share of (positive, negative) pairs in the right order, ties counting half (Hanley and McNeil
    1982, doi:10.1148/radiology.143.1.7063747). For watching a training; estimates belong to the statistics.

    Args:
        scores: `[n]`.
        labels: `[n]`, 0 or 1.
        tracer: `[n]`, indices into `TRACERS`.

    Returns:
        The mean over the tracers that have both classes, or None if there is none.
    """
    areas = []
    for number in range(len(TRACERS)):
        positive = scores[(tracer == number) & (labels == 1)]
        negative = np.sort(scores[(tracer == number) & (labels == 0)])
        if len(positive) and len(negative):
            # Left counts the negatives below, right also those equal: their mean gives ties one half.
            below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
            areas.append(below.mean() / (2 * len(negative)))
    return float(np.mean(areas)) if areas else None
