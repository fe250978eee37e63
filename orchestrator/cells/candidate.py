"""Scores one candidate: its inner folds are trained side by side, an epoch at a time."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from mpi_model.errors import TrainingDivergedError
from mpi_model.settings import TrainingSettings
from mpi_model.training import Epoch, train
from orchestrator.cells.recipe import recipe_for
from orchestrator.cells.records import CandidateResult, CandidateState, CellTask, EpochRecord, WorkerContext
from orchestrator.experiment.settings import Objective
from search_spaces.conditions import Value

GiveUp = Callable[[int, float], bool]
"""Takes an epoch and the objective after it; returns whether the candidate should be given up."""


def cost_of(epoch: Epoch | EpochRecord, objective: Objective) -> float:
    """The objective after an epoch, as something to be made small."""
    if objective == "balanced_log_loss":
        return epoch.validation_loss
    if epoch.validation_auc is None:
        raise TrainingDivergedError("an inner validation part lacks a class, which the fold plan excludes")
    return -epoch.validation_auc


def signed_objective(mean_cost: float, objective: Objective) -> float:
    """The objective as the field writes it: a loss, or an AUC."""
    return mean_cost if objective == "balanced_log_loss" else -mean_cost


@dataclass(slots=True)
class InnerTraining:
    """One inner fold under way: its training, and the epoch it is judged by."""

    epochs: Iterator[Epoch]
    settings: TrainingSettings
    objective: Objective
    records: list[Epoch] = field(default_factory=list)
    judged: Epoch | None = None
    """The best epoch so far, or the last one where every training runs its whole schedule."""

    @property
    def running(self) -> bool:
        """Whether another epoch may still help."""
        if self.judged is None:
            return True
        if len(self.records) == self.settings.epochs:
            return False
        return self.settings.budget == "schedule" or self.records[-1].epoch - self.judged.epoch < self.settings.patience

    def advance(self) -> None:
        """Train one epoch more, unless the schedule or the patience has run out."""
        if not self.running:
            return
        epoch = next(self.epochs)
        self.records.append(epoch)
        # On a dozen validation patients the best of thirty epochs is mostly a lucky one, and it has not annealed.
        last_counts = self.settings.budget == "schedule"
        if self.judged is None or last_counts or cost_of(epoch, self.objective) < cost_of(self.judged, self.objective):
            self.judged = epoch


def score_candidate(
    task: CellTask, context: WorkerContext, number: int, values: dict[str, Value | None], give_up: GiveUp
) -> CandidateResult:
    """Train a candidate on every inner fold and score it.

    A loss that stops being a number makes the candidate `failed`; the cell goes on.

    Args:
        task: The cell.
        context: The worker's data and settings.
        number: The candidate's number in its study.
        values: What the space proposed.
        give_up: Asked after each epoch whether to stop the candidate.
    """
    started = time.perf_counter()
    # Side by side, not one after the other: the pruner then judges an epoch by all inner folds.
    runs = [inner_training(task, context, number, values, fold) for fold in range(len(task.inner))]
    reported: list[float] = []
    state: CandidateState = "complete"
    error = ""
    try:
        if _gave_up(runs, context, reported, give_up):
            state = "pruned"
    except TrainingDivergedError as diverged:
        state, error = "failed", str(diverged)
    # A pruned or failed candidate has no inner scores: thresholds are set from complete candidates only.
    finished = [run.judged for run in runs if run.judged is not None] if state == "complete" else []
    return CandidateResult(
        number=number,
        state=state,
        values=values,
        objective=reported[-1] if state == "complete" else None,
        best_steps=tuple(epoch.steps for epoch in finished),
        inner_scores=tuple(float(score) for epoch in finished for score in epoch.validation_scores),
        reported=tuple(reported),
        epochs=tuple(record for fold, run in enumerate(runs) for record in epoch_records(run, fold)),
        error=error,
        seconds=time.perf_counter() - started,
    )


def inner_training(
    task: CellTask, context: WorkerContext, number: int, values: dict[str, Value | None], fold: int
) -> InnerTraining:
    """One inner fold of a candidate, built and not yet trained."""
    split = task.inner[fold]
    recipe = recipe_for(task, context, values, "candidate", number, fold)
    # A generator: nothing is trained until the first epoch is asked for.
    epochs = train(context.maps, split.training, split.validation, recipe=recipe, device=torch.device(context.device))
    return InnerTraining(
        epochs=epochs, settings=context.procedure.training, objective=context.procedure.search.objective
    )


def _gave_up(runs: list[InnerTraining], context: WorkerContext, reported: list[float], give_up: GiveUp) -> bool:
    """Train all inner folds to their end, unless the candidate is given up."""
    objective = context.procedure.search.objective
    for epoch in range(1, context.procedure.training.epochs + 1):
        for run in runs:
            run.advance()
        # A fold that stopped early counts with the epoch it is judged by, so every report averages the same folds.
        mean_cost = float(np.mean([cost_of(run.judged, objective) for run in runs if run.judged is not None]))
        reported.append(signed_objective(mean_cost, objective))
        # Asked before the pruner: a candidate that is finished costs nothing more and is kept complete.
        if not any(run.running for run in runs):
            return False
        if give_up(epoch, reported[-1]):
            return True
    return False


def epoch_records(run: InnerTraining, fold: int) -> Iterator[EpochRecord]:
    """The epochs of an inner fold, as they are stored."""
    for epoch in run.records:
        yield EpochRecord(
            inner_fold=fold,
            epoch=epoch.epoch,
            training_loss=epoch.training_loss,
            validation_loss=epoch.validation_loss,
            validation_auc=epoch.validation_auc,
        )
