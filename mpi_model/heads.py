"""Heads: from a feature vector to one logit, one linear map per tracer or one for all."""

import math

import torch
from torch import Tensor, nn

from mpi_model.settings import Heads
from mpi_model.vocabulary import TRACERS


class LogitHeads(nn.Module):
    """One linear head per tracer, routed by the exam's tracer, or one shared head."""

    def __init__(self, width: int, kind: Heads) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1 if kind == "shared" else len(TRACERS), device="meta")

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights uniformly in ±1/sqrt(width), the biases zero."""
        self.to_empty(device="cpu")
        bound = 1 / math.sqrt(self.linear.in_features)
        nn.init.uniform_(self.linear.weight, -bound, bound, generator=generator)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor, tracer: Tensor) -> Tensor:
        """Score exams.

        Every head reads every exam and the exam's own is picked: cheaper than sorting the exams by tracer, and
        nothing waits for the device.

        Args:
            features: `[B, width]`.
            tracer: `[B]`, int64 indices into `TRACERS`.

        Returns:
            `[B]` logits.
        """
        logits: Tensor = self.linear(features)
        if self.linear.out_features == 1:
            return logits.squeeze(1)
        return logits.gather(1, tracer.unsqueeze(1)).squeeze(1)
