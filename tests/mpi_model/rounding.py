"""How far rounding alone can take a number, from the precision and the count of operations; for no one processor.

Every bound here holds for any order of summation, so that it does not matter which instructions a library picks.
"""

import math

import torch
from torch import Tensor, nn

UNIT = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8}
"""Relative error of rounding one number to nearest: half the distance between 1 and its successor."""
CONFIDENCE = 6.0
"""Standard deviations that `through` allows for: exceeded once in 10^8 numbers if rounding errors are independent."""


def of_sum(terms: int, kind: torch.dtype = torch.float32) -> float:
    """Relative error of a sum of products, to the sum of their absolute values (Higham 2002, equation 3.4).

    Certain, not likely: `n u / (1 - n u)` for n roundings one after another. Add two roundings where the factors
    were rounded before, one where the result is.
    """
    rounded = terms * UNIT[kind]
    return rounded / (1 - rounded)


def through(network: nn.Module, kind: torch.dtype = torch.float32) -> float:
    """Relative error of what a network puts out, to its largest number, from rounding in every layer.

    A layer of n products a number adds `6 sqrt(n) u` (Higham & Mary 2019, doi 10.1137/18M1226312: rounding errors
    are as often up as down, so that n of them come to sqrt(n)); normalisation keeps errors from growing between the
    layers. Rounding the factors first, as bf16 does, is two of them a product; they average out over a sum.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    return CONFIDENCE * UNIT[kind] * sum(math.sqrt(layer.weight[0].numel()) for layer in layers)


def within(found: Tensor, exact: Tensor, magnitude: Tensor, terms: int, kind: torch.dtype) -> bool:
    """Whether every number is its exact sum, summed in single precision and rounded once to its own kind.

    Args:
        found: What was computed.
        exact: The same sums in double precision.
        magnitude: The sums of the absolute values of the same products, in double precision.
        terms: Products a sum.
        kind: What the sums were rounded to.
    """
    allowed = of_sum(terms) * magnitude + UNIT[kind] * exact.abs() * (1 + of_sum(terms))
    return bool(((found.double() - exact).abs() <= allowed + torch.finfo(kind).tiny).all())
