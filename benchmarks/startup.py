"""How long polarmap takes to answer, beside the interpreter and torch: wall clock and processor time.

    python -m benchmarks.startup [--rounds 3]

Every command is a process of its own, on a tiny cohort. `run until the first cell` is the time from the command to the
line of `run.log` that says that a cell has begun on Ray; its processor time is that of the driver up to then. Rounds go
over all commands in turn, so that a busy moment of the machine meets all of them. Ratios are to the medians of
`python -c pass` and `python -c "import torch"`.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

_EXPERIMENT: Final = """
name = "tiny"
[cohort]
manifest = "manifest.csv"
inputs = ["stress"]
[images]
size = 16
[network]
backbone = "compact"
weights = "random"
[folds]
folds = 2
repeats = 1
[search]
space = "learning_rates"
candidates = 2
inner_folds = 1
[training]
epochs = 2
[resources]
gpus_per_cell = 0
"""
_POLARMAP: Final = [sys.executable, "-m", "polarmap"]


def write_tiny(folder: Path) -> Path:
    """Write a cohort of 48 patients and its experiment file."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(48):
        name = f"{number:03d}.npy"
        np.save(folder / name, random.normal(100, 12, size=(16, 16)).clip(1).astype(np.float32))
        rows.append((f"p{number:03d}", ("Tc-99m", "Tl-201")[number % 2], number // 2 % 2, name, "FM"[number // 4 % 2]))
    columns = ["patient_id", "tracer", "label", "stress", "sex"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "manifest.csv", index=False)
    experiment = folder / "experiment.toml"
    experiment.write_text(_EXPERIMENT)
    return experiment


def timed(command: list[str]) -> tuple[float, float]:
    """Wall clock and processor seconds of a process and its children."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, processor


def until_the_first_cell(experiment: Path, name: str) -> tuple[float, float]:
    """Wall clock and the driver's processor seconds from the command to the first cell's beginning, on Ray."""
    log = experiment.parent / "runs" / name / "run.log"
    begun = time.perf_counter()
    command = [*_POLARMAP, "run", str(experiment), "--set", f"name={name}", "--progress", "none"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        while not _cell_has_begun(log):
            if driver.poll() is not None:
                raise SystemExit(f"the run ended with code {driver.returncode} before a cell began")
            time.sleep(0.02)
        seconds, processor = time.perf_counter() - begun, _processor_seconds(driver.pid)
        driver.wait()
    return seconds, processor


def _cell_has_begun(log: Path) -> bool:
    if not log.exists():
        return False
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    return any(json.loads(line)["event"] == "cell_started" for line in lines if line.endswith("\n"))


def _processor_seconds(pid: int) -> float:
    """User and system seconds of a process that is still there."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def commands(experiment: Path) -> Iterator[tuple[str, list[str]]]:
    """What is measured: a name and the command."""
    run = str(experiment.parent / "runs" / "tiny")
    yield "python -c pass", [sys.executable, "-c", "pass"]
    yield "python -c 'import torch'", [sys.executable, "-c", "import torch"]
    yield "import polarmap", [sys.executable, "-c", "import polarmap"]
    yield "polarmap --help", [*_POLARMAP, "--help"]
    yield "polarmap check", [*_POLARMAP, "check", str(experiment)]
    yield "polarmap plan", [*_POLARMAP, "plan", str(experiment)]
    yield "polarmap status", [*_POLARMAP, "status", run]
    yield "polarmap report", [*_POLARMAP, "report", run]
    yield "polarmap run, finished", [*_POLARMAP, "run", str(experiment)]


def main() -> None:
    """Measure and print a table in Markdown."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=3)
    rounds = arguments.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        experiment = write_tiny(Path(folder))
        timed([*_POLARMAP, "run", str(experiment), "--runner", "inline"])
        found: dict[str, list[tuple[float, float]]] = {}
        for number in range(rounds):
            for name, command in commands(experiment):
                found.setdefault(name, []).append(timed(command))
            first = found.setdefault("polarmap run, until the first cell", [])
            first.append(until_the_first_cell(experiment, f"tiny-{number}"))
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    nothing, torch = medians["python -c pass"], medians["python -c 'import torch'"]
    print("| | wall, s | processor, s | ÷ pass | ÷ import torch | processor ÷ import torch |")
    print("|---|---|---|---|---|---|")
    for name, (wall, processor) in medians.items():
        ratios = (wall / nothing[0], wall / torch[0], processor / torch[1])
        print(f"| `{name}` | {wall:.2f} | {processor:.2f} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")


if __name__ == "__main__":
    main()
