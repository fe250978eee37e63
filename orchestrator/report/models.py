"""Predictions of one input configuration and tracer as the records that statistics take.

Members of a cell become one model by `orchestrator.statistics.members.Model.of` before anything is computed.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.report.records import RunTables
from orchestrator.statistics.cross_validation import CrossValidation
from orchestrator.statistics.members import Model
from orchestrator.statistics.scores import Codes, Exams, Flags, Floats, FoldScores, PatientScores
from orchestrator.statistics.variance import Stability


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CrossValidated:
    """The held-out predictions of a repeated cross-validation, R repeats of N exams."""

    exam_ids: tuple[str, ...]
    scores: FoldScores
    probabilities: Floats
    """`[R, N]`; not a number where a prediction made elsewhere has none."""
    positive: Flags | None
    """`[R, N]`, probability ≥ threshold, or as given; None without thresholds and decisions."""
    members: Floats
    """`[M, R, N]`, the scores of each member."""
    cross_validation: CrossValidation
    """The scores with what intervals are made from."""

    @classmethod
    def of(cls, predictions: pd.DataFrame) -> "CrossValidated":
        """Arrange the development predictions of one input configuration and tracer.

        Args:
            predictions: Rows of `predictions` with repeat and fold.

        Raises:
            StatisticsError: An exam is missing from a repeat or stands in it twice, or the exams do not allow an
                AUC.
        """
        exam_codes, exam_ids = pd.factorize(predictions["exam_id"], sort=True)
        repeat_codes, repeats = pd.factorize(predictions["repeat"], sort=True)
        member_codes, members = pd.factorize(predictions["member"], sort=True)
        shape = (len(members), len(repeats), len(exam_ids))
        # The flat place of every prediction in [members, repeats, exams]; each place must occur exactly once.
        place = np.ravel_multi_index((member_codes, repeat_codes, exam_codes), shape)
        if len(place) != np.prod(shape) or np.unique(place).size != len(place):
            raise StatisticsError(
                f"each of {shape[2]} exams must be predicted once in each of {shape[1]} repeats by each of {shape[0]} "
                f"members, but {np.unique(place).size} of {np.prod(shape)} predictions are there"
            )
        grid = {
            name: _arranged(predictions[name], place, shape) for name in ("score", "probability", "threshold", "fold")
        }
        model = Model.of(grid["score"], grid["probability"], grid["threshold"], _given(predictions, place, shape))
        scores = FoldScores(
            exams=_exams(predictions, exam_codes),
            scores=model.scores,
            folds=pd.factorize(grid["fold"][0].ravel(), sort=True)[0].reshape(shape[1:]).astype(np.int64),
        )
        return cls(
            exam_ids=tuple(map(str, exam_ids)),
            scores=scores,
            probabilities=model.probabilities,
            positive=model.positive,
            members=grid["score"],
            cross_validation=CrossValidation.of(scores),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tested:
    """The predictions of a final model for N exams of the test partition."""

    exam_ids: tuple[str, ...]
    scores: PatientScores
    probabilities: Floats
    """`[N]`."""
    positive: Flags | None
    """`[N]`."""

    @classmethod
    def of(cls, predictions: pd.DataFrame) -> "Tested":
        """Arrange the test predictions of one input configuration and tracer.

        Raises:
            StatisticsError: An exam stands twice in a member, or the exams do not allow an AUC.
        """
        exam_codes, exam_ids = pd.factorize(predictions["exam_id"], sort=True)
        member_codes, members = pd.factorize(predictions["member"], sort=True)
        shape = (len(members), len(exam_ids))
        place = np.ravel_multi_index((member_codes, exam_codes), shape)
        if len(place) != np.prod(shape) or np.unique(place).size != len(place):
            raise StatisticsError(
                f"each of {shape[1]} exams of the test partition must be predicted once by each of {shape[0]} members, "
                f"but {np.unique(place).size} of {np.prod(shape)} predictions are there"
            )
        score, probability, threshold = (
            _arranged(predictions[name], place, shape) for name in ("score", "probability", "threshold")
        )
        model = Model.of(score, probability, threshold, _given(predictions, place, shape))
        return cls(
            exam_ids=tuple(map(str, exam_ids)),
            scores=PatientScores(exams=_exams(predictions, exam_codes), scores=model.scores),
            probabilities=model.probabilities,
            positive=model.positive,
        )


def hardest_exams(tables: RunTables, count: int = 10) -> pd.DataFrame:
    """The exams that cross-validation decides wrongly most often, per tracer and inputs.

    Exams are named by their row in the manifest, never by patient.

    Returns:
        Columns `tracer, inputs, manifest_row, repeats_wrong, probability_range`, shares of 0 to 1; empty with one
        repeat, in which a share would be 0 or 1.
    """
    # Predictions made elsewhere have no manifest; their exams are numbered in the order given.
    numbers = tables.exams.get("manifest_row", pd.Series(range(1, len(tables.exams) + 1), index=tables.exams.index))
    row_of = dict(zip(tables.exams["exam_id"].astype(str), numbers, strict=True))
    development = tables.predictions[tables.predictions["partition"] == "development"]
    found = []
    for (tracer, inputs), rows in development.groupby(["tracer", "inputs"], sort=False):
        try:
            model = CrossValidated.of(rows)
        except StatisticsError:
            continue
        if model.positive is None or model.scores.repeat_count < 2:
            continue
        unstable = Stability.of(model.scores, model.probabilities, model.positive)
        for exam in unstable.most_often_wrong(count):
            found.append(
                (
                    tracer,
                    inputs,
                    row_of.get(model.exam_ids[exam]),
                    unstable.wrong[exam],
                    unstable.probability_range[exam],
                )
            )
    return pd.DataFrame(found, columns=["tracer", "inputs", "manifest_row", "repeats_wrong", "probability_range"])


JudgedModel = CrossValidated | Tested
"""One model with its held-out predictions, of either partition."""


def _given(predictions: pd.DataFrame, place: Codes, shape: tuple[int, ...]) -> Flags | None:
    """The decisions that predictions made elsewhere bring, the same in every member's row of an exam."""
    if "positive" not in predictions:
        return None
    called: Flags = _arranged(predictions["positive"], place, shape)[0] == 1
    return called


def _arranged(column: "pd.Series[float]", place: Codes, shape: tuple[int, ...]) -> Floats:
    grid = np.empty(len(place))
    grid[place] = column.to_numpy(np.float64)
    return grid.reshape(shape)


def _exams(predictions: pd.DataFrame, exam_codes: Codes) -> Exams:
    # The first row of every exam: label and patient are the same in all its rows.
    first = np.unique(exam_codes, return_index=True)[1]
    return Exams.of(predictions["label"].to_numpy()[first], predictions["patient_id"].astype(str).to_numpy()[first])
