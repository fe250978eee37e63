"""What a large run costs in its ledger: committing, verifying and compacting n / 2 candidates, then n.

    python -m benchmarks.ledger_scale [CANDIDATES]

Twenty candidates and two hundred predictions a cell; 100000 candidates (the default) come with a million
predictions. Each size runs in a process of its own, which prints seconds and its peak resident memory; memory is
flat where the second peak is not far above the first. The ledger is written without fsync: how long a disk takes
is the disk's own affair, and a run spreads it over its hours.
"""

import os
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
from orchestrator.ledger.compaction import compact
from orchestrator.ledger.files import write_frame
from orchestrator.ledger.integrity import find_damage, quarantine_damaged
from orchestrator.ledger.paths import run_paths
from orchestrator.ledger.state import RunState

CANDIDATES: Final = 20
PREDICTIONS: Final = 200
EPOCHS: Final = 3
HASH: Final = "0" * 64
VALUES: Final = {"encoder_learning_rate": 1e-4, "head_learning_rate": 1e-3, "freeze_depth": 2}


def main() -> None:
    """Measure n / 2 and n, each in a fresh process, one after the other."""
    if len(sys.argv) == 3:
        measure(int(sys.argv[1]), Path(sys.argv[2]))
        return
    candidates = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for size in (candidates // 2, candidates):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, __file__, str(size), folder], check=True)


def measure(candidates: int, folder: Path) -> None:
    """Write, verify and compact; print what it took."""
    os.fsync = lambda fd: None
    paths, cells = run_paths(folder / "run"), candidates // CANDIDATES
    write_frame(paths.cohort, cohort())
    begun = time.perf_counter()
    state = RunState.read(paths)
    for number in range(cells):
        fill(state, number)
    written = time.perf_counter()
    state = RunState.read(paths)
    wrong = quarantine_damaged(state, find_damage(state, HASH))
    verified = time.perf_counter()
    before = peak()
    compact(state)
    compacted = time.perf_counter()
    rows = {
        name: pq.ParquetFile(folder / f"run/tables/{name}.parquet").metadata.num_rows
        for name in ("candidates", "predictions")
    }
    print(
        f"{rows['candidates']:>8} candidates, {rows['predictions']:>8} predictions, {cells} cells: "
        f"committed in {written - begun:6.1f} s ({1e3 * (written - begun) / candidates:.2f} ms a candidate), "
        f"verified in {verified - written:5.1f} s, compacted in {compacted - verified:5.1f} s; "
        f"peak {before:.0f} MiB before compaction, {peak():.0f} MiB after; {len(wrong)} damaged",
        flush=True,
    )


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


def fill(state: RunState, number: int) -> None:
    """One finished cell, by the calls that a run makes."""
    key = CellKey(
        inputs=("stress", "rest", "dual")[number % 3],
        partition="development",
        repeat=number // 15,
        fold=number // 3 % 5,
    )
    for candidate in range(CANDIDATES):
        state.keep_candidate(key, tried(candidate), HASH)
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
    state.commit(result, 1, HASH)


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
