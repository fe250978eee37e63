"""The recipe of one training of a cell, with its seed."""

from collections.abc import Mapping

import numpy as np

from mpi_model.maps import LabelledExams
from mpi_model.schedule import horizon_steps
from mpi_model.settings import TrainingSettings
from mpi_model.training import Recipe
from orchestrator.cells.records import CandidateResult, CellTask, WorkerContext
from orchestrator.hashing import derive_seed
from search_spaces.conditions import Value
from search_spaces.space import hyperparameters


def recipe_for(
    task: CellTask, context: WorkerContext, values: Mapping[str, Value | None], purpose: str, *numbers: int
) -> Recipe:
    """How to train one network of a cell.

    The seed depends on the plan, the repeat, the fold, the purpose and its numbers. It never depends on the inputs, the
    heads or the search space, so that experiments on one plan are paired. The augmented views depend on the plan alone:
    every candidate learns from the same pictures, and workers share what they compute from them.

    Args:
        task: The cell.
        context: The worker's settings.
        values: What the space proposed.
        purpose: `candidate`, `calibration`, `member` or `flat search`.
        numbers: In this order: candidate and inner fold, member and calibration fold, member, or candidate.
    """
    settings = context.procedure
    return Recipe(
        inputs=task.key.inputs,
        network=settings.network,
        training=settings.training,
        hyperparameters=hyperparameters(values),
        # Of the plan alone, so that all candidates share cached views; the seed below differs by fold and number.
        views_seed=derive_seed(task.plan, "views"),
        seed=derive_seed(task.plan, task.key.repeat, task.key.fold, purpose, *numbers),
        state=context.state,
    )


def length_of_refit(
    training: LabelledExams, task: CellTask, settings: TrainingSettings, candidate: CandidateResult
) -> tuple[int, int]:
    """Steps of a refit and the horizon of its schedule: as many epochs as its candidate had, or as many steps.

    Args:
        training: What the refit learns from.
        task: The cell.
        settings: The `[training]` section.
        candidate: What is refitted.
    """
    if settings.budget == "schedule":
        # With the whole schedule a refit makes as many epochs as its candidate, so more steps on more patients.
        whole = horizon_steps(len(training), settings)
        return whole, whole
    # The median over inner folds: one fold that stopped early or late does not decide the refit's length.
    horizons = [horizon_steps(len(split.training), settings) for split in task.inner]
    return round(float(np.median(candidate.best_steps))), round(float(np.median(horizons)))
