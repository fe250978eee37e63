"""Keeps one cell's error from ending the others: it becomes a failed cell with a reason and a traceback."""

import time
import traceback
from collections.abc import Sequence
from dataclasses import replace

from mpi_model.errors import RunDirectoryError
from orchestrator.cells.cell import failed_cell, run_cell
from orchestrator.cells.records import CandidateResult, CellResult, CellTask, Workbench
from orchestrator.cells.study import OnCandidate

LONGEST_REASON = 300


def run_guarded(
    task: CellTask, bench: Workbench, finished: Sequence[CandidateResult], on_candidate: OnCandidate
) -> CellResult:
    """`run_cell`, with any error of its own turned into a failed cell.

    A worker holds no patient's id, so no error text can carry one. Errors of the ledger pass through: they are
    the run's, not the cell's.
    """
    started = time.perf_counter()
    try:
        return run_cell(task, bench, finished, on_candidate)
    except RunDirectoryError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        reason = f"{type(error).__name__}: {lines[0]}"[:LONGEST_REASON]
        failed = failed_cell(task.key, bench.device, reason, time.perf_counter() - started)
        return replace(failed, trace=traceback.format_exc())
