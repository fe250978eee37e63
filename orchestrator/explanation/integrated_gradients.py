"""Integrated gradients of a network's score: how much each pixel adds to it, compared with a reference map.

The score is in log odds. The attributions of an exam add up to its score minus that of the reference map
(completeness). This holds exactly for the integral, and within a known bound for the sum that approximates it. Captum
does the sum; it is imported where it runs, because it is an extra and because it imports torch.

References:
    Sundararajan, Taly & Yan 2017, arXiv:1703.01365.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mpi_model.errors import ExperimentError, PolarmapError

_STEPS: Final = (32, 128, 512)
"""Midpoints of the path from the reference map to the exam; more only where fewer miss the bound."""
METHOD: Final = f"integrated gradients, {_STEPS[0]} midpoints, from the mean normal map of the tracer"
"""How scores are explained; attributions that were made otherwise are made again."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PixelAttributions:
    """The attributions of one exam; they are summed over segments and never stored."""

    pixels: NDArray[np.float64]
    """`[P, C, H, W]`, log odds."""
    difference: float
    """The exam's score minus the reference map's, log odds."""
    residual: float
    """The sum of the attributions minus `difference`."""
    bound: float
    """What the residual can be at most: see `_bound`."""


def integrated_gradients(network: nn.Module, image: Tensor, reference: Tensor, tracer: Tensor) -> PixelAttributions:
    """Attribute an exam's score to its pixels.

    One exam at a time: its numbers then do not depend on which exams are explained with it.

    Args:
        network: Takes `[B, P, C, H, W]` and `[B]`, gives `[B]`; in evaluation mode.
        image: `[P, C, H, W]`, float32 0..1.
        reference: The same shape.
        tracer: `[1]`, int64.

    Raises:
        ExperimentError: Captum is not installed.
        PolarmapError: The attributions do not add up to the difference of the scores.
    """
    try:
        from captum.attr import IntegratedGradients  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ExperimentError(
            "explanations need captum, which is not installed: pip install 'polarmap-tune[explain]'"
        ) from error
    explainer = IntegratedGradients(network)
    for steps in _STEPS:
        # The middles of equal steps: their star discrepancy, and so the bound of the error, is the smallest there is.
        attributed = explainer.attribute(
            image[None], reference[None], additional_forward_args=(tracer,), n_steps=steps, method="riemann_middle"
        )
        pixels = attributed[0].detach().cpu().numpy().astype(np.float64)
        scores = _scores_along(network, image, reference, tracer, steps)
        difference = float(scores[-1] - scores[0])
        residual, bound = float(pixels.sum()) - difference, _bound(scores, float(np.abs(pixels).sum()))
        if abs(residual) <= bound:
            return PixelAttributions(pixels=pixels, difference=difference, residual=residual, bound=bound)
    raise PolarmapError(
        f"attributions add up to {difference + residual:.6g}, but the scores differ by {difference:.6g}, more than "
        f"{bound:.2g} away; the score does not follow from its gradients and cannot be explained like this"
    )


def _scores_along(
    network: nn.Module, image: Tensor, reference: Tensor, tracer: Tensor, steps: int
) -> NDArray[np.float64]:
    """The scores `[steps + 1]` at the borders of the steps, from the reference map to the exam."""
    shares = torch.linspace(0, 1, steps + 1, device=image.device).view(-1, 1, 1, 1, 1)
    with torch.no_grad():
        scores: Tensor = network(reference + shares * (image - reference), tracer.expand(steps + 1))
    return scores.cpu().numpy().astype(np.float64)


def _bound(scores: NDArray[np.float64], size: float) -> float:
    """A bound of what the sum over midpoints can differ from the integral by.

    By Koksma's inequality it is V / 2n for n steps, V being the variation of the score's slope along the path. V is
    taken from the mean slopes of the steps, and doubled: a slope may vary within the steps as much as between them.
    Float32 adds a rounding error for each step.

    Args:
        scores: `[n + 1]`, at the borders of the steps.
        size: The sum of the attributions' absolute values.

    References:
        Kuipers & Niederreiter 1974, Uniform Distribution of Sequences, theorem 2.5.1.
    """
    steps = len(scores) - 1
    variation = 2 * float(np.abs(np.diff(np.diff(scores) * steps)).sum())
    rounding = steps * float(np.finfo(np.float32).eps) * (size + float(np.abs(scores).max()))
    return variation / (2 * steps) + rounding
