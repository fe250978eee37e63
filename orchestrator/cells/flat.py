"""A flat search: candidates drawn beforehand, trained once for all cells of a repeat, and chosen by each cell itself.

Every candidate is trained once for each fold, without that fold and the next one, and scores both. A cell chooses by
the two parts that have seen nobody it is judged on; see `orchestrator.cells.tasks.with_scores`. Parts know no label of
the exams that they score, so objectives are computed in the cells, from their own training patients.
"""

import platform
import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from mpi_model.errors import TrainingDivergedError
from mpi_model.prediction import predict_scores
from mpi_model.schedule import horizon_steps
from mpi_model.training import refit
from orchestrator.cells.candidate import signed_objective
from orchestrator.cells.recipe import recipe_for
from orchestrator.cells.records import (
    CandidateResult,
    CellResult,
    CellTask,
    Prediction,
    WorkerContext,
    failed_cell,
)
from orchestrator.cells.rungs import fold_cost
from orchestrator.cells.study import OnCandidate, check_replay, random_candidates
from orchestrator.hashing import derive_seed
from search_spaces.conditions import Value
from search_spaces.space import SearchSpace

_NOT_TRAINED = "could not be trained in every part of the flat search"


def _fixed_candidates(plan: str, space: SearchSpace, count: int) -> list[dict[str, Value | None]]:
    """The candidates of a flat search: the space's defaults, then random draws that depend on the plan alone.

    Args:
        plan: The fold plan's digest.
        space: What is drawn.
        count: Candidates.
    """
    return random_candidates(space, count, seed=derive_seed(plan, "flat search") % 2**32)


def score_candidates(
    task: CellTask, context: WorkerContext, finished: Sequence[CandidateResult], on_candidate: OnCandidate
) -> CellResult:
    """A part of a flat search: train every candidate, and predict what was left out.

    Args:
        task: Of the partition `search`.
        context: The worker's data and settings.
        finished: Candidates trained before an interruption.
        on_candidate: Receives each new candidate when it is finished.

    Returns:
        The part, whose predictions have the candidate's number as `member`; failed where no candidate could be trained.
    """
    started = time.perf_counter()
    search = context.procedure.search
    results = list(finished)
    for number, values in enumerate(_fixed_candidates(task.plan, context.procedure.space, search.candidates)):
        if number < len(finished):
            check_replay(finished[number], values)
            continue
        results.append(_scored(task, context, number, values))
        on_candidate(results[-1])
    seconds = time.perf_counter() - started
    if not any(result.state == "complete" for result in results):
        reason = f"none of {len(results)} candidates could be trained: {results[0].error}"
        return failed_cell(task.key, context.device, reason, seconds)
    return CellResult(
        key=task.key,
        state="complete",
        predictions=tuple(one for result in results for one in _predictions(task, result)),
        seconds=seconds,
        host=platform.node(),
        device=context.device,
        searched=len(results),
    )


def judged_candidates(
    task: CellTask, context: WorkerContext, finished: Sequence[CandidateResult], on_candidate: OnCandidate
) -> list[CandidateResult]:
    """The candidates of a flat search with their objectives, as a cell judges them; nothing is trained.

    Args:
        task: Of a cell, with the scores of its training exams.
        context: The worker's data and settings.
        finished: Those handed over before an interruption.
        on_candidate: Receives each of the others.

    Returns:
        All candidates, in order.
    """
    assert task.scores is not None, "only a task with scores comes here"
    results = []
    proposed = _fixed_candidates(task.plan, context.procedure.space, len(task.scores))
    for number, (values, scores) in enumerate(zip(proposed, task.scores, strict=True)):
        results.append(_judged(task, context, number, values, scores))
        if number >= len(finished):
            on_candidate(results[-1])
        else:
            check_replay(finished[number], values)
    return results


def _scored(task: CellTask, context: WorkerContext, number: int, values: dict[str, Value | None]) -> CandidateResult:
    """Train one candidate for the whole schedule, and score what was left out."""
    started, device = time.perf_counter(), torch.device(context.device)
    steps = horizon_steps(len(task.training), context.procedure.training)
    scores: list[float] = []
    error = ""
    try:
        network = refit(
            context.maps,
            task.training,
            # A purpose of its own: a candidate's start has nothing to do with that of the member it may become.
            recipe=recipe_for(task, context, values, "flat search", number),
            steps=steps,
            horizon=steps,
            device=device,
        )
        found = predict_scores(network, context.maps, task.evaluation, device=device)
        if not np.isfinite(found).all():
            raise TrainingDivergedError("scores are not finite; lower the rates")
        scores = found.tolist()
    except TrainingDivergedError as diverged:
        error = str(diverged)
    return CandidateResult(
        number=number,
        state="failed" if error else "complete",
        values=values,
        objective=None,
        best_steps=() if error else (steps,),
        inner_scores=tuple(scores),
        error=error,
        seconds=time.perf_counter() - started,
    )


def _predictions(task: CellTask, result: CandidateResult) -> list[Prediction]:
    """The scores of a candidate, each with its balanced probability; nothing where it has none."""
    if result.state != "complete":
        return []
    return [
        Prediction(member=result.number, row=int(row), score=score, probability=float(expit(score)), threshold=0.5)
        for row, score in zip(task.evaluation, result.inner_scores, strict=True)
    ]


def _judged(
    task: CellTask, context: WorkerContext, number: int, values: dict[str, Value | None], scores: NDArray[np.float64]
) -> CandidateResult:
    """A candidate as a cell judges it: the mean over the parts that it may choose by."""
    settings = context.procedure
    if not np.isfinite(scores).all():
        return CandidateResult(number=number, state="failed", values=values, objective=None, error=_NOT_TRAINED)
    ends = np.cumsum([len(split.validation) for split in task.inner])[:-1]
    costs = [
        fold_cost(part, split, context.maps.tracer, settings.search.objective)
        for part, split in zip(np.split(scores, ends), task.inner, strict=True)
    ]
    return CandidateResult(
        number=number,
        state="complete",
        values=values,
        objective=signed_objective(float(np.mean(costs)), settings.search.objective),
        best_steps=tuple(horizon_steps(len(split.training), settings.training) for split in task.inner),
        inner_scores=tuple(scores.tolist()),
    )
