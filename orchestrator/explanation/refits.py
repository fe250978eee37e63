"""The candidates that a finished cell refitted, read back from its ledger, so that its networks can be refitted again.

Networks of a cross-validation are not stored: they would be one file a fold. Their recipe is: hyperparameters, seeds
and the epochs that each inner training was judged by. From it the same networks follow, on a CPU byte for byte.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

import pyarrow as pa

from mpi_model.schedule import batches_per_epoch
from mpi_model.settings import Hyperparameters, TrainingSettings
from orchestrator.cells.candidate import cost_of
from orchestrator.cells.records import CandidateResult, CellTask, EpochRecord
from orchestrator.experiment.settings import Objective

_NAMES: Final = tuple(field.name for field in fields(Hyperparameters))


def stored_candidates(
    task: CellTask, candidates: pa.Table, epochs: pa.Table, training: TrainingSettings, objective: Objective
) -> tuple[CandidateResult, ...]:
    """A cell's complete candidates, with all that their refit needs.

    Args:
        task: The cell.
        candidates: Its part of that name.
        epochs: Its part of that name.
        training: Of the experiment.
        objective: Of the search.

    Returns:
        In the order of their numbers; `inner_scores` and `reported` are not in the parts and are empty.
    """
    complete = [row for row in candidates.to_pylist() if row["state"] == "complete"]
    watched = epochs.to_pylist()
    return tuple(
        CandidateResult(
            number=row["candidate"],
            state="complete",
            # The effective hyperparameters: every one is named, so no default is filled in.
            values={name: row[f"hp_{name}"] for name in _NAMES},
            objective=row["objective"],
            best_steps=_best_steps(task, _epochs_of(row["candidate"], watched), training, objective),
        )
        for row in complete
    )


def _epochs_of(candidate: int, rows: Sequence[dict[str, Any]]) -> list[EpochRecord]:
    names = EpochRecord.__dataclass_fields__
    return [EpochRecord(**{name: row[name] for name in names}) for row in rows if row["candidate"] == candidate]


def _best_steps(
    task: CellTask, epochs: Sequence[EpochRecord], training: TrainingSettings, objective: Objective
) -> tuple[int, ...]:
    """Optimiser steps at the epoch that judges each inner training: the last of a whole schedule, or the best one."""
    steps = []
    for fold, split in enumerate(task.inner):
        judged = training.epochs
        if training.budget == "best_epoch":
            mine = [one for one in epochs if one.inner_fold == fold]
            # `min` keeps the first of equals, as the search did.
            judged = min(mine, key=lambda one: cost_of(one, objective)).epoch
        steps.append(judged * batches_per_epoch(len(split.training), training.batch_size))
    return tuple(steps)
