"""Rules of a search, replayed on stored trainings; the trainings are made by `validation.search_cost`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
import optuna
from numpy.typing import NDArray

from mpi_model.loss import class_weights
from orchestrator.cells import rungs
from orchestrator.cells.records import CellTask, InnerSplit
from orchestrator.cells.study import PRUNING_WARM_UP, startup_candidates
from orchestrator.experiment.settings import SearchSettings

CANDIDATES: Final = SearchSettings().candidates
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A cell's trainings, as the rules look at them."""

    task: CellTask
    lengths: NDArray[np.int64]
    """`[C, F]`, epochs until patience ended them."""
    paths: Floats
    """`[C, F, E]`, the best loss so far, flat after the end."""
    values: Floats
    """`[C, P]`, the hyperparameters in the order of the space; NaN where one does not exist."""
    best: NDArray[np.int64]
    """`[C, F]`, the place of the epoch that each is judged by."""
    scores: tuple[Floats, ...]
    """For each fold `[C, n]`, the validation exams' scores at that epoch."""

    @classmethod
    def of(cls, stored: Mapping[str, NDArray[np.generic]], task: CellTask) -> "Stored":
        """Read what `trained` made."""
        losses = np.asarray(stored["losses"], dtype=np.float64)
        best = np.nanargmin(losses, axis=2)
        fold, scores = stored["fold"], np.asarray(stored["scores"], dtype=np.float64)
        return cls(
            task=task,
            lengths=(~np.isnan(losses)).sum(axis=2),
            paths=np.fmin.accumulate(losses, axis=2),
            values=np.asarray(stored["values"], dtype=np.float64),
            best=best,
            scores=tuple(
                np.stack([scores[one, best[one, part]][fold == part] for one in range(CANDIDATES)])
                for part in range(losses.shape[1])
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a rule came to in a cell."""

    epochs: int
    complete: Sequence[int]
    """Candidates that have all folds."""


def side_by_side(cell: Stored, tracer: NDArray[np.int8], pruner: optuna.pruners.BasePruner) -> Choice:
    """Every candidate on all folds at once; the pruner sees their mean after each epoch."""
    study = optuna.create_study(pruner=pruner)
    epochs, complete = 0, []
    for number in range(CANDIDATES):
        trial, most = study.ask(), int(cell.lengths[number].max())
        mean = cell.paths[number].mean(axis=0)
        for epoch in range(1, most + 1):
            trial.report(mean[epoch - 1], epoch)
            if epoch < most and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, mean[-1])
            complete.append(number)
        epochs += int(np.minimum(cell.lengths[number], epoch).sum())
    return Choice(epochs=epochs, complete=complete)


def wilcoxon(cell: Stored, tracer: NDArray[np.int8]) -> Choice:
    """Optuna's paired test against the best candidate so far, fold after fold, a patient's loss being a step."""
    study = optuna.create_study(pruner=optuna.pruners.WilcoxonPruner())
    epochs, complete = 0, []
    for number in range(CANDIDATES):
        trial, step, values = study.ask(), 0, []
        for fold, split in enumerate(cell.task.inner):
            epochs += int(cell.lengths[number, fold])
            for value in patients_losses(cell.scores[fold][number], split, tracer):
                trial.report(value, step)
                step += 1
                values.append(value)
            if fold + 1 < len(cell.task.inner) and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, float(np.mean(values)))
            complete.append(number)
    return Choice(epochs=epochs, complete=complete)


def patients_losses(scores: Floats, split: InnerSplit, tracer: NDArray[np.int8]) -> Floats:
    """Each patient's part of the balanced loss, times the number of patients: their mean is the loss."""
    mine, labels = tracer[split.validation.rows], split.validation.labels
    weights = class_weights(split.training.labels, tracer[split.training.rows])[mine, labels]
    totals = np.bincount(mine, weights)
    shares = weights / totals[mine] / (totals > 0).sum()
    losses = shares * np.logaddexp(0, np.where(labels == 1, -scores, scores))
    found: Floats = np.bincount(split.patients, losses) * (split.patients.max() + 1)
    return found


def raced(cell: Stored, tracer: NDArray[np.int8], tie: float, prune: bool) -> Choice:
    """`search.strategy = "race"`, its ties this many standard errors wide."""
    first = replace(cell, lengths=cell.lengths[:, :1], paths=cell.paths[:, :1])
    begun = side_by_side(first, tracer, median() if prune else optuna.pruners.NopPruner())
    epochs, alive = begun.epochs, list(begun.complete)
    kept, rungs._TIE = rungs._TIE, tie  # type: ignore[misc] # other widths than the one that was chosen
    settings = SearchSettings()
    for fold in range(1, len(cell.task.inner)):
        done = range(fold)
        influence = [
            np.concatenate(
                [rungs.influences(cell.scores[f][one], cell.task.inner[f], tracer, "balanced_log_loss") for f in done]
            )
            for one in alive
        ]
        patient = np.concatenate([cell.task.inner[f].patients + 10_000 * f for f in done])
        costs = np.array([cell.paths[one, :fold, -1].mean() for one in alive])
        going = rungs.survivors(costs, np.array(influence) / fold, patient, rungs.candidates_on_fold(settings, fold))
        alive = [alive[place] for place in going]
        epochs += int(cell.lengths[alive, fold].sum())
    rungs._TIE = kept  # type: ignore[misc] # as above
    return Choice(epochs=epochs, complete=sorted(alive))


def median() -> optuna.pruners.BasePruner:
    """The pruner of `orchestrator.cells.study`."""
    return optuna.pruners.MedianPruner(
        n_startup_trials=startup_candidates(SearchSettings()), n_warmup_steps=PRUNING_WARM_UP
    )


RULES: Final[Mapping[str, Callable[[Stored, NDArray[np.int8]], Choice]]] = MappingProxyType(
    {
        "all folds, median (`all_folds`)": lambda cell, tracer: side_by_side(cell, tracer, median()),
        "all folds, nothing pruned": lambda cell, tracer: side_by_side(cell, tracer, optuna.pruners.NopPruner()),
        "race (`race`)": partial(raced, tie=rungs._TIE, prune=True),
        "race, no ties": partial(raced, tie=0.0, prune=True),
        "race, ties of one standard error": partial(raced, tie=1.0, prune=True),
        "race, no median on the first fold": partial(raced, tie=rungs._TIE, prune=False),
        "Optuna's WilcoxonPruner": wilcoxon,
    }
)
"""The first is what the others are compared with."""
