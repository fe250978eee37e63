"""What a whole machine trains in a second: a first loop as it is usually started, against cells on every core.

Run from the repository: `python -m benchmarks.machine_rate`. The first loop has torch's default threads and two loader
processes, kept alive; the engine has one process of one thread for each core, as the runner packs cells. In bf16 the
first loop runs under autocast, on processors that have bf16. Both are given the same seconds, warm; a row is epochs of
250 maps of 64 pixels (ResNet-18, batch 32) a second.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.first_loop import first_loop, write_files
from benchmarks.training_engine import BATCH, DEPTHS, MAPS, cohort, engine, native_bf16, processor
from mpi_model.backbones import build_encoder
from mpi_model.settings import Precision


def main() -> None:
    """Print one row a depth and the uniform mix; with `--role`, be one of the processes that are measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--role", choices=("loop", "fp32", "autocast", "bf16"))
    parser.add_argument("--depth", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0, help="of training for each number")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.role is not None:
        serve(options.role, options.depth, options.seconds, options.device)
        return
    cores = len(os.sched_getaffinity(0))
    given = [("loop", 1), ("fp32", cores)]
    if native_bf16():
        given += [("autocast", 1), ("bf16", cores)]
    head = " | ".join(
        f"{'first loop' if rival == 'loop' else 'first loop under autocast'} | engine {ours} | ratio"
        for (rival, _), (ours, _) in zip(given[::2], given[1::2], strict=True)
    )
    sys.stdout.write(f"{cores} cores of {processor()}\n| freeze depth | {head} |\n")
    sys.stdout.write("|---" * (1 + 3 * len(given) // 2) + "|\n")
    rates: list[tuple[float, ...]] = []
    for depth in DEPTHS:
        rates.append(tuple(rate(role, depth, processes, options.seconds) for role, processes in given))
        sys.stdout.write(line(str(depth), *rates[-1]))
    # The mix is a second of each depth's work in turn: mean seconds an epoch, not mean epochs a second.
    mix = [len(rates) / sum(1 / row[place] for row in rates) for place in range(len(given))]
    sys.stdout.write(line("uniform mix", *mix))


def line(name: str, *rates: float) -> str:
    """A row of the table: each pair of a first loop and an engine with its ratio."""
    pairs = zip(rates[::2], rates[1::2], strict=True)
    return "| ".join([f"| {name} ", *(f"{loop:.2f} | {ours:.2f} | {ours / loop:.1f} " for loop, ours in pairs)]) + "|\n"


def rate(role: str, depth: int, processes: int, seconds: float, device: str = "cpu") -> float:
    """Epochs a second of some processes on one device that begin together, when each of them is warm."""
    command = [sys.executable, "-m", "benchmarks.machine_rate", "--role", role, "--depth", str(depth)]
    command += ["--seconds", str(seconds), "--device", device]
    threads = {} if role in {"loop", "autocast"} else {"OMP_NUM_THREADS": "1"}
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | threads
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return sum(float(process.communicate()[0]) for process in started)


def serve(role: str, depth: int, seconds: float, device: str) -> None:
    """Warm up, say so, wait for the word, train for the given seconds, print epochs a second."""
    with tempfile.TemporaryDirectory() as folder:
        epoch = _epoch(role, depth, Path(folder), device)
        epoch()
        sys.stdout.write("warm\n")
        sys.stdout.flush()
        sys.stdin.readline()
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            epoch()
            done += 1
        sys.stdout.write(f"{done / (time.perf_counter() - start)}\n")


def _epoch(role: str, depth: int, folder: Path, device: str) -> Callable[[], object]:
    maps, labels = cohort()
    if role in {"loop", "autocast"}:
        paths, cast = write_files(folder, maps.stress[:MAPS]), role == "autocast"
        return first_loop(paths, labels, depth=depth, batch=BATCH, workers=2, autocast=cast, device=device)[1]
    torch.set_num_threads(1)
    state = build_encoder("resnet18", torch.Generator().manual_seed(0)).state_dict()
    precision: Precision = "bf16" if role == "bf16" else "fp32"
    arrays = {key: value.numpy() for key, value in state.items()}
    epochs = engine(maps, labels, arrays, depth, precision, torch.device(device))
    return lambda: next(epochs)


if __name__ == "__main__":
    main()
