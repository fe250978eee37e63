"""Measure what scheduling costs: cells of a known length on the real runner, against the same work as Ray shows it.

Run from the repository: `OMP_NUM_THREADS=1 python -m benchmarks.orchestration [--cells 300]`, alone on the machine;
`--wait sleep` leaves the processors to others, for a busy one. With `--memory` the cells do nothing, and the driver's
resident size is printed as they go by. Linux only.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mpi_model.maps import LabelledExams, Maps
from mpi_model.settings import NetworkSettings, TrainingSettings
from orchestrator.cells.records import (
    CandidateResult,
    CellKey,
    CellResult,
    CellTask,
    Procedure,
    Worker,
    WorkerContext,
    failed_cell,
)
from orchestrator.experiment.settings import DecisionSettings, ResourceSettings, SearchSettings
from orchestrator.runners.environment import prepare_for_ray
from orchestrator.runners.runner import Hang, Job, Unfit
from search_spaces.catalog import load_space

MEBIBYTE = 2**20
MARKS = (1, 500, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000)


def busy(seconds: float) -> None:
    """Wait as a training does: with the processor."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@dataclass(frozen=True)
class Waiting:
    """A cell's work: nothing but its time."""

    seconds: float
    wait: Callable[[float], None]

    def __call__(
        self,
        task: CellTask,
        bench: WorkerContext,
        finished: Sequence[CandidateResult],
        on_candidate: Callable[[CandidateResult], None],
    ) -> CellResult:
        """Wait, and say that nothing came of it."""
        self.wait(self.seconds)
        return failed_cell(task.key, bench.device, "a benchmark", self.seconds)


@dataclass
class Times:
    """Events that only look at the clock, and at the driver's memory."""

    memory: bool
    begun: dict[CellKey, float] = field(default_factory=dict)
    ended: dict[CellKey, float] = field(default_factory=dict)

    def started(self, key: CellKey, worker: Worker, attempt: int) -> None:
        """A cell begins."""
        self.begun[key] = time.perf_counter()

    def candidate(self, key: CellKey, result: CandidateResult) -> None:
        """There are none."""

    def retried(self, key: CellKey, cause: str, attempt: int) -> None:
        """A cell was lost: the numbers are worth nothing."""
        sys.stdout.write(f"cell {key.name} was lost: {cause}\n")

    def hung(self, key: CellKey, hang: Hang) -> None:
        """Likewise."""
        sys.stdout.write(f"cell {key.name} hung\n")

    def waiting(self, message: str) -> None:
        """A benchmark has its nodes."""

    def unfit(self, unfit: Unfit) -> None:
        """Likewise."""

    def cell(self, result: CellResult, attempt: int) -> None:
        """A cell is finished."""
        self.ended[result.key] = time.perf_counter()
        if self.memory and len(self.ended) in MARKS:
            sys.stdout.write(f"after {len(self.ended):>6} cells: {resident():.0f} MiB in the driver\n")
            sys.stdout.flush()

    @property
    def first(self) -> float:
        """When the first cell began."""
        return min(self.begun.values())

    @property
    def last(self) -> float:
        """When the last cell ended."""
        return max(self.ended.values())

    def once_up(self, slots: int, seconds: float) -> tuple[float, float]:
        """Seconds from when every slot had its first cell to the end, and what that work takes at best."""
        start = sorted(self.begun.values())[slots - 1]
        done = {key: max(0.0, start - begun) for key, begun in self.begun.items()}
        left = sum(seconds - min(seconds, done[key]) for key, ended in self.ended.items() if ended > start)
        return self.last - start, left / slots


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a cell")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--wait", choices=("busy", "sleep"), default="busy")
    parser.add_argument(
        "--documented-cells", type=int, default=20, help="of the same work as Ray's documentation has it"
    )
    parser.add_argument("--documented", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    wait = busy if options.wait == "busy" else time.sleep
    if options.documented:
        documented(options.documented_cells, options.seconds, options.slots, wait)
        return
    work = Waiting(0.0 if options.memory else options.seconds, wait)
    whole, times = ours(options.cells, options.slots, work, memory=options.memory)
    if options.memory:
        return
    up, best = times.once_up(options.slots, options.seconds)
    sys.stdout.write(
        f"{options.cells} cells of {options.seconds:g} s ({options.wait}) in {options.slots} slots\n"
        f"polarmap, once all slots are up: {up:.2f} s for work of {best:.2f} s, ratio {up / best:.4f}\n"
        f"polarmap, once a run: {times.first - whole.begun:.1f} s before the first cell, "
        f"{whole.ended - times.last:.1f} s after the last\n"
    )
    if options.documented_cells:
        compare(options, up / best * options.seconds / options.slots)


@dataclass(frozen=True)
class Whole:
    """When a run began and ended."""

    begun: float
    ended: float


def ours(cells: int, slots: int, work: Waiting, *, memory: bool) -> tuple[Whole, Times]:
    """The cells on the real runner."""
    begun, times = time.perf_counter(), Times(memory)
    prepare_for_ray()
    from orchestrator.runners.ray_runner import RayRunner  # noqa: PLC0415 - importing Ray is part of what is timed

    resources = ResourceSettings(gpus_per_cell=0, cpus_per_cell=(os.cpu_count() or 1) / slots)
    RayRunner(work=work).run(jobs(cells), bench(), resources, times)
    return Whole(begun, time.perf_counter()), times


def compare(options: argparse.Namespace, per_cell: float) -> None:
    """The same work with Ray's defaults, in a process of its own."""
    with tempfile.TemporaryDirectory() as home:
        words = ["--documented", "--documented-cells", str(options.documented_cells), "--seconds", str(options.seconds)]
        words += ["--slots", str(options.slots), "--wait", options.wait]
        command = [sys.executable, "-m", "benchmarks.orchestration", *words]
        environment = {**os.environ, "HOME": home, "RAY_USAGE_STATS_ENABLED": "0"}
        found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    theirs = json.loads(found.stdout.strip().splitlines()[-1])["seconds"] / options.documented_cells
    best = options.seconds / options.slots
    sys.stdout.write(
        f"Ray's documentation, {options.documented_cells} trials, workers' start left out: {theirs:.3f} s a cell, "
        f"{theirs / best:.2f} of the best; polarmap {per_cell:.3f} s, {theirs / per_cell:.2f} times less\n"
    )


def documented(cells: int, seconds: float, slots: int, wait: Callable[[float], None]) -> None:
    """One function trial a cell, nothing set; prints seconds from the first trial's begin to the end of `fit`."""
    import ray  # noqa: PLC0415 - only this process
    from ray import tune  # noqa: PLC0415

    ray.init()
    first = Path(tempfile.mkdtemp()) / "first"

    def trial(config: dict[str, int]) -> None:
        if not first.exists():
            first.touch()
        wait(seconds)
        tune.report({"score": config["cell"]})

    reserved = {"cpu": (os.cpu_count() or 1) / slots}
    tune.Tuner(tune.with_resources(trial, reserved), param_space={"cell": tune.grid_search(list(range(cells)))}).fit()
    sys.stdout.write("\n" + json.dumps({"seconds": time.time() - first.stat().st_mtime}) + "\n")


def jobs(cells: int) -> list[Job]:
    """Cells of a size as a few hundred exams have it."""
    rows = np.arange(300)
    exams = LabelledExams(rows=rows, labels=(rows % 2).astype(np.int8))
    return [
        Job(
            task=CellTask(
                key=CellKey(inputs="stress", partition="development", repeat=number // 5, fold=number % 5),
                plan="benchmark",
                training=exams,
                inner=(),
                evaluation=rows,
            ),
            finished=(),
        )
        for number in range(cells)
    ]


def bench() -> WorkerContext:
    """Maps of that many exams."""
    pixels, here = np.zeros((300, 1, 64, 64), dtype=np.uint16), np.ones(300, dtype=np.bool_)
    procedure = Procedure(
        network=NetworkSettings(),
        training=TrainingSettings(),
        search=SearchSettings(),
        decision=DecisionSettings(),
        space=load_space("learning_rates", Path(), 5),
    )
    maps = Maps(stress=pixels, rest=pixels, has_stress=here, has_rest=here, tracer=np.zeros(300, dtype=np.int8))
    return WorkerContext(maps=maps, procedure=procedure, state=None, device="cpu", facts={})


def resident() -> float:
    """The process's resident size in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


if __name__ == "__main__":
    main()
