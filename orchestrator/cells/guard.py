"""Keeps one cell's error from ending the others: it becomes a failed cell with a reason and a traceback."""

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace

from mpi_model.errors import ExperimentError
from mpi_model.gpu import give_back_memory, gpu_fault, memory_use
from orchestrator.cells.cell import run_cell
from orchestrator.cells.records import CandidateResult, CellResult, CellTask, WorkerContext, failed_cell
from orchestrator.cells.study import OnCandidate
from orchestrator.experiment.processor import check_precision

_LONGEST_MESSAGE = 200
_GIBIBYTE = 2**30


def run_guarded(
    task: CellTask,
    context: WorkerContext,
    finished: Sequence[CandidateResult],
    on_candidate: OnCandidate,
    work: Callable[[CellTask, WorkerContext, Sequence[CandidateResult], OnCandidate], CellResult] | None = None,
) -> CellResult:
    """`run_cell`, or other work, with any error of its own turned into a failed cell that says where it happened.

    A worker holds no patient's id, so no error text can carry one. Errors of the ledger pass through: they are
    the run's, not the cell's.
    """
    started = time.perf_counter()
    try:
        # The driver looked at its own processor; on a cluster this one may be of another kind.
        check_precision(context.procedure.training.precision, context.device)
    except ExperimentError as refusal:
        # A refusal is no bug: its text is the reason, and there is no traceback to log.
        return failed_cell(task.key, context.device, str(refusal), 0.0)
    # For the reason of a failure: the number of the candidate that was being trained.
    reached, refused = len(finished), list[Exception]()

    def counted(candidate: CandidateResult) -> None:
        nonlocal reached
        # In a race a candidate comes again after each of its inner folds.
        reached = max(reached, candidate.number + 1)
        try:
            on_candidate(candidate)
        except Exception as error:
            refused.append(error)
            raise

    try:
        return (work or run_cell)(task, context, finished, counted)
    except Exception as error:
        # Raised where a candidate is kept or shown: a ledger or an output that cannot be written ends the run, not one
        # cell.
        if error in refused:
            raise
        failed = failed_cell(task.key, context.device, _reason(error, task, context, reached), 0.0)
        trace, fault = traceback.format_exc(), gpu_fault(error)
    if fault == "gpu_memory":
        give_back_memory(context.device)  # only now: until its handler ended, the error held the tensors
    return replace(failed, trace=trace, fault=fault, seconds=time.perf_counter() - started)


def _reason(error: Exception, task: CellTask, context: WorkerContext, reached: int) -> str:
    """What happened, and where: inputs, repeat, fold and candidate."""
    key = task.key
    fold = "final cell" if key.repeat is None else f"repeat {key.repeat}, fold {key.fold}"
    search = context.procedure.search
    later = "a later inner fold, refit or prediction" if search.races else "refit or prediction"
    step = f"candidate {reached}" if reached < search.candidates else later
    # The first line only, and short: messages of libraries can be pages long.
    lines = str(error).strip().splitlines() or [""]
    what = (
        _too_large(context)
        if gpu_fault(error) == "gpu_memory"
        else f"{type(error).__name__}: {lines[0]}"[:_LONGEST_MESSAGE]
    )
    return f"{what} ({key.inputs}, {fold}, {step})"


def _too_large(context: WorkerContext) -> str:
    """What a cell that a whole GPU cannot hold could be made smaller by."""
    use = memory_use(context.device)
    held = f" with {use.peak / _GIBIBYTE:.1f} of {use.total / _GIBIBYTE:.1f} GiB held" if use else ""
    half = max(2, context.procedure.training.batch_size // 2)
    return f"the GPU ran out of memory{held}; `training.batch_size` = {half}, or smaller images, would about halve it"
