"""Which candidates of a race go on to the next inner fold: arithmetic over scores, nothing trained.

The best part goes on, and with it whoever is tied with the last of them: closer to it than a quarter of the standard
error of their difference. That error is taken over patients, on whom both candidates were scored; over two or three
folds there would be nothing to take it from.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mpi_model.loss import balanced_log_loss, class_weights, mean_auc
from mpi_model.maps import LabelledExams
from mpi_model.vocabulary import TRACERS
from orchestrator.cells.records import InnerSplit
from orchestrator.experiment.settings import Objective, SearchSettings

_TIE: Final = 0.25
"""Standard errors of a paired difference below which two candidates are tied."""


def candidates_on_fold(settings: SearchSettings, fold: int) -> int:
    """Candidates that are trained on an inner fold: all on the first, half on the second, a quarter on the third.

    Never fewer than the winners, whose inner scores fix thresholds and calibration.
    """
    return min(settings.candidates, max(settings.winners, math.ceil(settings.candidates / (1 << fold))))


def fold_cost(scores: NDArray[np.float64], split: InnerSplit, tracer: NDArray[np.int8], objective: Objective) -> float:
    """The objective on one inner fold, as something to be made small.

    Args:
        scores: `[n]`, of the fold's validation exams.
        split: The fold.
        tracer: `[N]`, of every exam of the maps.
        objective: The experiment's.
    """
    mine, labels = tracer[split.validation.rows], split.validation.labels
    if objective == "auc":
        auc = mean_auc(scores, labels, mine)
        assert auc is not None, "plan_folds checked every inner split"
        return -auc
    return balanced_log_loss(scores, labels, mine, _weights(split.training, tracer))


def influences(
    scores: NDArray[np.float64], split: InnerSplit, tracer: NDArray[np.int8], objective: Objective
) -> NDArray[np.float64]:
    """What each validation exam moves the cost by: the square root of the sum of squares is its standard error.

    For the loss an exam's weighted deviation from its class; for the AUC its structural component (DeLong, DeLong and
    Clarke-Pearson 1988, doi:10.2307/2531595).

    Args:
        scores: As for `fold_cost`.
        split: As for `fold_cost`.
        tracer: As for `fold_cost`.
        objective: As for `fold_cost`.

    Returns:
        `[n]`, aligned with the scores; they add up to 0 within each tracer and class.
    """
    mine, labels = tracer[split.validation.rows], split.validation.labels
    losses = np.logaddexp(0, np.where(labels == 1, -scores, scores))
    found = np.zeros(len(scores))
    weights = _weights(split.training, tracer)
    tracers = [number for number in range(len(TRACERS)) if (mine == number).any()]
    for number in tracers:
        total = weights[mine[mine == number], labels[mine == number]].sum()
        for label in (0, 1):
            here, there = (mine == number) & (labels == label), (mine == number) & (labels != label)
            if objective == "auc":
                component = -_placements(scores[here], scores[there], sign=1 if label else -1) / max(1, here.sum())
            else:
                component = weights[number, label] * losses[here] / total
            found[here] = (component - component.mean()) / len(tracers) if here.any() else 0.0
    return found


def survivors(
    costs: NDArray[np.float64], influence: NDArray[np.float64], patient: NDArray[np.int64], keep: int
) -> list[int]:
    """Who goes on, the best first: the best `keep`, and whoever is tied with the last of them.

    Args:
        costs: `[C]`, the mean over the folds so far.
        influence: `[C, N]`, from `influences`, divided by the number of folds so far, fold after fold.
        patient: `[N]`, whose exam each is.
        keep: At least 1.

    Returns:
        Places among the C; of equal costs the earliest.
    """
    order: list[int] = np.argsort(costs, kind="stable").tolist()
    going, rest = order[:keep], order[keep:]
    return going + [one for one in rest if _tied(costs, influence, patient, one, going[-1])]


def _tied(
    costs: NDArray[np.float64], influence: NDArray[np.float64], patient: NDArray[np.int64], one: int, last: int
) -> bool:
    of_patients = np.bincount(patient, influence[one] - influence[last])
    return bool(costs[one] - costs[last] <= _TIE * math.sqrt(float(np.square(of_patients).sum())))


def _placements(mine: NDArray[np.float64], others: NDArray[np.float64], sign: int) -> NDArray[np.float64]:
    """For each score the share of the others on its right side, ties counting half."""
    ordered = np.sort(sign * others)
    below = np.searchsorted(ordered, sign * mine, "left") + np.searchsorted(ordered, sign * mine, "right")
    return below / (2 * max(1, len(others)))


def _weights(training: LabelledExams, tracer: NDArray[np.int8]) -> NDArray[np.float64]:
    return class_weights(training.labels, tracer[training.rows])
