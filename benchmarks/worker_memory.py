"""Measure what a worker keeps: resident size, and its growth over many candidates of every freeze depth.

Run from the repository: `OMP_NUM_THREADS=1 python -m benchmarks.worker_memory [--candidates 1000]`. Linux only.
The candidates are quick: 60 maps of 64 pixels, two steps each; the encoder is ResNet-18 from given weights, so that
the cached prefix of every depth is in use.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import torch

from mpi_model.backbones import build_encoder
from mpi_model.bounded_cache import process_cache
from mpi_model.maps import LabelledExams, Maps
from mpi_model.settings import Hyperparameters, NetworkSettings, TrainingSettings
from mpi_model.training import Recipe, train

EXAMS, SIZE = 60, 64
MEBIBYTE = 2**20


def main() -> None:
    """Print the resident size as candidates go by."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--candidates", type=int, default=1000)
    count = parser.parse_args().candidates
    torch.set_num_threads(1)
    sys.stdout.write(f"after importing torch: {resident():.0f} MiB\n")
    encoder = build_encoder("resnet18", torch.Generator().manual_seed(0))
    state = {key: value.numpy() for key, value in encoder.state_dict().items()}
    pixels = np.random.default_rng(0).integers(0, 65536, (EXAMS, 1, SIZE, SIZE), dtype=np.uint16)
    acquired, rows = np.ones(EXAMS, dtype=np.bool_), np.arange(EXAMS)
    tracer = (rows % 2).astype(np.int8)
    maps = Maps(stress=pixels, rest=pixels, has_stress=acquired, has_rest=acquired, tracer=tracer)
    exams = LabelledExams(rows=rows[:16], labels=(rows[:16] % 4 < 2).astype(np.int8))
    for number in range(count):
        depth = (5, 4, 3, 5, 4)[number % 5] if number >= 6 else number
        recipe = Recipe(
            inputs="stress",
            network=NetworkSettings(),
            training=TrainingSettings(epochs=1, batch_size=8),
            hyperparameters=Hyperparameters(freeze_depth=depth, encoder_learning_rate=None if depth == 5 else 3e-4),
            seed=number,
            views_seed=0,
            state=state,
        )
        for _ in train(maps, exams, exams, recipe=recipe, device=torch.device("cpu")):
            pass
        if number + 1 in (1, 6, 20, 50, 100) or (number + 1) % 200 == 0:
            cached = process_cache("cpu").size / MEBIBYTE
            sys.stdout.write(f"after {number + 1:>5} candidates: {resident():.0f} MiB, of which cache {cached:.0f}\n")
            sys.stdout.flush()


def resident() -> float:
    """The process's resident size in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


if __name__ == "__main__":
    main()
