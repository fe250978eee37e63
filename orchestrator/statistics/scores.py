"""The records every statistic takes; what they refuse cannot be computed by mistake.

Shape letters: N exams, P patients, R repeats, K folds of a repeat, B draws.

A patient may have several exams. `Exams` knows which, and every variance in this package sums over a
patient's exams before it squares. The repeats of cross-validation are an axis of `FoldScores`, so the R
scores of an exam cannot be taken for R exams.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpi_model.errors import StatisticsError

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exams:
    """The exams that are judged: what each one showed and whose it is. Both classes are present."""

    labels: Flags
    """`[N]`, true where the endpoint was present."""
    patients: Codes
    """`[N]`, the patient's number, 0 to P − 1; every number occurs."""

    def __post_init__(self) -> None:
        if self.labels.ndim != 1 or self.labels.shape != self.patients.shape:
            raise StatisticsError(
                f"labels {self.labels.shape} and patients {self.patients.shape} must be arrays of one length"
            )
        if self.labels.dtype != np.bool_:
            raise StatisticsError(f"labels must be booleans, but they are {self.labels.dtype}; use `Exams.of`")
        if not 0 < self.labels.sum() < self.labels.size:
            raise StatisticsError(
                f"both classes are needed, but {self.labels.sum()} of {self.labels.size} exams are positive"
            )
        if self.patients.min() < 0 or np.unique(self.patients).size != self.patients.max() + 1:
            raise StatisticsError("patients must be numbered 0 to P − 1 without gaps; use `Exams.of`")

    @classmethod
    def of(cls, labels: ArrayLike, patients: ArrayLike | None = None) -> "Exams":
        """Build the record from any labels and patient identifiers.

        Args:
            labels: `[N]`, 0 or 1.
            patients: `[N]`, anything sortable; None where every exam is another patient's.

        Raises:
            StatisticsError: A label is not 0 or 1, a class is missing, or the lengths differ.
        """
        values = np.asarray(labels)
        wrong = np.flatnonzero(~np.isin(values, (0, 1)))
        if wrong.size:
            raise StatisticsError(f"a label must be 0 or 1, but {wrong.size} are not, the first in place {wrong[0]}")
        owners = np.arange(values.size) if patients is None else np.asarray(patients)
        # Numbers in sorted order of the identifiers: the same whatever the order of the exams.
        codes = np.unique(owners, return_inverse=True)[1].astype(np.int64)
        return cls(labels=values.astype(np.bool_), patients=codes)

    @property
    def patient_count(self) -> int:
        """The number of patients, P."""
        return int(self.patients.max()) + 1

    @property
    def positive_patients(self) -> Flags:
        """`[P]`, whether a patient has a positive exam."""
        return np.bincount(self.patients[self.labels], minlength=self.patient_count) > 0

    @property
    def negative_patients(self) -> Flags:
        """`[P]`, whether a patient has a negative exam."""
        return np.bincount(self.patients[~self.labels], minlength=self.patient_count) > 0

    @property
    def class_patients(self) -> tuple[int, int]:
        """How many patients have a positive exam, and how many a negative one."""
        return int(self.positive_patients.sum()), int(self.negative_patients.sum())

    def matches(self, other: "Exams") -> bool:
        """Whether the other record holds the same exams in the same order."""
        return np.array_equal(self.labels, other.labels) and np.array_equal(self.patients, other.patients)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PatientScores:
    """One score an exam, from one fixed model or ensemble."""

    exams: Exams
    scores: Floats
    """`[N]`, finite; a higher score speaks for the endpoint."""

    def __post_init__(self) -> None:
        _require_finite(self.scores, self.exams.labels.shape)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldScores:
    """Held-out scores of a repeated cross-validation: each exam once a repeat, each patient in one fold."""

    exams: Exams
    scores: Floats
    """`[R, N]`, finite."""
    folds: Codes
    """`[R, N]`, the fold in which an exam was held out, 0 to K − 1; the same K in every repeat."""

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or self.scores.shape[0] == 0:
            raise StatisticsError(f"fold scores need the shape [repeats, exams], but have {self.scores.shape}")
        _require_finite(self.scores, (self.scores.shape[0], self.exams.labels.size))
        _require_folds(self.exams, self.folds, self.scores.shape)

    @property
    def repeat_count(self) -> int:
        """The number of repeats, R."""
        return len(self.scores)

    @property
    def fold_count(self) -> int:
        """The number of folds of a repeat, K."""
        return int(self.folds.max()) + 1

    @property
    def cells(self) -> Codes:
        """`[R, N]`, the number of the (repeat, fold) in which an exam was held out, 0 to R·K − 1."""
        # Fold numbers repeat in every repeat; the offset makes them distinct.
        return self.folds + self.fold_count * np.arange(self.repeat_count)[:, None]


def require_same_exams(models: Sequence[PatientScores | FoldScores]) -> None:
    """Refuse to pair models that were not judged on the same exams and, in cross-validation, the same folds.

    Raises:
        StatisticsError: They differ.
    """
    first = models[0]
    for other in models[1:]:
        if not first.exams.matches(other.exams):
            raise StatisticsError("a paired comparison needs the same exams in the same order for both models")
        folds = [model.folds for model in (first, other) if isinstance(model, FoldScores)]
        if len(folds) == 1 or (folds and not np.array_equal(folds[0], folds[1])):
            raise StatisticsError("a paired comparison needs the same folds in every repeat for both models")


def _require_finite(scores: Floats, shape: tuple[int, ...]) -> None:
    if scores.shape != shape:
        raise StatisticsError(f"scores have the shape {scores.shape}, but the exams ask for {shape}")
    if not np.isfinite(scores).all():
        raise StatisticsError(f"scores must be finite, but {int((~np.isfinite(scores)).sum())} are not")


def _require_folds(exams: Exams, folds: Codes, shape: tuple[int, ...]) -> None:
    if folds.shape != shape:
        raise StatisticsError(f"folds have the shape {folds.shape}, but the scores {shape}")
    count = int(folds.max()) + 1
    if folds.min() < 0 or count < 2:
        raise StatisticsError("cross-validation needs at least two folds, numbered from 0")
    for repeat, row in enumerate(folds):
        # As many distinct (patient, fold) pairs as patients: each patient is in exactly one fold.
        if np.unique(np.stack([exams.patients, row]), axis=1).shape[1] != exams.patient_count:
            raise StatisticsError(f"a patient is in two folds of repeat {repeat}; folds must hold whole patients")
    cells = folds + count * np.arange(len(folds))[:, None]
    lacks = _class_counts(exams, cells, len(folds) * count) == 0
    # What lacks both classes is no fold of its repeat.
    fewest = int((~lacks.all(axis=0)).reshape(len(folds), count).sum(axis=1).min())
    if fewest < count:
        raise StatisticsError(f"repeats have {fewest} to {count} folds; give every repeat the same number")
    empty = np.flatnonzero(lacks.any(axis=0))
    if empty.size:
        repeat, fold = divmod(int(empty[0]), count)
        # Counted, because folds and repeats may be called otherwise in the table that they come from.
        raise StatisticsError(
            f"fold {fold + 1} of {count} in repeat {repeat + 1} of {len(folds)}, counted in order, lacks one class "
            f"({empty.size} of {len(folds) * count} folds do) and has no AUC; use fewer folds"
        )


def _class_counts(exams: Exams, cells: Codes, cell_count: int) -> Codes:
    """`[2, cells]`, the negatives and positives of each cell."""
    counts = [np.bincount(cells[:, exams.labels == label].ravel(), minlength=cell_count) for label in (False, True)]
    return np.stack(counts)
