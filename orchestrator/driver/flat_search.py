"""The tasks of a run's cells, in their order: the parts of a flat search first, then the cells that choose by them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mpi_model.vocabulary import Inputs
from orchestrator.cells.records import CellKey, CellTask
from orchestrator.cells.tasks import cell_task, scoring_task, with_scores
from orchestrator.driver.prepare import Prepared
from orchestrator.ledger.integrity import read_results
from orchestrator.ledger.state import RunState


def scores_of_parts(
    state: RunState, keys: Sequence[CellKey], candidates: int, exams: int
) -> dict[Inputs, Mapping[tuple[int, int], NDArray[np.float64]] | None]:
    """What the parts of a flat search found, read from their committed cells.

    Args:
        state: What the ledger holds.
        keys: The run's cells.
        candidates: Of the search.
        exams: Rows of the cohort.

    Returns:
        Scores `[candidates, exams]` by repeat and fold, for each input configuration. None where a part failed or was
        not done, so that nothing can be chosen. Empty without a flat search.
    """
    parts = [key for key in keys if key.partition == "search"]
    found: dict[Inputs, Mapping[tuple[int, int], NDArray[np.float64]] | None] = {}
    for name in dict.fromkeys(key.inputs for key in parts):
        mine = [key for key in parts if key.inputs == name]
        whole = all(state.state_of(key) == "complete" for key in mine)
        found[name] = {_place(key): _scores(state, key, candidates, exams) for key in mine} if whole else None
    return found


def task_of(
    key: CellKey, prepared: Prepared, scores: Mapping[Inputs, Mapping[tuple[int, int], NDArray[np.float64]] | None]
) -> CellTask | None:
    """What a worker is given to do a cell.

    Args:
        key: The cell, not of a bootstrap sample.
        prepared: The experiment.
        scores: What the parts of a flat search found; empty without one.

    Returns:
        The task; None for a cell that has nothing to choose by, because a part of its flat search is missing.
    """
    experiment, exams, eligible = prepared.loaded.experiment, prepared.cohort.exams, prepared.eligible
    if key.partition == "search":
        return scoring_task(key, prepared.plan, exams, eligible)
    calibrated = experiment.decision.calibration != "none"
    task = cell_task(key, prepared.plan, exams, eligible, experiment.search.inner_folds, calibrated=calibrated)
    if key.inputs not in scores:
        return task
    found = scores[key.inputs]
    return None if found is None else with_scores(task, prepared.plan, exams, found)


def _place(key: CellKey) -> tuple[int, int]:
    assert key.repeat is not None, "a part of a flat search names a repeat and a fold"
    assert key.fold is not None, "a part of a flat search names a repeat and a fold"
    return key.repeat, key.fold


def _scores(state: RunState, key: CellKey, candidates: int, exams: int) -> NDArray[np.float64]:
    table = read_results(state, key)["predictions"]
    scores = np.full((candidates, exams), np.nan)
    scores[table["member"].to_numpy(), table["row"].to_numpy()] = table["score"].to_numpy()
    return scores
