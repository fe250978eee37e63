"""What a worker does with a cell that is explained: refit its networks, score and explain its held-out exams."""

import platform
import time
from collections.abc import Sequence

import torch

from mpi_model.errors import TrainingDivergedError
from mpi_model.prediction import predict_scores
from orchestrator.cells.cell import member_network, refitted_candidates
from orchestrator.cells.guard import run_guarded
from orchestrator.cells.records import CandidateResult, CellResult, CellTask, Prediction, WorkerContext
from orchestrator.cells.study import OnCandidate
from orchestrator.explanation.exams import explain_exams
from orchestrator.explanation.reference_maps import reference_maps
from orchestrator.hashing import derive_seed


def explain_cell(
    task: CellTask, context: WorkerContext, finished: Sequence[CandidateResult], on_candidate: OnCandidate
) -> CellResult:
    """`orchestrator.runners.runner.Work`: explain a cell, an error of its own turned into a failed cell.

    Args:
        task: Which patients, by row, with labels of the training ones only.
        context: Maps, settings and pretrained weights.
        finished: The candidates of the finished cell, from its ledger: nothing is searched again.
        on_candidate: Not called.

    Returns:
        The scores of the refitted networks, for the driver to compare with the ledger's, and the attributions.
    """
    return run_guarded(task, context, finished, on_candidate, _explain)


def _explain(task: CellTask, context: WorkerContext, finished: Sequence[CandidateResult], _: OnCandidate) -> CellResult:
    started = time.perf_counter()
    refitted = refitted_candidates(finished, context)
    if not refitted:
        raise TrainingDivergedError("the ledger holds no complete candidate of this cell")
    device = torch.device(context.device)
    networks = [member_network(task, context, candidate, member) for member, candidate in enumerate(refitted)]
    scores = [predict_scores(network, context.maps, task.evaluation, device=device) for network in networks]
    attributions = explain_exams(
        networks,
        context.maps,
        task.evaluation,
        reference_maps(context.maps, task.training, task.key.inputs),
        seed=derive_seed(task.plan, task.key.repeat, task.key.fold, "explanation"),
        device=device,
    )
    return CellResult(
        key=task.key,
        state="complete",
        candidate=refitted[0].number,
        predictions=tuple(
            # Scores alone are compared; decisions were fixed when the cell was run.
            Prediction(member=member, row=row, score=score, probability=float("nan"), threshold=float("nan"))
            for member, found in enumerate(scores)
            for row, score in zip(task.evaluation.tolist(), found.tolist(), strict=True)
        ),
        attributions=tuple(attributions),
        seconds=time.perf_counter() - started,
        host=platform.node(),
        device=context.device,
    )
