"""What a GPU does with the engine: right numbers, speed, several cells on one card. `make gpu` writes the page.

Run from the repository: `python -m benchmarks.gpu benchmarks/gpu.md`. Without a GPU the same checks run on the
processor at a small size in some minutes and nothing is written, so that the script cannot rot. It ends with 1 where
a check fails.
"""

import argparse
import datetime
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, get_args

import numpy as np
import pandas as pd
import torch

from benchmarks.first_loop import first_loop, write_files
from benchmarks.machine_rate import rate
from benchmarks.training_engine import BATCH, DEPTHS, MAPS, State, cohort, engine, native_bf16, processor
from mpi_model.backbones import build_encoder
from mpi_model.gpu import bound_memory, give_back_memory, gpu_fault
from mpi_model.network import TracerNetwork, build_network
from mpi_model.settings import Heads, NetworkSettings, Precision
from mpi_model.stages import BACKBONES
from mpi_model.training_inputs import autocast
from orchestrator.cli import main as polarmap

HAS_GPU: Final = torch.cuda.is_available()
DEVICE: Final = torch.device("cuda" if HAS_GPU else "cpu")
UNIT: Final = {"fp32": 2.0**-24, "bf16": 2.0**-8}
"""Relative error of rounding one number to nearest."""


def main() -> int:
    """Check, measure, print; on a GPU write the page."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("page", type=Path)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    # TF32 would round every product to 11 bits; torch allows it in convolutions unless told otherwise.
    torch.backends.cudnn.allow_tf32 = False
    lines = [f"# The engine on {hardware()}", "", f"Written by `make gpu` on {datetime.date.today()}.", ""]
    failed = False
    for section in (equal_numbers, memory, speed, packed, whole_run):
        begun = time.perf_counter()
        title, found, fine = section()
        failed |= not fine
        lines += [f"## {title}", "", *found, ""]
        sys.stdout.write("\n".join(lines[-len(found) - 3 :]) + f"\n[{time.perf_counter() - begun:.0f} s]\n\n")
        sys.stdout.flush()
    if HAS_GPU:
        options.page.write_text("\n".join(lines), encoding="utf-8")
    return int(failed)


def hardware() -> str:
    """The card, or the processor where there is none."""
    return f"one {torch.cuda.get_device_name(0)}, torch {torch.__version__}" if HAS_GPU else processor()


Section = tuple[str, list[str], bool]
"""Its title, its lines, and whether all of its checks hold."""


def precisions() -> tuple[Precision, ...]:
    """Those that the device has instructions for."""
    return ("fp32", "bf16") if HAS_GPU or native_bf16() else ("fp32",)


def equal_numbers() -> Section:
    """Scores and gradients of every backbone, precision and kind of head against double precision on the processor."""
    rows, fine = [], True
    for name in BACKBONES:
        for heads in get_args(Heads):
            for precision in precisions():
                errors, bound = _errors(name, heads, precision)
                right = max(errors) <= bound
                fine &= right
                told = " | ".join(f"{error:.1e}" for error in (*errors, bound))
                rows.append(f"| {name} | {heads} | {precision} | {told} | {'ok' if right else 'FAILED'} |")
    head = ["| backbone | heads | precision | scores | gradient | bound | |", "|---|---|---|---|---|---|---|"]
    return "The device's numbers are double precision's, within rounding", head + rows, fine


def _errors(name: str, heads: Heads, precision: Precision) -> tuple[tuple[float, float], float]:
    """Relative errors of scores and of the gradient, both as norms, and what rounding explains."""
    settings = NetworkSettings(backbone=name, weights="random", heads=heads)
    network = build_network(settings, "stress", image_channels=1, dropout=0.0, seed=0, state=None).eval()
    size = BACKBONES[name].smallest_image
    images = torch.rand(4, 1, 1, size, size, generator=torch.Generator().manual_seed(1))
    exact = _scores_and_gradient(network.double(), images.double())
    network.float().to(DEVICE)
    with autocast(DEVICE, precision):
        found = _scores_and_gradient(network, images.to(DEVICE))
    errors = [float((ours.cpu().double() - true).norm() / true.norm()) for ours, true in zip(found, exact, strict=True)]
    return (errors[0], errors[1]), _bound(network, precision)


def _bound(network: TracerNetwork, precision: Precision) -> float:
    """What rounding explains of a relative error: six standard deviations of it."""
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)]
    if precision == "bf16":
        # Products of bf16 are added in single precision: a layer rounds what it reads, twice, and what it writes.
        return 6 * UNIT[precision] * math.sqrt(3 * len(layers))
    # A layer of n products adds 6 sqrt(n) u (Higham & Mary 2019, doi 10.1137/18M1226312); twice, there and back.
    return 2 * 6 * UNIT[precision] * sum(math.sqrt(layer.weight[0].numel()) for layer in layers)


def _scores_and_gradient(network: TracerNetwork, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    scores = network(images, torch.arange(len(images), device=images.device) % 2)
    # What the heads learn from: of earlier layers a rounding that crosses a ReLU's bend is no error of arithmetic.
    gradient = torch.autograd.grad(torch.sigmoid(scores.float()).sum(), network.heads.linear.weight)[0]
    return scores.detach(), gradient


def memory() -> Section:
    """A training that does not fit its bound fails as out of memory, and the process goes on."""
    title = "Out of memory"
    if not HAS_GPU:
        return title, ["No GPU; a fake one's share is doubled in `make test-nodes`."], True
    maps, labels = cohort(MAPS)
    bound_memory("cuda", 0.001)
    try:
        next(engine(maps, labels, _state(), 0, "fp32", DEVICE))
        said = "no error"
    except RuntimeError as error:
        said = gpu_fault(error) or repr(error)
    bound_memory("cuda", 1.0)
    give_back_memory("cuda")
    next(engine(maps, labels, _state(), 0, "fp32", DEVICE))
    return (
        title,
        [f"Bound to a thousandth of the card a training ends with `{said}`; the next one runs."],
        (said == "gpu_memory"),
    )


def speed() -> Section:
    """Seconds an epoch: the first loop, the same compiled, the engine; and what a candidate of 30 epochs takes."""
    exams, rounds, depths = (MAPS, 5, list(DEPTHS)) if HAS_GPU else (32, 1, [0, 5])
    maps, labels = cohort(exams)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(Path(folder), maps.stress[:exams])
        for depth in depths:
            rivals: list[Callable[[], object]] = [
                first_loop(paths, labels, depth=depth, batch=BATCH, device=DEVICE.type, compiled=compiled)[1]
                # Compiling for a processor takes minutes (docs/training_engine.md).
                for compiled in ([False, True] if HAS_GPU else [False])
            ]
            rivals += [partial(next, engine(maps, labels, _state(), depth, one, DEVICE)) for one in precisions()]
            for epoch in rivals:
                epoch()
            seconds = [median(column) for column in zip(*_timed(rivals, rounds), strict=True)]
            best = min(seconds[-len(precisions()) :])
            rows.append(f"| {depth} | " + " | ".join(f"{one:.4f}" for one in seconds) + f" | {1 / (30 * best):.2f} |")
    names = ["first loop", *(["compiled"] if HAS_GPU else []), *(f"engine {one}" for one in precisions())]
    head = ["| freeze depth | " + " | ".join(names) + " | trainings of 30 epochs a second |"]
    notes = ["", f"ResNet-18, 64 pixels, {exams} maps, batch {BATCH}: seconds an epoch. The engine has no CUDA graphs."]
    return "Speed", [*head, "|---" * (len(names) + 2) + "|", *rows, *notes], True


def _timed(rivals: list[Callable[[], object]], rounds: int) -> Iterator[list[float]]:
    """Seconds of each rival; they take turns."""
    for _ in range(rounds):
        found = []
        for epoch in rivals:
            begun = time.perf_counter()
            epoch()
            if HAS_GPU:
                torch.cuda.synchronize()
            found.append(time.perf_counter() - begun)
        yield found


def packed() -> Section:
    """Epochs a second of 1, 2, 4 and 8 processes on the one device."""
    counts, depths, seconds = ((1, 2, 4, 8), (0, 4, 5), 8.0) if HAS_GPU else ((1, 2), (5,), 1.0)
    rows = []
    for depth in depths:
        rates = [rate("fp32", depth, count, seconds, DEVICE.type) for count in counts]
        rows.append(f"| {depth} | " + " | ".join(f"{one:.1f}" for one in rates) + " |")
    head = ["| freeze depth | " + " | ".join(f"{count} at a time" for count in counts) + " |"]
    return "Cells side by side, epochs a second", [*head, "|---" * (len(counts) + 1) + "|", *rows], True


def whole_run() -> Section:
    """The same experiment with one cell at a time and with four: the same table of estimates."""
    share = [f"resources.gpus_per_cell={0.25 if HAS_GPU else 0}", f"resources.cpus_per_cell={1 if HAS_GPU else 0.5}"]
    small = ["network.backbone=compact", "network.weights=random", "search.space=learning_rates"]
    small += ["search.candidates=3", "search.inner_folds=2", "training.epochs=3", "folds.folds=2", "folds.repeats=1"]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        polarmap(["synth", f"{folder}/cohort", "--patients", "60", "--size", "32", "--format", "npy"])
        file = Path(folder) / "experiment.toml"
        file.write_text('[cohort]\nmanifest = "cohort/manifest.csv"\n', encoding="utf-8")
        for name, runner, more in (("one", "inline", share[:0]), ("four", "ray", share)):
            settings = [word for one in (f"name={name}", "images.size=32", *small, *more) for word in ("--set", one)]
            begun = time.perf_counter()
            if code := polarmap(["run", str(file), "--runner", runner, *settings]):
                return "Four cells on one device", [f"`polarmap run` ended with {code}."], False
            found.append(
                (time.perf_counter() - begun, pd.read_parquet(Path(folder) / "runs" / name / "report/summary.parquet"))
            )
    (alone, first), (together, second) = found
    numbers = first.select_dtypes("number").columns
    apart = float(np.nanmax(np.abs(first[numbers].to_numpy() - second[numbers].to_numpy())))
    told = f"Inline, one cell at a time: {alone:.0f} s. Ray, four at a time, its start included: {together:.0f} s. "
    # On a processor both runners give the same bytes; on a GPU sums are made in any order.
    return "Four cells on one device", [f"{told}Estimates differ by {apart:.1e} at most."], apart <= 0.02 * HAS_GPU


def _state() -> State:
    encoder = build_encoder("resnet18", torch.Generator().manual_seed(0))
    return {key: value.numpy() for key, value in encoder.state_dict().items()}


if __name__ == "__main__":
    sys.exit(main())
