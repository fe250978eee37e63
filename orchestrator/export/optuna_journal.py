"""The searches of a run as Optuna studies, one a cell, in a journal file that optuna-dashboard opens."""

import datetime
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import optuna
import pandas as pd
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from mpi_model.settings import Budget
from orchestrator.cells.records import CellKey
from orchestrator.experiment.settings import Objective
from orchestrator.ledger.description import RunDescription
from orchestrator.ledger.reading import Run
from orchestrator.output_files import new_named_file
from search_spaces.stored import StoredParameter, drawn_values, read_stored_space

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
_CELL = ["inputs", "partition", "repeat", "fold"]
_DIRECTIONS: Final[Mapping[Objective, StudyDirection]] = {
    "balanced_log_loss": StudyDirection.MINIMIZE,
    "auc": StudyDirection.MAXIMIZE,
}
_FINAL: Final = -1
"""In place of the repeat and the fold that a final cell does not have."""
_BEGINNING: Final = datetime.datetime(2000, 1, 1)


def export_studies(run: Run, path: Path) -> tuple[int, int]:
    """Write every search of a run, going on or finished, as an Optuna study named as its cell.

    Args:
        run: The run.
        path: A new file; Optuna's journal needs no database.

    Returns:
        The numbers of studies and of trials.

    Raises:
        ExperimentError: The file is there already, or cannot be written.
    """
    description = run.description
    objective = description.settings.search.objective
    space = read_stored_space(description.space)
    candidates, timings, epochs = map(_numbered, run.tables("candidates", "timings", "epochs"))
    candidates = candidates.merge(timings[[*_CELL, "candidate", "seconds"]], on=[*_CELL, "candidate"], how="left")
    # The parts of a flat search have no objectives; the cells, which judge the same candidates, have.
    candidates = candidates[candidates["partition"] != "search"]
    if description.settings.search.races:
        epochs = epochs[epochs["inner_fold"] == 0]  # the pruner of a race is told of the first inner fold only
    budget = description.settings.training.budget
    reported = {
        key: _reported(rows, objective, budget) for key, rows in epochs.groupby([*_CELL, "candidate"], sort=False)
    }
    with tempfile.TemporaryDirectory() as folder:
        # Optuna appends to its file study by study; the person's file is written once, whole.
        journal = Path(folder) / "journal"
        storage = JournalStorage(JournalFileBackend(str(journal)))
        _write_studies(storage, description, candidates, reported, space)
        studies = len(storage.get_all_studies())
        new_named_file(path, journal.read_bytes())
    return studies, len(candidates)


def _write_studies(
    storage: JournalStorage,
    description: RunDescription,
    candidates: pd.DataFrame,
    reported: Mapping[tuple[Any, ...], dict[int, float]],
    space: Sequence[StoredParameter],
) -> None:
    objective = description.settings.search.objective
    for cell, rows in candidates.groupby(_CELL, sort=False):
        key = _key(cell)
        study = optuna.create_study(study_name=key.name, storage=storage, direction=_DIRECTIONS[objective])
        for name, value in {"experiment": description.name, "objective": objective, **asdict(key)}.items():
            study.set_user_attr(name, value)
        records: list[Any] = rows.astype(object).where(rows.notna(), None).to_dict("records")
        study.add_trials([_trial(row, space, reported.get((*cell, row["candidate"]), {})) for row in records])


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with -1 where a final cell has no repeat and no fold: nulls cannot be looked up."""
    numbers = {name: frame[name].fillna(_FINAL).astype("int64") for name in ("repeat", "fold")}
    return frame.assign(**numbers)


def _key(cell: tuple[Any, ...]) -> CellKey:
    inputs, partition, repeat, fold = cell
    numbers = (None, None) if repeat == _FINAL else (int(repeat), int(fold))
    return CellKey(inputs=inputs, partition=partition, repeat=numbers[0], fold=numbers[1])


def _reported(rows: pd.DataFrame, objective: Objective, budget: Budget) -> dict[int, float]:
    """What the pruner was told after each epoch: the mean over inner folds of the score that counted by then."""
    score = "validation_loss" if objective == "balanced_log_loss" else "validation_auc"
    table = rows.pivot(index="epoch", columns="inner_fold", values=score).sort_index()
    if budget == "best_epoch":
        table = table.cummin() if objective == "balanced_log_loss" else table.cummax()
    # An inner fold that stopped early keeps what it had.
    until = table.ffill()
    return {int(epoch): float(value) for epoch, value in until.mean(axis=1).dropna().items()}  # type: ignore[call-overload]


def _trial(row: dict[str, Any], space: Sequence[StoredParameter], reported: dict[int, float]) -> FrozenTrial:
    """A candidate as a trial; its duration is true, its dates are not: the ledger keeps none."""
    values = {name.removeprefix("hp_"): value for name, value in row.items() if name.startswith("hp_")}
    drawn = drawn_values(space, values)
    trial = create_trial(
        state=_STATES[row["state"]],
        value=row["objective"],
        params=drawn,
        distributions={parameter.name: parameter.distribution for parameter in space if parameter.name in drawn},
        user_attrs={name: row[name] for name in ("candidate", "epochs", "error", "seconds") if row[name] is not None},
        intermediate_values=reported,
    )
    trial.datetime_start = _BEGINNING
    trial.datetime_complete = _BEGINNING + datetime.timedelta(seconds=row["seconds"] or 0.0)
    return trial
