"""The mean of a network's weights over the last epochs of a training."""

import copy

import torch

from mpi_model.network import TracerNetwork
from mpi_model.settings import Budget


class MeanNetwork:
    """Averages weights and batch-norm statistics, epoch after epoch (Izmailov et al. 2018, arXiv:1803.05407).

    The paper computes batch norm's statistics anew for the mean weights. Here they are averaged too: with a learning
    rate that falls to zero the networks lie close together, and no further pass over the exams is needed.
    """

    def __init__(self, budget: Budget) -> None:
        self._whole_schedule = budget == "schedule"
        self._mean: TracerNetwork | None = None
        self._count = 0

    @torch.no_grad()
    def after_epoch(self, network: TracerNetwork, progress: float) -> None:
        """Take a network as it is now into the mean.

        Nothing is taken in the first half of a schedule, whose rates are high, nor where patience ends trainings.

        Args:
            network: The network that is trained.
            progress: Share of the schedule that is done.
        """
        if progress <= 0.5 or not self._whole_schedule:
            return
        self._count += 1
        if self._mean is None:
            self._mean = copy.deepcopy(network)
            return
        now = network.state_dict()
        for name, mean in self._mean.state_dict().items():
            if mean.is_floating_point():
                # Exact where nothing moved, so frozen stages keep their bits.
                mean.lerp_(now[name], 1 / self._count)
            else:
                mean.copy_(now[name])

    def of(self, network: TracerNetwork) -> TracerNetwork:
        """The mean so far; the network itself before any was taken."""
        return network if self._mean is None else self._mean
