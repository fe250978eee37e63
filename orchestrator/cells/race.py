"""The search as a race: all candidates on the first inner fold, the better half on the second, a quarter on the third.

A race proposes while the first fold goes on, so TPE and the median pruner learn from that fold alone. A candidate that
is dropped stays in the ledger as pruned, with the folds that it had. One that goes on is announced again after each
fold, and the later record takes the place of the earlier one.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import Trial

from mpi_model.errors import TrainingDivergedError
from orchestrator.cells.candidate import GiveUp, InnerTraining, cost_of, epoch_records, inner_training, signed_objective
from orchestrator.cells.records import CandidateResult, CandidateState, CellTask, InnerSplit, WorkerContext
from orchestrator.cells.rungs import candidates_on_fold, fold_cost, influences, survivors
from orchestrator.cells.study import OnCandidate, median_rule, new_study, replayed, tell
from search_spaces.space import propose

_ScoredFold = tuple[NDArray[np.float64], InnerSplit, NDArray[np.int8]]
"""Scores of an inner fold's validation exams, the fold, and the tracer of every exam."""


def race(
    task: CellTask, context: WorkerContext, finished: Sequence[CandidateResult], on_candidate: OnCandidate
) -> list[CandidateResult]:
    """Race the experiment's number of candidates over the inner folds.

    Args:
        task: The cell.
        context: The worker's data and settings.
        finished: What was announced before an interruption, in order, the latest record of each candidate.
        on_candidate: Receives a candidate after each of its folds.

    Returns:
        All candidates, in order.
    """
    settings = context.procedure.search
    study = new_study(task, settings, context.procedure.space)
    results = [
        _first_fold(task, context, study, number, finished, on_candidate) for number in range(settings.candidates)
    ]
    # By the folds done, not by the state: a replayed record may be further than the fold that is decided here.
    alive = [one.number for one in results if one.best_steps]
    for fold in range(1, len(task.inner)):
        keep = candidates_on_fold(settings, fold)
        going, reserve = _decide(task, context, [results[number] for number in alive], fold, keep)
        for number in going:
            _go_on(task, context, results, number, fold, on_candidate)
        # Where candidates failed on this fold, the next best take their places.
        while reserve and sum(_folds_done(results[number]) > fold for number in going) < keep:
            going.append(reserve.pop(0))
            _go_on(task, context, results, going[-1], fold, on_candidate)
        alive = sorted(number for number in going if _folds_done(results[number]) > fold)
    return results


def _folds_done(result: CandidateResult) -> int:
    return len(result.best_steps)


def _first_fold(
    task: CellTask,
    context: WorkerContext,
    study: optuna.Study,
    number: int,
    finished: Sequence[CandidateResult],
    on_candidate: OnCandidate,
) -> CandidateResult:
    """Propose a candidate and train its first inner fold, or replay both."""
    trial = study.ask()
    values = propose(context.procedure.space, trial)
    if number < len(finished):
        result = replayed(finished[number], trial, values)
    else:
        nothing = CandidateResult(number=number, state="pruned", values=values, objective=None)
        result = _trained(task, context, nothing, 0, median_rule(trial, context.procedure.search.prune))
        on_candidate(result)
    _tell_first_fold(study, trial, result)
    return result


def _tell_first_fold(study: optuna.Study, trial: Trial, result: CandidateResult) -> None:
    """Tell the study what the first fold said, whatever became of the candidate later."""
    if result.best_steps:
        tell(study, trial, "complete", result.reported[-1])
    else:
        tell(study, trial, result.state, None)


def _go_on(
    task: CellTask,
    context: WorkerContext,
    results: list[CandidateResult],
    number: int,
    fold: int,
    on_candidate: OnCandidate,
) -> None:
    """Train one fold more of a candidate, unless its record holds it, or that it failed there."""
    result = results[number]
    if _folds_done(result) == fold and result.state != "failed":
        results[number] = _trained(task, context, result, fold, lambda epoch, objective: False)
        on_candidate(results[number])


def _trained(
    task: CellTask, context: WorkerContext, result: CandidateResult, fold: int, give_up: GiveUp
) -> CandidateResult:
    """A candidate with one inner fold more."""
    started = time.perf_counter()
    run = inner_training(task, context, result.number, result.values, fold)
    reported: list[float] = []
    state: CandidateState = "pruned"
    error, given_up = "", False
    try:
        given_up = _gave_up(run, context, reported, give_up)
    except TrainingDivergedError as diverged:
        state, error = "failed", str(diverged)
    judged = None if given_up or state == "failed" else run.judged
    steps = (*result.best_steps, *(() if judged is None else (judged.steps,)))
    scores = (*result.inner_scores, *(() if judged is None else map(float, judged.validation_scores)))
    complete = len(steps) == len(task.inner)
    return replace(
        result,
        state="complete" if complete else state,
        objective=_objective(task, context, scores) if complete else None,
        best_steps=steps,
        inner_scores=scores,
        # The pruner was told of the first fold only.
        reported=result.reported if fold else tuple(reported),
        epochs=(*result.epochs, *epoch_records(run, fold)),
        error=error,
        seconds=result.seconds + time.perf_counter() - started,
    )


def _gave_up(run: InnerTraining, context: WorkerContext, reported: list[float], give_up: GiveUp) -> bool:
    """Train one inner fold to its end, unless the candidate is given up."""
    objective = context.procedure.search.objective
    while run.running:
        run.advance()
        assert run.judged is not None, "an epoch has been trained"
        reported.append(signed_objective(cost_of(run.judged, objective), objective))
        if run.running and give_up(len(reported), reported[-1]):
            return True
    return False


def _objective(task: CellTask, context: WorkerContext, scores: Sequence[float]) -> float:
    costs = [fold_cost(*fold, context.procedure.search.objective) for fold in _folds(task, context, scores)]
    return signed_objective(float(np.mean(costs)), context.procedure.search.objective)


def _folds(task: CellTask, context: WorkerContext, scores: Sequence[float]) -> Iterator[_ScoredFold]:
    """The scores of each inner fold with the fold and the exams' tracers, for as many folds as there are scores."""
    done = 0
    for split in task.inner:
        mine = scores[done : done + len(split.validation)]
        done += len(mine)
        if mine:
            yield np.asarray(mine, dtype=np.float64), split, context.maps.tracer


def _patients(task: CellTask, folds: int) -> NDArray[np.int64]:
    """Whose exam each score of the first folds is; a patient is in one inner fold only."""
    numbers, first = [], 0
    for split in task.inner[:folds]:
        numbers.append(split.patients + first)
        first += int(split.patients.max()) + 1
    return np.concatenate(numbers)


def _decide(
    task: CellTask, context: WorkerContext, alive: Sequence[CandidateResult], fold: int, keep: int
) -> tuple[list[int], list[int]]:
    """Who goes on to an inner fold, and the others, the best first, by the folds before it alone."""
    known = sum(len(split.validation) for split in task.inner[:fold])
    objective = context.procedure.search.objective
    folds = [list(_folds(task, context, one.inner_scores[:known])) for one in alive]
    costs = np.array([np.mean([fold_cost(*one, objective) for one in some]) for some in folds])
    influence = np.array([np.concatenate([influences(*one, objective) for one in some]) / fold for some in folds])
    patient = _patients(task, fold)
    going = survivors(costs, influence, patient, keep) if alive else []
    rest = [place for place in np.argsort(costs, kind="stable").tolist() if place not in going]
    return [alive[place].number for place in going], [alive[place].number for place in rest]
