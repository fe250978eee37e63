"""The scores that calibrate a cell's networks: of its winners, trained again in an inner cross-validation of its own.

The search's own inner scores are too good to calibrate by: every fold kept its best epoch by them, and the winner was
chosen by them. What was measured of it is in `docs/coverage.md`.
"""

from collections.abc import Sequence

import numpy as np
import torch

from mpi_model.prediction import predict_scores
from mpi_model.training import refit
from orchestrator.cells.decision import OutOfFold, out_of_fold
from orchestrator.cells.recipe import length_of_refit, recipe_for
from orchestrator.cells.records import CandidateResult, CellTask, InnerSplit, WorkerContext


def fresh_scores(task: CellTask, context: WorkerContext, refitted: Sequence[CandidateResult]) -> OutOfFold | None:
    """The out-of-fold scores of a cell's members in its calibration folds; None where it has none.

    Each member is trained once a fold, as its refit is: for a number of steps, nothing watched. Their mean is the
    score, as it is for exams that are predicted.

    Args:
        task: The cell; its `calibration` folds are drawn apart from those of the search.
        context: The worker's data and settings.
        refitted: The candidate of each member.
    """
    if not task.calibration:
        return None
    scores = [
        np.mean([_member_scores(task, context, fold, number, one) for number, one in enumerate(refitted)], axis=0)
        for fold in range(len(task.calibration))
    ]
    return out_of_fold(np.concatenate(scores), task.calibration, context.maps)


def _member_scores(
    task: CellTask, context: WorkerContext, fold: int, member: int, candidate: CandidateResult
) -> np.typing.NDArray[np.float64]:
    split: InnerSplit = task.calibration[fold]
    steps, horizon = length_of_refit(split.training, task, context.procedure.training, candidate)
    network = refit(
        context.maps,
        split.training,
        # A purpose of its own, so that no network of the search or of the refit has the same start.
        recipe=recipe_for(task, context, candidate.values, "calibration", member, fold),
        steps=steps,
        horizon=horizon,
        device=torch.device(context.device),
    )
    return predict_scores(network, context.maps, split.validation.rows, device=torch.device(context.device))
