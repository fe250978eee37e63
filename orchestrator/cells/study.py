"""The search inside one cell: a seeded, sequential Optuna study, replayed where it was interrupted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import optuna
from optuna.trial import Trial, TrialState

from mpi_model.errors import PolarmapError
from orchestrator.cells.candidate import GiveUp, score_candidate
from orchestrator.cells.records import CandidateResult, CandidateState, CellTask, WorkerContext
from orchestrator.experiment.settings import SearchSettings
from orchestrator.hashing import derive_seed
from search_spaces.conditions import Value
from search_spaces.space import SearchSpace, first_candidate, propose

PRUNING_WARM_UP: Final = 5
"""Epochs every candidate is given before it can be pruned: early losses of slow learning rates mislead."""
_MOST_RANDOM: Final = 10
"""Candidates drawn at random before TPE models them, at most (Optuna's own default)."""

OnCandidate = Callable[[CandidateResult], None]


def search(
    task: CellTask, context: WorkerContext, finished: Sequence[CandidateResult], on_candidate: OnCandidate
) -> list[CandidateResult]:
    """Try the experiment's number of candidates, one after another.

    Candidates that were finished before an interruption are replayed. The sampler is asked again, must propose the same
    values, and receives the same outcome. So the study goes on exactly as it would have.

    Args:
        task: The cell.
        context: The worker's data and settings.
        finished: Candidates already tried, in order.
        on_candidate: Receives each new candidate as soon as it is finished.

    Returns:
        All candidates, in order.
    """
    settings = context.procedure.search
    study = new_study(task, settings, context.procedure.space)
    results: list[CandidateResult] = []
    for number in range(settings.candidates):
        trial = study.ask()
        values = propose(context.procedure.space, trial)
        if number < len(finished):
            result = replayed(finished[number], trial, values)
        else:
            result = score_candidate(task, context, number, values, median_rule(trial, settings.prune))
            on_candidate(result)
        tell(study, trial, result.state, result.objective)
        results.append(result)
    return results


def random_candidates(space: SearchSpace, count: int, *, seed: int) -> list[dict[str, Value | None]]:
    """The space's defaults, then random draws; no candidate depends on what became of another.

    Args:
        space: What is drawn.
        count: Candidates, the first of them included.
        seed: Of the draws, below 2**32.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    study.enqueue_trial(first_candidate(space))
    return [propose(space, study.ask()) for _ in range(count)]


def startup_candidates(settings: SearchSettings) -> int:
    """Candidates drawn at random before TPE models them and the median prunes."""
    # A third, at least three: with few candidates TPE would model almost nothing.
    return min(_MOST_RANDOM, max(3, settings.candidates // 3))


def new_study(task: CellTask, settings: SearchSettings, space: SearchSpace) -> optuna.Study:
    """An empty study of a cell; its seed depends on the plan, the repeat and the fold only."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    random = startup_candidates(settings)
    # Without the inputs: input configurations of one fold try the same random candidates, which pairs them.
    seed = derive_seed(task.plan, task.key.repeat, task.key.fold, "study") % 2**32
    study = optuna.create_study(
        direction="minimize" if settings.objective == "balanced_log_loss" else "maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=random),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=random, n_warmup_steps=PRUNING_WARM_UP),
    )
    # The space's defaults first, so that a search is never worse informed than no search.
    study.enqueue_trial(first_candidate(space))
    return study


def ranked(results: Sequence[CandidateResult], settings: SearchSettings) -> list[CandidateResult]:
    """The complete candidates, the best objective first, of equals the earliest; empty where none is complete."""
    complete = [
        (result.objective, result) for result in results if result.state == "complete" and result.objective is not None
    ]
    # `sorted` is stable, so of equal objectives the earliest candidate wins.
    sign = 1.0 if settings.objective == "balanced_log_loss" else -1.0
    return [result for _, result in sorted(complete, key=lambda pair: sign * pair[0])]


def median_rule(trial: Trial, prune: bool) -> GiveUp:
    """The rule that a training asks after each epoch: give up where the median of earlier candidates is better."""

    def give_up(epoch: int, objective: float) -> bool:
        trial.report(objective, epoch)
        return prune and trial.should_prune()

    return give_up


def replayed(result: CandidateResult, trial: Trial, values: dict[str, Value | None]) -> CandidateResult:
    """A candidate of an earlier call, with its reports made again; refused if the sampler proposes another one."""
    check_replay(result, values)
    # Of a training that came to its end the last value was never reported: the pruner is not asked after it.
    reported = result.reported[:-1] if result.best_steps else result.reported
    # The median pruner compares later candidates with these values, so they are reported again.
    for epoch, objective in enumerate(reported, start=1):
        trial.report(objective, epoch)
    return result


def check_replay(result: CandidateResult, values: Mapping[str, Value | None]) -> None:
    """Refuse to go on from a candidate that would be another one now: it would mix two different searches.

    Raises:
        PolarmapError: Its hyperparameters are not those that are proposed for its number.
    """
    if result.values != values:
        raise PolarmapError(
            f"candidate {result.number} of the ledger has other hyperparameters than its replay proposes; "
            "the run directory was written by another version: use a new experiment name"
        )


def tell(study: optuna.Study, trial: Trial, state: CandidateState, objective: float | None) -> None:
    """Tell the study how a candidate ended; only a complete one has an objective."""
    match state:
        case "complete":
            study.tell(trial, objective)
        case "pruned":
            study.tell(trial, state=TrialState.PRUNED)
        case "failed":
            study.tell(trial, state=TrialState.FAIL)
