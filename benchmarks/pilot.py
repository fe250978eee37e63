"""How well does `polarmap plan --pilot` forecast what runs take? Three small experiments, forecast and run.

Run from the repository: `OMP_NUM_THREADS=1 python -m benchmarks.pilot`. Forecast and run are compared by processor time
in one process, which other work on the machine changes little: the forecast's worker-hours, and the time in which the
inline runner does every cell. Reading the cohort and writing the report are in neither.
"""

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from orchestrator.cells.records import WorkerContext
from orchestrator.cli import main as polarmap
from orchestrator.driver.resume import RunOptions
from orchestrator.driver.run import run_experiment
from orchestrator.driver.run_plan import PilotRequest, plan_experiment
from orchestrator.experiment.file import load_experiment
from orchestrator.experiment.settings import ResourceSettings
from orchestrator.monitoring.progress import NullProgress
from orchestrator.runners.inline import InlineRunner
from orchestrator.runners.runner import Events, Job

BASE: Final[Mapping[str, object]] = MappingProxyType(
    {"folds.folds": 3, "folds.repeats": 1, "images.size": 32, "resources.gpus_per_cell": 0, "cohort.inputs": ["stress"]}
)
COMPACT: Final[Mapping[str, object]] = MappingProxyType(
    {"network.backbone": "compact", "network.weights": "random", "search.space": "learning_rates"}
)
SHORT: Final[Mapping[str, object]] = MappingProxyType(
    {"search.candidates": 6, "search.inner_folds": 2, "training.epochs": 12}
)
EXPERIMENTS: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {
        "compact, two folds": {
            **BASE,
            **COMPACT,
            "search.candidates": 6,
            "search.inner_folds": 2,
            "training.epochs": 12,
        },
        "compact, a race of three folds": {**BASE, **COMPACT, "search.candidates": 8, "search.strategy": "race"},
        "efficientnet_lite0 to block3, freeze depths, two inputs": {
            **BASE,
            "network.backbone": "efficientnet_lite0",
            "network.encoder_stages": 4,
            "cohort.inputs": ["stress", "dual"],
            "search.candidates": 6,
            "search.inner_folds": 1,
            "training.epochs": 10,
            "folds.folds": 2,
        },
    }
)


class TimedRunner:
    """The inline runner, with the processor time that its cells took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def run(self, jobs: Sequence[Job], context: WorkerContext, resources: ResourceSettings, events: Events) -> None:
        """See `orchestrator.runners.runner.Runner.run`."""
        begun = time.process_time()
        InlineRunner().run(jobs, context, resources, events)
        self.seconds = time.process_time() - begun


def main() -> None:
    """A row an experiment."""
    sys.stdout.write("| experiment | forecast, s [90 %] | run, s | forecast / run |\n|---|---|---|---|\n")
    with tempfile.TemporaryDirectory() as folder:
        polarmap(["synth", f"{folder}/cohort", "--patients", "90", "--size", "32", "--format", "npy"])
        file = Path(folder) / "experiment.toml"
        file.write_text('name = "pilot"\n\n[cohort]\nmanifest = "cohort/manifest.csv"\n', encoding="utf-8")
        for number, (title, settings) in enumerate(EXPERIMENTS.items()):
            loaded = load_experiment(file, {**settings, "name": f"pilot{number}"})
            pilot = plan_experiment(loaded, NullProgress(), PilotRequest(workers=1)).pilot
            assert pilot is not None, "asked for"
            runner = TimedRunner()
            run_experiment(loaded, RunOptions(runner="inline"), NullProgress(), runner)
            low, middle, high = (
                3600 * value
                for value in (pilot.run.worker_hours.low, pilot.run.worker_hours.estimate, pilot.run.worker_hours.high)
            )
            row = f"{middle:.0f} [{low:.0f}, {high:.0f}] | {runner.seconds:.0f} | {middle / runner.seconds:.2f}"
            sys.stdout.write(f"| {title} | {row} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
