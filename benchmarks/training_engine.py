"""Measure the training engine against a first loop, and against what the processor's convolutions can do.

Run from the repository: `OMP_NUM_THREADS=1 python -m benchmarks.training_engine docs/training_engine.md`. ResNet-18,
64 pixels, 250 maps, batch 32, one thread; a round measures every rival once, and a row is the median over rounds.
The engine in bf16 is held against the first loop under autocast; on a processor without native bf16 neither is
measured. Targets: single precision 2.3 times the first loop on the uniform mix of depths, 3.5 times at depth 4, 300
times at depth 5.
"""

import argparse
import datetime
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.first_loop import first_loop, write_files
from mpi_model.backbones import build_encoder
from mpi_model.freezing import freeze
from mpi_model.maps import LabelledExams, Maps
from mpi_model.network import TracerNetwork, build_network
from mpi_model.settings import Hyperparameters, NetworkSettings, Precision, TrainingSettings
from mpi_model.training import Epoch, Recipe, train
from orchestrator.experiment.processor import _has_bf16, _processor_features

MAPS, SIZE, BATCH, DEPTHS = 250, 64, 32, range(6)
LARGE = 128
"""Pixels of the second size that is held against the ceiling."""
CPU = torch.device("cpu")
State = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Medians at one freeze depth: seconds an epoch, and GFLOP/s of forward and backward."""

    depth: int
    loop: float
    fp32: float
    bf16: tuple[float, float] | None
    """The first loop under autocast and the engine in bf16; None where the processor has no bf16."""
    first_fp32: float
    """Seconds to fill the cache once a worker, shallower depths being kept."""
    gflops: float


def main() -> None:
    """Measure and write the page; what follows its first second-level heading stays."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("page", type=Path)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    maps, labels = cohort()
    encoder = build_encoder("resnet18", torch.Generator().manual_seed(0))
    state: State = {key: value.numpy() for key, value in encoder.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(Path(folder), maps.stress[:MAPS])
        rows = [measure(maps, labels, state, paths, depth, options.rounds) for depth in DEPTHS]
    large = [suffix_speed(state, depth, LARGE) for depth in DEPTHS[:-1]]
    page = document(rows, large, ceiling("fp32"), ceiling("bf16") if native_bf16() else None, options.rounds)
    written = options.page.read_text(encoding="utf-8") if options.page.exists() else ""
    notes = written.partition("\n## ")[2]
    options.page.write_text(page + (f"\n## {notes}" if notes else ""), encoding="utf-8")
    sys.stdout.write(page)


def cohort(exams: int = MAPS) -> tuple[Maps, NDArray[np.int8]]:
    """Noise: what a map shows does not change how long it takes. Two more maps than are trained on, to watch."""
    pixels = np.random.default_rng(0).integers(0, 65536, (exams + 2, 1, SIZE, SIZE), dtype=np.uint16)
    acquired, rows = np.ones(len(pixels), dtype=np.bool_), np.arange(len(pixels))
    tracer = (rows % 2).astype(np.int8)
    maps = Maps(stress=pixels, rest=pixels, has_stress=acquired, has_rest=acquired, tracer=tracer)
    return maps, (rows % 4 < 2).astype(np.int8)


def measure(maps: Maps, labels: NDArray[np.int8], state: State, paths: list[Path], depth: int, rounds: int) -> Row:
    """One depth: the rivals take turns."""
    _, loop = first_loop(paths, labels, depth=depth, batch=BATCH)
    before = time.perf_counter()
    fp32 = engine(maps, labels, state, depth, "fp32")
    first = time.perf_counter() - before
    rivals: list[tuple[Callable[[], object], bool]] = [(loop, False), (partial(next, fp32), True)]
    if native_bf16():
        _, cast = first_loop(paths, labels, depth=depth, batch=BATCH, autocast=True)
        rivals += [(cast, False), (partial(next, engine(maps, labels, state, depth, "bf16")), True)]
    for epoch, _ in rivals:
        epoch()
    # An epoch of heads alone is too short for the clock.
    repeats = 20 if depth == len(DEPTHS) - 1 else 1
    times = [tuple(seconds(epoch, repeats if ours else 1) for epoch, ours in rivals) for _ in range(rounds)]
    of_loop, of_fp32, *of_bf16 = (median(column) for column in zip(*times, strict=True))
    speed = 0.0 if repeats > 1 else suffix_speed(state, depth, SIZE)
    sys.stderr.write(f"depth {depth}: {of_loop:.3f} {of_fp32:.4f} {of_bf16} s an epoch\n")
    pair = (of_bf16[0], of_bf16[1]) if of_bf16 else None
    return Row(depth=depth, loop=of_loop, fp32=of_fp32, bf16=pair, first_fp32=first, gflops=speed)


def native_bf16() -> bool:
    """Whether this processor has instructions for bf16."""
    return _has_bf16(_processor_features() or frozenset())


def engine(
    maps: Maps,
    labels: NDArray[np.int8],
    state: State,
    depth: int,
    precision: Precision,
    device: torch.device = CPU,
) -> Iterator[Epoch]:
    """The engine's epochs; it watches the last two exams."""
    rows = np.arange(len(maps))
    parts = [LabelledExams(rows=part, labels=labels[part]) for part in (rows[:-2], rows[-2:])]
    rate = None if depth == len(DEPTHS) - 1 else 3e-4
    recipe = Recipe(
        inputs="stress",
        network=NetworkSettings(),
        training=TrainingSettings(epochs=1_000_000, batch_size=BATCH, precision=precision),
        hyperparameters=Hyperparameters(freeze_depth=depth, encoder_learning_rate=rate),
        seed=0,
        views_seed=0,
        state=state,
    )
    return train(maps, *parts, recipe=recipe, device=device)


def seconds(action: Callable[[], object], repeats: int = 1) -> float:
    """Seconds of one action, the mean of some in a row."""
    start = time.perf_counter()
    for _ in range(repeats):
        action()
    return (time.perf_counter() - start) / repeats


def suffix_speed(state: State, depth: int, size: int) -> float:
    """GFLOP/s of forward and backward through the stages that learn, in single precision."""
    network = build_network(NetworkSettings(), "stress", image_channels=1, dropout=0.0, seed=0, state=state)
    freeze(network, depth)
    network.train()
    images = torch.rand(BATCH, 1, 1, size, size)
    if depth:
        with torch.no_grad():
            images = network.prefix(images, depth)
    tracer = torch.arange(BATCH) % 2
    with FlopCounterMode(display=False) as counter:
        forward_and_backward(network, images, tracer, depth)
    times = [seconds(lambda: forward_and_backward(network, images, tracer, depth)) for _ in range(9)]
    return float(counter.get_total_flops() / median(times) / 1e9)


def forward_and_backward(network: TracerNetwork, images: torch.Tensor, tracer: torch.Tensor, depth: int) -> None:
    """One step without the optimiser."""
    network.zero_grad()
    network(images, tracer, first=depth).sum().backward()


def ceiling(precision: Precision) -> float:
    """The best GFLOP/s of a convolution of this network, forward, large enough to be limited by arithmetic."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    speeds = []
    for channels, side in ((64, 64), (128, 32), (256, 16)):
        layer = torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False).to(dtype)
        images = torch.rand(BATCH, channels, side, side).to(dtype)
        with torch.no_grad():
            layer(images)
            best = min(seconds(partial(layer, images)) for _ in range(7))
        speeds.append(2 * BATCH * channels**2 * 9 * side**2 / best / 1e9)
    return max(speeds)


def document(rows: list[Row], large: list[float], top: float, bf16_top: float | None, rounds: int) -> str:
    """The page, in Markdown."""
    lines = [
        "# The training engine, measured",
        "",
        f"Written by `python -m benchmarks.training_engine` on {datetime.date.today()}: ResNet-18, {SIZE} pixels, "
        f"{MAPS} maps, batch {BATCH}, one thread of {processor()}, torch {torch.__version__}; medians of {rounds} "
        "rounds in one run. bf16 is measured on processors with AVX512_BF16, AMX-BF16 or ARM's bf16 only.",
        "",
        "| freeze depth | first loop, s an epoch | engine fp32 | ratio | first loop under autocast | engine bf16 | "
        "ratio | fills its cache in, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(str(row.depth), row.loop, row.fp32, row.bf16, f"{row.first_fp32:.1f}") for row in rows]
    loop, fp32 = (sum(column) / len(rows) for column in zip(*((row.loop, row.fp32) for row in rows), strict=True))
    pairs = [row.bf16 for row in rows if row.bf16]
    mix = (sum(pair[0] for pair in pairs) / len(rows), sum(pair[1] for pair in pairs) / len(rows)) if pairs else None
    lines += [_line("uniform mix", loop, fp32, mix, ""), ""]
    lines += [
        f"Forward and backward through the stages that learn, single precision, against the best convolution "
        f"({top:.0f} GFLOP/s{'' if bf16_top is None else f'; {bf16_top:.0f} in bf16'}):",
        "",
        f"| freeze depth | GFLOP/s, {SIZE} px | of the ceiling | GFLOP/s, {LARGE} px | of the ceiling |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.depth} | {row.gflops:.0f} | {row.gflops / top:.0%} | {speed:.0f} | {speed / top:.0%} |"
        for row, speed in zip(rows, large, strict=False)
    ]
    return "\n".join(lines) + "\n"


def _line(name: str, loop: float, fp32: float, bf16: tuple[float, float] | None, first: str) -> str:
    cast = "– | – | –" if bf16 is None else f"{bf16[0]:.3f} | {bf16[1]:.4f} | {bf16[0] / bf16[1]:.1f}"
    return f"| {name} | {loop:.3f} | {fp32:.4f} | {loop / fp32:.1f} | {cast} | {first} |"


WIDE = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")


def processor() -> str:
    """The processor's name and the features that decide its speed."""
    features = _processor_features() or frozenset()
    told = ", ".join(feature for feature in WIDE if feature in features) or "unknown features"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.processor() or 'an unnamed processor'} ({told})"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()} ({len(names)} virtual cores; {told})"


if __name__ == "__main__":
    main()
