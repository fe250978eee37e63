"""The recipe of one training of a cell, with its seed."""

from collections.abc import Mapping

from mpi_model.training import Recipe
from orchestrator.cells.records import CellTask, WorkerContext
from orchestrator.hashing import derive_seed
from search_spaces.conditions import Value
from search_spaces.space import hyperparameters


def recipe_for(
    task: CellTask, context: WorkerContext, values: Mapping[str, Value | None], purpose: str, *numbers: int
) -> Recipe:
    """How to train one network of a cell.

    The seed depends on the plan, the repeat, the fold, the purpose and its numbers: never on the inputs, the
    heads or the search space, so that experiments on one plan are paired. The augmented views depend on the plan
    alone: every candidate learns from the same pictures, and workers share what they compute from them.

    Args:
        task: The cell.
        context: The worker's settings.
        values: What the space proposed.
        purpose: `candidate` or `member`.
        numbers: Candidate and inner fold, or member.
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
