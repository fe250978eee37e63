"""What a large run costs in its ledger: committing, verifying and compacting 10^3, 10^4 and 10^5 candidates.

    python -m benchmarks.ledger_scale [CANDIDATES ...]

Twenty candidates and two hundred predictions a cell; 100000 candidates come with a million predictions. Each size runs
in a process of its own, which prints seconds and its peak resident memory. Every file is flushed to the disk (fsync),
as in a run; what of the seconds this process computed itself is printed beside them.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow.parquet as pq

from orchestrator.cells.records import CandidateResult, CellKey, CellResult, EpochRecord, Prediction
from orchestrator.experiment.reading import read_record
from orchestrator.experiment.settings import Experiment
from orchestrator.ledger.compaction import compact
from orchestrator.ledger.description import RunDescription, write_description
from orchestrator.ledger.identity import experiment_hash, facts_of_settings
from orchestrator.ledger.integrity import find_damage, quarantine_damaged
from orchestrator.ledger.paths import RunPaths, run_paths
from orchestrator.ledger.seals import write_sealed
from orchestrator.ledger.state import RunState

CANDIDATES: Final = 20
PREDICTIONS: Final = 200
EPOCHS: Final = 3
SIZES: Final = ("1000", "10000", "100000")
VALUES: Final = {"encoder_learning_rate": 1e-4, "head_learning_rate": 1e-3, "freeze_depth": 2}


def main() -> None:
    """Measure each size in a fresh process, one after the other."""
    if len(sys.argv) == 3 and not sys.argv[2].isdecimal():
        measure(int(sys.argv[1]), Path(sys.argv[2]))
        return
    for size in sys.argv[1:] or SIZES:
        # Beside the sources, not in /tmp, which may be in memory: there nothing waits for a disk.
        with tempfile.TemporaryDirectory(dir=".") as folder:
            subprocess.run([sys.executable, __file__, size, folder], check=True)


def measure(candidates: int, folder: Path) -> None:
    """Write, verify and compact; print what it took."""
    paths, cells = run_paths(folder / "run"), candidates // CANDIDATES
    experiment = begin(paths)
    clocks = [now()]
    state = RunState.read(paths)
    with paths.storage.hold():
        for number in range(cells):
            fill(state, number, experiment)
        clocks.append(now())
        state = RunState.read(paths)
        wrong = quarantine_damaged(state, find_damage(state, experiment))
        clocks.append(now())
        before = peak()
        compact(state)
        clocks.append(now())
    spent = [
        f"{what} {end[0] - start[0]:.1f} s ({end[1] - start[1]:.1f} s computing)"
        for what, start, end in zip(("committed in", "verified in", "compacted in"), clocks, clocks[1:], strict=False)
    ]
    rows, files = rows_of(folder, "predictions"), sum(1 for _ in (folder / "run" / "cells").rglob("*.*"))
    print(
        f"{rows_of(folder, 'candidates'):>7} candidates, {rows:>8} predictions, {cells} cells, {files} files: "
        f"{', '.join(spent)}; peak {before:.0f} MiB before compaction, {peak():.0f} MiB after; {len(wrong)} damaged",
        flush=True,
    )


def now() -> tuple[float, float]:
    """Seconds by the clock, and of this process at work."""
    return time.perf_counter(), time.process_time()


def rows_of(folder: Path, name: str) -> int:
    """The rows of a compacted table."""
    found: int = pq.ParquetFile(folder / f"run/tables/{name}.parquet").metadata.num_rows
    return found


def begin(paths: RunPaths) -> str:
    """A run directory of default settings; its experiment's hash."""
    settings = read_record(Experiment, {"name": "scale", "cohort": {"manifest": "manifest.csv"}}, "", [])
    assert isinstance(settings, Experiment)
    facts = facts_of_settings(settings)
    description = RunDescription(
        name="scale",
        settings=settings,
        facts=facts,
        hash=experiment_hash(facts),
        plan="",
        begun="2026-11-25T00:00:00+00:00",
        revision=None,
        hardware={},
        final=False,
        space=(),
        notices=(),
        exclusions=(),
    )
    write_description(paths, description)
    write_sealed(paths.cohort, cohort(), description.hash)
    return description.hash


def cohort() -> pd.DataFrame:
    """The exams that predictions name."""
    return pd.DataFrame(
        {
            "patient_id": [f"patient-{row:05d}" for row in range(PREDICTIONS)],
            "exam_id": [f"exam-{row:05d}" for row in range(PREDICTIONS)],
            "tracer": [("Tc-99m", "Tl-201")[row % 2] for row in range(PREDICTIONS)],
            "label": [row // 2 % 2 for row in range(PREDICTIONS)],
        }
    )


def fill(state: RunState, number: int, experiment: str) -> None:
    """One finished cell, by the calls that a run makes."""
    key = CellKey(
        inputs=("stress", "rest", "dual")[number % 3],
        partition="development",
        repeat=number // 15,
        fold=number // 3 % 5,
    )
    for candidate in range(CANDIDATES):
        state.keep_candidate(key, tried(candidate), experiment)
    predictions = tuple(
        Prediction(member=0, row=row, score=row / 7 - number, probability=0.5, threshold=0.5)
        for row in range(PREDICTIONS)
    )
    result = CellResult(
        key=key,
        state="complete",
        reason="",
        candidate=0,
        steps=10,
        values=dict(VALUES),
        predictions=predictions,
        models=(),
        seconds=1.0,
        host="host",
        device="cpu",
    )
    state.commit(result, 1, experiment)


def tried(number: int) -> CandidateResult:
    """A finished candidate."""
    return CandidateResult(
        number=number,
        state="complete",
        values=dict(VALUES),
        objective=0.5 + number / 100,
        best_steps=(10, 11, 12),
        inner_scores=tuple(score / 10 for score in range(60)),
        reported=(0.7, 0.6, 0.5),
        epochs=tuple(
            EpochRecord(inner_fold=0, epoch=epoch, training_loss=0.7, validation_loss=0.6, validation_auc=0.8)
            for epoch in range(1, EPOCHS + 1)
        ),
        error="",
        seconds=0.5,
    )


def peak() -> float:
    """The process's peak resident memory in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
