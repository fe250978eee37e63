"""`run_cell`: the protocol of one cell, a pure function of its task and the worker's bench."""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray

from mpi_model.network import TracerNetwork
from mpi_model.prediction import predict_scores
from mpi_model.saved_model import save_network
from mpi_model.schedule import horizon_steps
from mpi_model.training import refit
from mpi_model.vocabulary import TRACERS
from orchestrator.cells.decision import Decision, decide
from orchestrator.cells.recipe import recipe_for
from orchestrator.cells.records import (
    CandidateResult,
    CellKey,
    CellResult,
    CellTask,
    Prediction,
    SavedModel,
    WorkerContext,
)
from orchestrator.cells.study import OnCandidate, best, search


def run_cell(
    task: CellTask,
    bench: WorkerContext,
    finished: Sequence[CandidateResult] = (),
    on_candidate: OnCandidate = lambda _: None,
) -> CellResult:
    """Search on the inner folds, refit the winner, fix the decision, predict the evaluated exams once.

    Args:
        task: Which patients, by row, with labels of the training ones only.
        bench: Maps, settings and pretrained weights.
        finished: Candidates tried before an interruption.
        on_candidate: Receives each new candidate when it is finished.

    Returns:
        The cell, `failed` with a reason where no candidate could be trained.
    """
    started = time.perf_counter()
    candidates = search(task, bench, finished, on_candidate)
    winner = best(candidates, bench.procedure.search)
    if winner is None:
        return failed_cell(task.key, bench.device, _why_none(candidates), time.perf_counter() - started)
    steps = round(float(np.median(winner.best_steps)))
    decisions = _decisions(task, bench, winner)
    networks = [_member(task, bench, winner, steps, member) for member in range(bench.procedure.training.members)]
    predictions = [
        prediction
        for member, network in enumerate(networks)
        for prediction in predict(network, bench, task, decisions, member)
    ]
    final = enumerate(networks) if task.key.partition == "test" else ()
    return CellResult(
        key=task.key,
        state="complete",
        reason="",
        candidate=winner.number,
        steps=steps,
        values=winner.values,
        predictions=tuple(predictions),
        models=tuple(_saved(network, bench, task, decisions, member) for member, network in final),
        seconds=time.perf_counter() - started,
        host=platform.node(),
        device=bench.device,
    )


def failed_cell(key: CellKey, device: str, reason: str, seconds: float) -> CellResult:
    """A cell that ended without predictions; a row like any other."""
    return CellResult(
        key=key,
        state="failed",
        reason=reason,
        candidate=None,
        steps=None,
        values={},
        predictions=(),
        models=(),
        seconds=seconds,
        host=platform.node(),
        device=device,
    )


def _why_none(candidates: Sequence[CandidateResult]) -> str:
    errors = [candidate.error for candidate in candidates if candidate.error]
    why = errors[0] if errors else "all were pruned"
    return f"none of {len(candidates)} candidates could be trained to the end: {why}"


def _decisions(task: CellTask, bench: WorkerContext, winner: CandidateResult) -> Mapping[int, Decision]:
    rows = np.concatenate([split.validation.rows for split in task.inner])
    labels = np.concatenate([split.validation.labels for split in task.inner])
    scores = np.asarray(winner.inner_scores, dtype=np.float64)
    return decide(scores, labels, bench.maps.tracer[rows], bench.procedure.decision)


def _member(task: CellTask, bench: WorkerContext, winner: CandidateResult, steps: int, member: int) -> TracerNetwork:
    """Refit the winner on all training patients; the schedule keeps the horizon it was chosen under."""
    horizons = [horizon_steps(len(split.training), bench.procedure.training) for split in task.inner]
    return refit(
        bench.maps,
        task.training,
        recipe=recipe_for(task, bench, winner.values, "member", member),
        steps=steps,
        horizon=round(float(np.median(horizons))),
        device=torch.device(bench.device),
    )


def predict(
    network: TracerNetwork, bench: WorkerContext, task: CellTask, decisions: Mapping[int, Decision], member: int
) -> list[Prediction]:
    """Predict a cell's evaluated exams, each with its tracer's decision."""
    scores = predict_scores(network, bench.maps, task.evaluation, device=torch.device(bench.device))
    return predictions_of(scores, task.evaluation, bench.maps.tracer[task.evaluation], decisions, member)


def predictions_of(
    scores: NDArray[np.float64],
    rows: NDArray[np.int64],
    tracer: NDArray[np.int8],
    decisions: Mapping[int, Decision],
    member: int,
) -> list[Prediction]:
    """Scores, row by row, with the probability and threshold of each exam's tracer."""
    return [
        Prediction(
            member=member,
            row=int(row),
            score=float(score),
            probability=float(decisions[int(number)].probability(np.asarray(score))),
            threshold=decisions[int(number)].probability_threshold,
        )
        for score, row, number in zip(scores, rows, tracer, strict=True)
    ]


def _saved(
    network: TracerNetwork, bench: WorkerContext, task: CellTask, decisions: Mapping[int, Decision], member: int
) -> SavedModel:
    description = {
        **bench.facts,
        "inputs": task.key.inputs,
        "member": member,
        "decisions": {TRACERS[number]: asdict(decision) for number, decision in decisions.items()},
    }
    weights, text = save_network(network, description)
    return SavedModel(member=member, weights=weights, description=text)
