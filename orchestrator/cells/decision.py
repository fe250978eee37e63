"""Thresholds and calibration, fixed per tracer from out-of-fold scores before anything is evaluated."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from mpi_model.errors import WeightsError
from mpi_model.maps import Maps
from mpi_model.vocabulary import TRACERS
from orchestrator.cells.records import NETWORK, InnerSplit, ModelKind, Prediction
from orchestrator.experiment.reading import read_record
from orchestrator.experiment.settings import ThresholdRule

_LEAST_SLOPE = 1e-3
"""Keeps a calibration strictly increasing, so that it can never change an AUC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How a tracer's score becomes a probability and a call."""

    threshold: float
    """Calls an exam positive where its score is at least this; on the scale of scores (log odds)."""
    slope: float = 1.0
    intercept: float = 0.0

    def probability(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """The calibrated probability, in [0, 1], of scores of any shape."""
        calibrated: NDArray[np.float64] = expit(self.slope * scores + self.intercept)
        return calibrated

    @property
    def probability_threshold(self) -> float:
        """The threshold on the scale of probabilities."""
        return float(self.probability(np.asarray(self.threshold, dtype=np.float64)))


def decisions_in(content: object) -> dict[int, Decision]:
    """Decisions from plain JSON values by the tracer's name, which anybody may have written.

    Returns:
        Decisions by the tracer's number.

    Raises:
        WeightsError: A tracer is unknown, or a value is missing, unknown, no finite number, or a slope that would turn
            scores round.
    """
    problems: list[str] = []
    by_name = content if isinstance(content, Mapping) else {}
    found = {
        name: read_record(Decision, values, f"decisions.{name}", problems)
        for name, values in by_name.items()
        if isinstance(values, Mapping)
    }
    if not found or problems or len(found) < len(by_name) or not set(found) <= set(TRACERS):
        raise WeightsError("models: a saved model's decisions are not numbers by tracer; restore it")
    for name, decision in found.items():
        numbers = (decision.threshold, decision.slope, decision.intercept)
        if not all(map(math.isfinite, numbers)) or decision.slope <= 0:
            raise WeightsError(
                f"models: the saved decision for {name} is not finite, or its slope is not above 0; restore it"
            )
    return {TRACERS.index(name): decision for name, decision in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutOfFold:
    """Training exams with scores of networks that were not trained on them."""

    scores: NDArray[np.float64]
    """`[n]`."""
    labels: NDArray[np.int8]
    """`[n]`."""
    tracer: NDArray[np.int8]
    """`[n]`, the tracers' numbers."""

    def of(self, number: int) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """Scores `[m]` and labels `[m]` of the m exams of one tracer."""
        mine = self.tracer == number
        return self.scores[mine], self.labels[mine]


def out_of_fold(scores: NDArray[np.float64], splits: Sequence[InnerSplit], maps: Maps) -> OutOfFold:
    """The validation exams of inner folds with their scores `[n]`, folds one after another."""
    rows = np.concatenate([split.validation.rows for split in splits])
    labels = np.concatenate([split.validation.labels for split in splits])
    return OutOfFold(scores=scores, labels=labels, tracer=maps.tracer[rows])


def decide(inner: OutOfFold, rule: ThresholdRule, fresh: OutOfFold | None) -> Mapping[int, Decision]:
    """Fix threshold and calibration for every tracer that occurs.

    Args:
        inner: Scores of the search's inner folds, for the threshold.
        rule: How the threshold is chosen.
        fresh: Scores that took no part in any choice, for Platt's calibration; None for none.
    """
    decisions = {}
    for number in np.unique(inner.tracer).tolist():
        # One threshold a tracer: thallium and technetium scores are not on one scale.
        threshold = 0.0 if rule == "fixed" else _best_threshold(*inner.of(number))
        slope, intercept = (1.0, 0.0) if fresh is None else _platt(*fresh.of(number))
        decisions[number] = Decision(threshold=threshold, slope=slope, intercept=intercept)
    return decisions


def predictions_of(
    scores: NDArray[np.float64],
    rows: NDArray[np.int64],
    tracer: NDArray[np.int8],
    decisions: Mapping[int, Decision],
    member: int,
    model: ModelKind = NETWORK,
) -> list[Prediction]:
    """Scores `[n]`, each with its row of `Maps` and the probability and threshold of its exam's tracer."""
    return [
        Prediction(
            member=member,
            row=int(row),
            score=float(score),
            probability=float(decisions[int(number)].probability(np.asarray(score))),
            threshold=decisions[int(number)].probability_threshold,
            model=model,
        )
        for score, row, number in zip(scores, rows, tracer, strict=True)
    ]


def _best_threshold(scores: NDArray[np.float64], labels: NDArray[np.int8]) -> float:
    """The threshold with the highest balanced accuracy; of several, the middle one.

    Candidates are the middles between neighbouring different scores, so no exam lies on a threshold.

    Returns:
        A score; 0 where no two scores differ.
    """
    levels = np.unique(scores)
    # Halfway between scores: a cut on a score would depend on rounding in the last digit.
    cuts = (levels[1:] + levels[:-1]) / 2
    if len(cuts) == 0:
        return 0.0
    sensitivity = (scores[labels == 1][:, None] >= cuts).mean(axis=0)
    specificity = (scores[labels == 0][:, None] < cuts).mean(axis=0)
    balanced = (sensitivity + specificity) / 2
    # With a tolerance, because equal accuracies may differ by rounding; the lower middle one of an even number.
    best = np.flatnonzero(balanced >= balanced.max() - 1e-12)
    return float(cuts[best[(len(best) - 1) // 2]])


def _platt(scores: NDArray[np.float64], labels: NDArray[np.int8]) -> tuple[float, float]:
    """Slope and intercept of Platt's logistic calibration, with his smoothed targets.

    The targets keep the fit finite when the classes are separated; the slope is kept above `_LEAST_SLOPE`.

    References:
        Platt 1999; Lin, Lin & Weng 2007, doi:10.1007/s10994-007-5018-6.
    """
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    # Platt's targets: (n+ + 1)/(n+ + 2) and 1/(n- + 2) instead of 1 and 0.
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(parameters: NDArray[np.float64]) -> float:
        # Cross-entropy as log(1 + exp(x)) - t x, which does not overflow (Lin, Lin & Weng).
        logits = parameters[0] * scores + parameters[1]
        return float(np.sum(np.logaddexp(0.0, logits) - targets * logits))

    fitted = minimize(loss, x0=np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(_LEAST_SLOPE, None), (None, None)])
    return float(fitted.x[0]), float(fitted.x[1])
