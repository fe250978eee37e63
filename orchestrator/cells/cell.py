"""`run_cell`: the protocol of one cell, a pure function of its task and what the worker holds for all its cells."""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray

from mpi_model.maps import LabelledExams
from mpi_model.network import TracerNetwork
from mpi_model.prediction import predict_scores
from mpi_model.saved_model import save_network
from mpi_model.training import Recipe, refit
from mpi_model.vocabulary import TRACERS
from orchestrator.cells.baseline import fit_baseline
from orchestrator.cells.decision import Decision, OutOfFold, decide, out_of_fold, predictions_of
from orchestrator.cells.flat import judged_candidates, score_candidates
from orchestrator.cells.race import race
from orchestrator.cells.recipe import length_of_refit, recipe_for
from orchestrator.cells.records import (
    CandidateResult,
    CellResult,
    CellTask,
    Prediction,
    SavedModel,
    WorkerContext,
    failed_cell,
)
from orchestrator.cells.study import OnCandidate, ranked, search


def run_cell(
    task: CellTask,
    context: WorkerContext,
    finished: Sequence[CandidateResult] = (),
    on_candidate: OnCandidate = lambda _: None,
) -> CellResult:
    """Search on the inner folds, refit the winner, fix the decision, predict the evaluated exams once.

    Args:
        task: Which patients, by row, with labels of the training ones only.
        context: Maps, settings and pretrained weights.
        finished: Candidates tried before an interruption.
        on_candidate: Receives each new candidate when it is finished.

    Returns:
        The cell, `failed` with a reason where no candidate could be trained.
    """
    started = time.perf_counter()
    if task.key.partition == "search":
        return score_candidates(task, context, finished, on_candidate)
    if task.scores is not None:
        # A flat search has trained the candidates already; the cell only chooses among them.
        find_candidates = judged_candidates
    else:
        find_candidates = race if context.procedure.search.races else search
    candidates = find_candidates(task, context, finished, on_candidate)
    refitted = refitted_candidates(candidates, context)
    if not refitted:
        return failed_cell(task.key, context.device, _why_none(candidates), time.perf_counter() - started)
    # Before any evaluated exam is predicted: a threshold cannot depend on the exams it is judged on.
    decisions = _decisions(task, context, refitted)
    # Members differ in their seeds, and in their candidates where there are several winners.
    networks = [member_network(task, context, candidate, member) for member, candidate in enumerate(refitted)]
    predictions = [
        prediction
        for member, network in enumerate(networks)
        for prediction in _predict(network, context, task, decisions, member)
    ]
    baseline = None
    if context.procedure.baseline != "none":
        baseline = fit_baseline(context.maps, task, context.procedure.decision.threshold)
        predictions += baseline.predict(context.maps, task.evaluation)
    is_final = task.key.partition == "test"
    # Only final networks are stored; those of outer folds would be one file a fold and are never used again.
    stored = networks if is_final else []
    return CellResult(
        key=task.key,
        state="complete",
        candidate=refitted[0].number,
        steps=length_of_refit(task.training, task, context.procedure.training, refitted[0])[0],
        values=refitted[0].values,
        predictions=tuple(predictions),
        models=tuple(_saved(network, context, task, decisions, member) for member, network in enumerate(stored)),
        baseline=baseline.to_json(context.facts) if is_final and baseline is not None else "",
        seconds=time.perf_counter() - started,
        host=platform.node(),
        device=context.device,
        searched=len(candidates),
    )


def _why_none(candidates: Sequence[CandidateResult]) -> str:
    errors = [candidate.error for candidate in candidates if candidate.error]
    why = errors[0] if errors else "all were pruned"
    return f"none of {len(candidates)} candidates could be trained to the end: {why}"


def refitted_candidates(candidates: Sequence[CandidateResult], context: WorkerContext) -> list[CandidateResult]:
    """The candidate of each member, best first: the winners in turn; empty where no candidate is complete.

    Which of several good candidates is the best is mostly chance where a dozen patients judge them; members that
    are refits of different ones average over that chance too.
    """
    winners = ranked(candidates, context.procedure.search)[: context.procedure.search.winners]
    members = range(context.procedure.training.members) if winners else ()
    return [winners[member % len(winners)] for member in members]


def _decisions(task: CellTask, context: WorkerContext, refitted: Sequence[CandidateResult]) -> Mapping[int, Decision]:
    """Thresholds from inner out-of-fold scores, averaged over the members' candidates as their scores will be."""
    # The candidates' inner scores stand inner fold after inner fold.
    scores = np.asarray([candidate.inner_scores for candidate in refitted], dtype=np.float64).mean(axis=0)
    inner = out_of_fold(scores, task.inner, context.maps)
    return decide(inner, context.procedure.decision.threshold, _fresh_scores(task, context, refitted))


def member_network(task: CellTask, context: WorkerContext, candidate: CandidateResult, member: int) -> TracerNetwork:
    """Refit a candidate on all training patients."""
    return _refitted(
        task, context, task.training, candidate, recipe_for(task, context, candidate.values, "member", member)
    )


def _refitted(
    task: CellTask, context: WorkerContext, training: LabelledExams, candidate: CandidateResult, recipe: Recipe
) -> TracerNetwork:
    """Train a candidate once more on some training exams, for a number of steps, nothing watched."""
    steps, horizon = length_of_refit(training, task, context.procedure.training, candidate)
    return refit(
        context.maps, training, recipe=recipe, steps=steps, horizon=horizon, device=torch.device(context.device)
    )


def _predict(
    network: TracerNetwork, context: WorkerContext, task: CellTask, decisions: Mapping[int, Decision], member: int
) -> list[Prediction]:
    """Predict a cell's evaluated exams, each with its tracer's decision."""
    scores = predict_scores(network, context.maps, task.evaluation, device=torch.device(context.device))
    return predictions_of(scores, task.evaluation, context.maps.tracer[task.evaluation], decisions, member)


def _saved(
    network: TracerNetwork, context: WorkerContext, task: CellTask, decisions: Mapping[int, Decision], member: int
) -> SavedModel:
    description = {
        **context.facts,
        "inputs": task.key.inputs,
        "member": member,
        "decisions": {TRACERS[number]: asdict(decision) for number, decision in decisions.items()},
    }
    weights, text = save_network(network, description)
    return SavedModel(member=member, weights=weights, description=text)


def _fresh_scores(task: CellTask, context: WorkerContext, refitted: Sequence[CandidateResult]) -> OutOfFold | None:
    """The out-of-fold scores of a cell's members in its calibration folds; None where it has none.

    The search's own inner scores are too good to calibrate by: every fold kept its best epoch by them, and the winner
    was chosen by them. What was measured of it is in `docs/coverage.md`.

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
) -> NDArray[np.float64]:
    """Scores `[n]` of a calibration fold's validation exams, by one member trained on the others."""
    split = task.calibration[fold]
    # A purpose of its own, so that no network of the search or of the refit has the same start.
    recipe = recipe_for(task, context, candidate.values, "calibration", member, fold)
    network = _refitted(task, context, split.training, candidate, recipe)
    return predict_scores(network, context.maps, split.validation.rows, device=torch.device(context.device))
