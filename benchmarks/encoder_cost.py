"""What a training step costs for each backbone and each end of its encoder, ResNet-18 whole being 1.

Run from the repository: `OMP_NUM_THREADS=1 python -m benchmarks.encoder_cost`. Random weights, nothing frozen, one
thread; the processor's time of this process, so that work beside it disturbs little; encoders take turns.
"""

import argparse
import sys
import time

import numpy as np
import torch

from mpi_model.network import TracerNetwork, build_network
from mpi_model.settings import NetworkSettings
from mpi_model.stages import backbone

ENCODERS = (
    *(("resnet18", end) for end in (5, 4, 3)),
    *(("efficientnet_lite0", end) for end in (18, 12, 10, 9, 6, 4)),
)


def main() -> None:
    """Print a Markdown table."""
    options = _arguments()
    torch.set_num_threads(1)
    networks = [_network(name, end) for name, end in ENCODERS]
    images = torch.rand(options.batch, 1, 1, options.size, options.size, generator=torch.Generator().manual_seed(0))
    seconds = np.asarray([[_step(network, images) for network in networks] for _ in range(options.rounds + 1)])[1:]
    typical = seconds.min(axis=0)
    for (name, end), step in zip(ENCODERS, typical, strict=True):
        chosen = backbone(name, end)
        ending = f"{name} to {chosen.stage_names[-1]} ({end} of {backbone(name).stage_count})"
        sys.stdout.write(f"| {ending} | {chosen.feature_width} | {1000 * step:.0f} | {step / typical[0]:.2f} |\n")


def _network(name: str, end: int) -> TracerNetwork:
    settings = NetworkSettings(backbone=name, weights="random", encoder_stages=end)
    return build_network(settings, "stress", image_channels=1, dropout=0.0, seed=0, state=None).train()


def _step(network: TracerNetwork, images: torch.Tensor) -> float:
    """Seconds of a forward and a backward pass."""
    begun = time.process_time()
    network(images, torch.zeros(len(images), dtype=torch.int64)).sum().backward()
    return time.process_time() - begun


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()


if __name__ == "__main__":
    main()
