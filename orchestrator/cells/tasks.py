"""From the fold plan to the tasks of the cells: where labels are handed out, to training patients' exams only."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.maps import LabelledExams
from mpi_model.vocabulary import Inputs
from orchestrator.cells.records import CellKey, CellTask, InnerSplit
from orchestrator.folds.draws import FoldPlan, evaluated, inner_parts

_Mask = NDArray[np.bool_]


def cell_task(
    key: CellKey, plan: FoldPlan, exams: pd.DataFrame, eligible: Mapping[Inputs, _Mask], inner_folds: int
) -> CellTask:
    """One cell's task.

    Args:
        key: The cell.
        plan: The fold plan.
        exams: The cohort's exams, row for row with its maps.
        eligible: For each input configuration, the exams it may use.
        inner_folds: Inner folds of the search.
    """
    # -1 for patients who are not in the plan, such as those of the test partition.
    place = pd.Index(plan.patients).get_indexer(pd.Index(exams["patient_id"]))
    usable = eligible[key.inputs] & (exams["partition"] == "development").to_numpy() & (place >= 0)
    outside = _spread(evaluated(plan, key.repeat, key.fold), place)
    inner = inner_parts(plan, key.repeat, key.fold, inner_folds)
    # An assertion, not an error: bad input has been refused, so only a bug can come here.
    assert inner is not None, "plan_folds checked every inner split"
    part = np.where(place >= 0, inner[place], -1)
    # A final cell evaluates nobody, so all its usable development exams are training exams.
    training = usable & ~outside
    labels = exams["label"].to_numpy(dtype=np.int8)
    splits = tuple(
        InnerSplit(
            training=_labelled(training & (part != number), labels),
            validation=_labelled(training & (part == number), labels),
            patients=_renumbered(place[training & (part == number)]),
        )
        for number in range(inner_folds)
    )
    task = CellTask(
        key=key,
        plan=plan.digest,
        training=_labelled(training, labels),
        inner=splits,
        evaluation=np.flatnonzero(usable & outside),
    )
    _assert_apart(task, place)
    return task


def _labelled(mask: _Mask, labels: NDArray[np.int8]) -> LabelledExams:
    rows = np.flatnonzero(mask)
    return LabelledExams(rows=rows, labels=labels[rows])


def _renumbered(patients: NDArray[np.intp]) -> NDArray[np.int64]:
    """The same patients numbered from 0, so that a worker can tell one from another and knows nobody."""
    return np.unique(patients, return_inverse=True)[1].astype(np.int64)


def _spread(patients: _Mask, place: NDArray[np.intp]) -> _Mask:
    """A mask over patients as a mask over exams."""
    spread: _Mask = np.where(place >= 0, patients[place], False)
    return spread


def _assert_apart(task: CellTask, patient: NDArray[np.intp]) -> None:
    """Patients never span training and evaluation sets, whatever the plan was made of."""
    sides = [
        (task.training.rows, task.evaluation),
        *((split.training.rows, split.validation.rows) for split in task.inner),
    ]
    for one, other in sides:
        assert not set(patient[one].tolist()) & set(patient[other].tolist()), (
            "a patient is in a training set and in its evaluation set"
        )
