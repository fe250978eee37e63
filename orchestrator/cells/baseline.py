"""The baseline every network is compared with: logistic regression on the 17 segment means of the same maps.

One model a tracer, on 17 means a phase (and colour), standardised over the exams it is fitted to. Its penalty is chosen
by the cell's own inner folds, its threshold and calibration come from out-of-fold scores by the rules the network has,
and it predicts the same exams. No draw and no torch: the same cell gives the same numbers.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from mpi_model.errors import WeightsError
from mpi_model.maps import LabelledExams, Maps
from mpi_model.vocabulary import PHASES_OF, TRACERS, Inputs
from orchestrator.cells.decision import Decision, decide, decisions_in, out_of_fold, predictions_of
from orchestrator.cells.records import SEGMENTS, CellTask, InnerSplit, Prediction
from orchestrator.cohort.segments import SEGMENTS_17, segment_means
from orchestrator.experiment.reading import read_record
from orchestrator.experiment.settings import ThresholdRule

_PENALTIES: Final = tuple(10.0**power for power in range(-4, 3))
"""scikit-learn's C, the strongest penalty first."""

_FORMAT: Final = 1
"""Version of the JSON document."""
_EXAMS_AT_A_TIME: Final = 256
"""Maps are turned into 64-bit numbers by so many, since a whole cohort of large ones would fill the memory."""

_Labels = NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Equation:
    """One tracer's regression: log odds = intercept + Σ coefficient × segment mean."""

    penalty: float
    """scikit-learn's C."""
    intercept: float
    coefficients: tuple[float, ...]
    """Phases in the network's order, then colours, then segments 1 to 17; for means of 0..1."""

    def scores(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """The log odds `[n]` of exams with the segment means `[n, P * C * 17]`."""
        # Not by `@`, whose library may split a sum between threads.
        weighted: NDArray[np.float64] = np.einsum("nf,f->n", features, np.array(self.coefficients)) + self.intercept
        return weighted


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentModel:
    """A fitted baseline: an equation and a decision for each tracer, by the tracer's number."""

    inputs: Inputs
    equations: Mapping[int, Equation]
    decisions: Mapping[int, Decision]

    def predict(self, maps: Maps, rows: NDArray[np.int64]) -> list[Prediction]:
        """Predictions of the exams in `rows` `[n]` of `maps`; their tracers are among the fitted ones."""
        features, tracer = _segment_features(maps, rows, self.inputs), maps.tracer[rows]
        scores = np.empty(len(rows))
        for number, equation in self.equations.items():
            mine = tracer == number
            scores[mine] = equation.scores(features[mine])
        return predictions_of(scores, rows, tracer, self.decisions, 0, SEGMENTS)

    def to_json(self, facts: Mapping[str, str]) -> str:
        """The text it is stored as, with what should be known of its origin."""
        tracers = {
            TRACERS[number]: {**asdict(equation), "decision": asdict(self.decisions[number])}
            for number, equation in self.equations.items()
        }
        document = {"format": _FORMAT, "description": dict(facts), "inputs": self.inputs, "tracers": tracers}
        return json.dumps(document, indent=2, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The baseline that was stored.

        Raises:
            WeightsError: The text is damaged or of another version.
        """
        problems: list[str] = []
        try:
            document: dict[str, Any] = json.loads(text)
            # Tracers are stored by name: their numbers belong to this version's vocabulary, not to the file.
            decisions = decisions_in({name: values["decision"] for name, values in document["tracers"].items()})
            equations = {
                TRACERS.index(name): read_record(
                    Equation, {key: values[key] for key in values if key != "decision"}, name, problems
                )
                for name, values in document["tracers"].items()
            }
            # A mean a segment, phase and colour, of which there are one or three.
            lengths = [len(SEGMENTS_17) * len(PHASES_OF[document["inputs"]]) * colours for colours in (1, 3)]
            usable = document["format"] == _FORMAT and not problems
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise WeightsError(_damaged(type(error).__name__)) from error
        if not usable or any(len(one.coefficients) not in lengths for one in equations.values()):
            raise WeightsError(_damaged(f"it is not of format {_FORMAT}"))
        return cls(inputs=document["inputs"], equations=equations, decisions=decisions)


def fit_baseline(maps: Maps, task: CellTask, rule: ThresholdRule) -> SegmentModel:
    """Fit a cell's baseline to its training exams.

    Args:
        maps: The exams of all cells.
        task: The cell; only its training exams, their inner folds and their calibration folds are read.
        rule: How the threshold is chosen, as for the network.
    """
    # In the order of the folds' validation exams, whose tracers these are.
    tracers, again = (maps.tracer[_validation_rows(splits)] for splits in (task.inner, task.calibration))
    scores, fresh = np.empty(len(tracers)), np.empty(len(again))
    equations = {}
    # The order in which threads add changes last digits: a cell's numbers must not depend on its machine's cores.
    with threadpool_limits(1, "blas"):
        # By row of `maps`, so that every inner fold takes its part of it.
        features = _segment_features(maps, np.arange(len(maps)), task.key.inputs)
        for number in np.unique(maps.tracer[task.training.rows]).tolist():
            equation, inner_scores = _fit_tracer(features, maps.tracer == number, task)
            equations[number] = equation
            scores[tracers == number] = inner_scores
            fresh[again == number] = _scores_again(features, maps.tracer == number, task, equation.penalty)
    return SegmentModel(
        inputs=task.key.inputs,
        equations=equations,
        decisions=decide(
            out_of_fold(scores, task.inner, maps),
            rule,
            out_of_fold(fresh, task.calibration, maps) if task.calibration else None,
        ),
    )


def _validation_rows(splits: Sequence[InnerSplit]) -> NDArray[np.int64]:
    rows: list[NDArray[np.int64]] = [split.validation.rows for split in splits]
    return np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)


def _segment_features(maps: Maps, rows: NDArray[np.int64], inputs: Inputs) -> NDArray[np.float64]:
    """The segment means of some exams.

    Args:
        maps: The exams.
        rows: `[n]`, row numbers into `maps`.
        inputs: Which phases to read; others are not touched.

    Returns:
        `[n, P * C * 17]`, 0..1; zeros where a phase was not acquired.
    """
    phases = [maps.stress if phase == "stress" else maps.rest for phase in PHASES_OF[inputs]]
    features = np.empty((len(rows), len(phases), phases[0].shape[1], len(SEGMENTS_17)))
    for first in range(0, len(rows), _EXAMS_AT_A_TIME):
        part = slice(first, first + _EXAMS_AT_A_TIME)
        for place, phase in enumerate(phases):
            features[part, place] = segment_means(phase[rows[part]])
    return features.reshape(len(rows), math.prod(features.shape[1:]))


def _fit_tracer(
    features: NDArray[np.float64], mine: NDArray[np.bool_], task: CellTask
) -> tuple[Equation, NDArray[np.float64]]:
    """Choose a tracer's penalty and fit it: the equation, and the out-of-fold scores of the penalty chosen."""
    # Penalties are compared on inner folds only; the task holds no labels of the exams that the cell is judged on.
    tried: dict[float, list[NDArray[np.float64]]] = {penalty: [] for penalty in _PENALTIES}
    truth = []
    for split in task.inner:
        fits = _fits(features, _of_tracer(split.training, mine), _PENALTIES)
        outside = _of_tracer(split.validation, mine)
        truth.append(outside.labels)
        for equation in fits:
            tried[equation.penalty].append(equation.scores(features[outside.rows]))
    losses = {penalty: _mean_loss(scores, truth) for penalty, scores in tried.items()}
    penalty = min(_PENALTIES, key=losses.__getitem__)  # of equals the strongest
    (final,) = _fits(features, _of_tracer(task.training, mine), [penalty])
    return final, np.concatenate(tried[penalty])


def _scores_again(
    features: NDArray[np.float64], mine: NDArray[np.bool_], task: CellTask, penalty: float
) -> NDArray[np.float64]:
    """Out-of-fold scores of the penalty chosen in the calibration folds, which took no part in choosing it."""
    found = [np.empty(0)]
    for split in task.calibration:
        (equation,) = _fits(features, _of_tracer(split.training, mine), [penalty])
        found.append(equation.scores(features[_of_tracer(split.validation, mine).rows]))
    return np.concatenate(found)


def _of_tracer(exams: LabelledExams, mine: NDArray[np.bool_]) -> LabelledExams:
    chosen = mine[exams.rows]
    return LabelledExams(rows=exams.rows[chosen], labels=exams.labels[chosen])


def _fits(features: NDArray[np.float64], exams: LabelledExams, penalties: Sequence[float]) -> list[Equation]:
    """The regressions of some exams, one a penalty, as equations of the segment means themselves."""
    # Fitted to these exams alone: means and spreads of validation exams must not reach the fit.
    scaler = StandardScaler().fit(features[exams.rows])
    standardised = scaler.transform(features[exams.rows])
    fits = []
    for penalty in penalties:
        # Newton's method: with a few dozen columns it is faster than L-BFGS and ends closer to the minimum.
        regression = LogisticRegression(C=penalty, class_weight="balanced", solver="newton-cholesky", tol=1e-8)
        regression.fit(standardised, exams.labels)
        # Undone here, so that an equation can be applied, stored and read without its scaler.
        coefficients = regression.coef_[0] / scaler.scale_
        intercept = float(regression.intercept_[0] - coefficients @ scaler.mean_)
        fits.append(Equation(penalty=penalty, intercept=intercept, coefficients=tuple(coefficients.tolist())))
    return fits


def _mean_loss(scores: Sequence[NDArray[np.float64]], truth: Sequence[_Labels]) -> float:
    """The mean over inner folds of the class-balanced log loss, which the network's candidates are chosen by, too."""
    # log(1 + exp(-z)) without overflow, where z is the log odds of the true class.
    losses = [np.logaddexp(0, np.where(labels == 1, -one, one)) for one, labels in zip(scores, truth, strict=True)]
    classes = [
        (loss[labels == 1].mean() + loss[labels == 0].mean()) / 2 for loss, labels in zip(losses, truth, strict=True)
    ]
    return float(np.mean(classes))


def _damaged(why: str) -> str:
    return f"models: the saved baseline is damaged or of another version ({why}); use the polarmap that wrote it"
