"""From the fold plan to the tasks of the cells: where labels are handed out, to training patients' exams only."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.maps import LabelledExams
from mpi_model.vocabulary import Inputs
from orchestrator.cells.records import CellKey, CellTask, InnerSplit
from orchestrator.folds.bootstrap import patients_drawn
from orchestrator.folds.draws import FoldPlan, Purpose, evaluated_patients, inner_parts, training_patients


def cell_task(
    key: CellKey,
    plan: FoldPlan,
    exams: pd.DataFrame,
    eligible: Mapping[Inputs, NDArray[np.bool_]],
    inner_folds: int,
    *,
    calibrated: bool = False,
) -> CellTask:
    """One cell's task.

    Args:
        key: The cell.
        plan: The fold plan.
        exams: The cohort's N exams, row for row with its maps.
        eligible: For each input configuration `[N]`, the exams it may use.
        inner_folds: Inner folds of the search.
        calibrated: Whether the cell gets as many folds again, drawn anew, to calibrate its winners by.
    """
    parts = [inner_parts(plan, key.repeat, key.fold, inner_folds, purpose) for purpose in purposes_of(calibrated)]
    # An assertion, not an error: bad input has been refused, so only a bug can come here.
    kept = [part for part in parts if part is not None]
    if len(kept) < len(parts):
        raise AssertionError("plan_folds checked every inner split")
    # A final cell evaluates nobody, so all its usable development exams are training exams.
    counts = training_patients(plan, key.repeat, key.fold).astype(np.int64)
    task, place = _task(key, plan, exams, eligible, counts, kept, evaluated_patients(plan, key.repeat, key.fold))
    _assert_apart([(task.training.rows, task.evaluation)], place)
    return task


def sample_task(
    key: CellKey,
    plan: FoldPlan,
    exams: pd.DataFrame,
    eligible: Mapping[Inputs, NDArray[np.bool_]],
    inner_folds: int,
    *,
    calibrated: bool = False,
) -> CellTask:
    """The task of a bootstrap sample: it trains on the patients drawn and predicts all development exams.

    Those it was trained on are among them: what is compared is predictions, never a prediction with a label.

    Args:
        key: Of the partition `bootstrap`.
        plan: The fold plan.
        exams: The cohort's N exams, row for row with its maps.
        eligible: For each input configuration `[N]`, the exams it may use.
        inner_folds: Inner folds of the search.
        calibrated: Whether the cell gets as many folds again, drawn anew, to calibrate its winners by.
    """
    counts, parts = patients_drawn(plan, key.repeat, inner_folds, purposes_of(calibrated))
    return _task(key, plan, exams, eligible, counts, parts, np.ones(len(plan.patients), dtype=np.bool_))[0]


def scoring_task(
    key: CellKey, plan: FoldPlan, exams: pd.DataFrame, eligible: Mapping[Inputs, NDArray[np.bool_]]
) -> CellTask:
    """The task of a part of a flat search: it trains without a fold and the next one, and predicts both.

    Args:
        key: Of the partition `search`.
        plan: The fold plan.
        exams: The cohort's N exams, row for row with its maps.
        eligible: For each input configuration `[N]`, the exams it may use.
    """
    assert key.repeat is not None, "a part of a flat search names a repeat and a fold"
    assert key.fold is not None, "a part of a flat search names a repeat and a fold"
    judged = np.isin(plan.folds[key.repeat], [key.fold, (key.fold + 1) % plan.count])
    nobody = np.full(len(plan.patients), -1)
    task, place = _task(key, plan, exams, eligible, (~judged).astype(np.int64), [nobody], judged)
    _assert_apart([(task.training.rows, task.evaluation)], place)
    return task


def with_scores(
    task: CellTask, plan: FoldPlan, exams: pd.DataFrame, scores: Mapping[tuple[int, int], NDArray[np.float64]]
) -> CellTask:
    """A cell's task with what a flat search found for its training exams, in place of inner folds of its own.

    Two parts of the search have seen no patient of a fold. One left it out with the next fold, which is therefore
    scored for it. The other left it out with the fold before. So nothing that a cell chooses by depends on the patients
    that it is judged on, neither as scored nor as trained on. A final cell judges nobody and takes all.

    Args:
        task: Of a cell.
        plan: The fold plan.
        exams: The cohort's exams.
        scores: `[candidates, exams]` of each part by repeat and fold; NaN where it has none.
    """
    key, count = task.key, plan.count
    place = pd.Index(plan.patients).get_indexer(pd.Index(exams["patient_id"]))
    labels = dict(zip(task.training.rows.tolist(), task.training.labels.tolist(), strict=True))
    splits, found = [], []
    for repeat, fold, scored in _parts_without(key, count, len(plan.folds)):
        folds = np.where(place >= 0, plan.folds[repeat][place], -1)
        left_out = np.isin(folds, [fold, (fold + 1) % count])
        rows = np.array([row for row in labels if folds[row] in scored], dtype=np.int64)
        learned = np.array([row for row in labels if not left_out[row]], dtype=np.int64)
        validation, training = (_with_labels(some, labels) for some in (rows, learned))
        splits.append(InnerSplit(training=training, validation=validation, patients=_renumbered(place[rows])))
        found.append(scores[repeat, fold][:, rows])
    _assert_apart([(split.training.rows, split.validation.rows) for split in splits], place)
    _assert_apart([(split.training.rows, task.evaluation) for split in splits], place)
    return replace(task, inner=tuple(splits), scores=np.concatenate(found, axis=1))


def _parts_without(key: CellKey, count: int, repeats: int) -> list[tuple[int, int, tuple[int, ...]]]:
    """The parts of a flat search that have seen nobody a cell is judged on: repeat, fold, and folds scored for it."""
    if key.repeat is None or key.fold is None:
        return [(repeat, fold, (fold, (fold + 1) % count)) for repeat in range(repeats) for fold in range(count)]
    after, before = (key.fold + 1) % count, (key.fold - 1) % count
    return [(key.repeat, key.fold, (after,)), (key.repeat, before, (before,))]


def _with_labels(rows: NDArray[np.int64], labels: Mapping[int, int]) -> LabelledExams:
    return LabelledExams(rows=rows, labels=np.array([labels[row] for row in rows.tolist()], dtype=np.int8))


def purposes_of(calibrated: bool) -> tuple[Purpose, ...]:
    """What a cell splits its training patients for."""
    return ("inner", "calibration") if calibrated else ("inner",)


def _task(
    key: CellKey,
    plan: FoldPlan,
    exams: pd.DataFrame,
    eligible: Mapping[Inputs, NDArray[np.bool_]],
    counts: NDArray[np.int64],
    parts: Sequence[NDArray[np.int64]],
    judged: NDArray[np.bool_],
) -> tuple[CellTask, NDArray[np.intp]]:
    """A task and each exam's place in the plan.

    Args:
        key: The cell.
        plan: The fold plan.
        exams: The cohort's exams.
        eligible: For each input configuration `[N]`, the exams it may use.
        counts: `[patients]`, how often each is trained on.
        parts: The inner folds of the search and, where it is calibrated, those of the calibration.
        judged: `[patients]`, who is predicted.
    """
    # -1 for patients who are not in the plan, such as those of the test partition.
    place = pd.Index(plan.patients).get_indexer(pd.Index(exams["patient_id"]))
    usable = eligible[key.inputs] & (exams["partition"] == "development").to_numpy() & (place >= 0)
    times = np.where(usable, counts[place], 0)
    labels = exams["label"].to_numpy(dtype=np.int8)
    inner, *again = (_splits(np.where(place >= 0, part[place], -1), times, labels, place) for part in parts)
    task = CellTask(
        key=key,
        plan=plan.digest,
        training=_labelled(times, labels),
        inner=inner,
        calibration=again[0] if again else (),
        evaluation=np.flatnonzero(usable & judged[place]),
    )
    sides = [(split.training.rows, split.validation.rows) for split in (*task.inner, *task.calibration)]
    _assert_apart(sides, place)
    return task, place


def _splits(
    part: NDArray[np.int64], times: NDArray[np.int64], labels: NDArray[np.int8], place: NDArray[np.intp]
) -> tuple[InnerSplit, ...]:
    """The inner folds of the exams, by the part `[exams]` that each validates and how often each is trained on."""
    splits = []
    for number in range(int(part.max()) + 1):
        validation = _labelled(np.where(part == number, times, 0), labels)
        training = _labelled(np.where(part != number, times, 0), labels)
        splits.append(
            InnerSplit(training=training, validation=validation, patients=_renumbered(place[validation.rows]))
        )
    return tuple(splits)


def _labelled(times: NDArray[np.int64], labels: NDArray[np.int8]) -> LabelledExams:
    """Every exam as often as it is counted."""
    rows = np.repeat(np.arange(len(times)), times)
    return LabelledExams(rows=rows, labels=labels[rows])


def _renumbered(patients: NDArray[np.intp]) -> NDArray[np.int64]:
    """The same patients numbered from 0, so that a worker can tell one from another and knows nobody."""
    return np.unique(patients, return_inverse=True)[1].astype(np.int64)


def _assert_apart(sides: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], patient: NDArray[np.intp]) -> None:
    """Patients never span training and evaluation sets, whatever the plan was made of."""
    for one, other in sides:
        # No `assert`, which `python -O` leaves out: this one protects every estimate.
        if set(patient[one].tolist()) & set(patient[other].tolist()):
            raise AssertionError("a patient is in a training set and in its evaluation set")
