"""The cross-validated AUC: the expected AUC of one model trained on (K−1)/K of the patients.

The estimate is the mean of the within-fold AUCs. Scores are never pooled over folds, whose models differ in
offset (Parker, Günter & Bedo 2007, doi:10.1186/1471-2105-8-326), and an exam's scores are never averaged over
repeats under this name: that is the AUC of an ensemble, which is higher.

No unbiased estimator of the variance exists (Bengio & Grandvalet 2004). The default interval, "NB-inflated
logit", is this project's own construction, validated by simulation in `validation/coverage.py` only: the
patient-level variance of the estimate for fixed fold models, times c = 1/R + K/(K−1), the factor that Nadeau
& Bengio (2003, doi:10.1023/A:1024068626366) and Bouckaert & Frank (2004) apply to the variance over folds,
here for the training sets that folds share. Nadeau & Bengio's own interval stands beside it.
"""

import numpy as np
from scipy.special import stdtrit

from mpi_model.errors import StatisticsError
from orchestrator.statistics.auc import (
    Influence,
    auc_influence,
    influence_of,
    influence_variance,
    newcombe_interval,
    wins,
)
from orchestrator.statistics.intervals import Interval, logit_interval
from orchestrator.statistics.scores import Codes, Exams, Floats, FoldScores

INFLATED_LOGIT = "NB-inflated logit"
NADEAU_BENGIO = "Nadeau–Bengio logit"


def nadeau_bengio_factor(folds: int, repeats: int) -> float:
    """C = 1/R + K/(K−1): the corrected variance over that of one repeat with independent training sets."""
    return 1 / repeats + folds / (folds - 1)


def fold_aucs(model: FoldScores) -> Floats:
    """The AUC of every held-out fold, `[R, K]`."""
    won, opponents = _fold_wins(model)
    positive = np.tile(model.exams.labels, model.repeat_count)
    cells = model.cells.ravel()[positive]
    pairs = np.bincount(cells, weights=opponents[positive])
    areas: Floats = np.bincount(cells, weights=won[positive]) / pairs
    return areas.reshape(model.repeat_count, model.fold_count)


def cross_validated_auc(model: FoldScores) -> float:
    """The mean within-fold AUC."""
    return float(fold_aucs(model).mean())


def within_fold_influence(model: FoldScores) -> Influence:
    """The AUC over all pairs held out together, and each patient's contribution over folds and repeats."""
    return pairs_influence(model.exams, model.scores, model.cells)


def pairs_influence(exams: Exams, scores: Floats, cells: Codes) -> Influence:
    """As `within_fold_influence`, for exams that need not fill every fold: a subgroup's.

    Args:
        exams: The N exams.
        scores: `[R, N]`.
        cells: `[R, N]`, the (repeat, fold) of each; only exams of one cell are compared.

    Raises:
        StatisticsError: No positive exam was ever held out together with a negative one.
    """
    labels = np.tile(exams.labels, len(scores))
    won, opponents = wins(scores.ravel(), labels, cells.ravel())
    if not opponents.any():
        raise StatisticsError("no positive and negative exam were held out together, so there is no AUC")
    return influence_of(won, opponents, labels, np.tile(exams.patients, len(scores)), exams.patient_count)


def design_variance(model: FoldScores) -> float:
    """C · max(V_U, V_DL), the variance behind the NB-inflated logit interval.

    V_U is the patient-level variance of the within-fold pair statistic, V_DL DeLong's of the AUC of the
    averaged scores; the larger guards against either being too small in its own bad case.

    Raises:
        StatisticsError: A class comes from a single patient.
    """
    return larger_variance(model, within_fold_influence(model), auc_influence(model.average()))


def larger_variance(model: FoldScores, within: Influence, averaged: Influence) -> float:
    """C · max of the variances of two influences on the exams and folds of a model."""
    factor = nadeau_bengio_factor(model.fold_count, model.repeat_count)
    return factor * max(influence_variance(influence, model.exams) for influence in (within, averaged))


def inflated_logit_interval(model: FoldScores, level: float) -> Interval:
    """The default interval of a cross-validated AUC, "NB-inflated logit".

    expit(logit θ ± t √V / (θ(1−θ))), V = c · max(V_U, V_DL), for 5 ≤ K ≤ 10 and a handful of repeats;
    measured coverage in `validation/coverage.py`. Where every fold is perfect, or nothing varies, Newcombe's
    method 5 with its SE² times c takes its place, so that the interval never is [1, 1].

    Raises:
        StatisticsError: A class comes from a single patient.
    """
    area, variance = cross_validated_auc(model), design_variance(model)
    if not 0 < area < 1 or variance == 0:
        factor = nadeau_bengio_factor(model.fold_count, model.repeat_count)
        return newcombe_interval(area, *model.exams.class_patients, level, inflation=factor)
    quantile = float(stdtrit(degrees_of_freedom(model.exams), (1 + level) / 2))
    return logit_interval(estimate=area, variance=variance, level=level, method=INFLATED_LOGIT, quantile=quantile)


def degrees_of_freedom(exams: Exams) -> int:
    """Patients of the smaller class less one: what a variance over patients is estimated from.

    Against the normal quantile this lifts the coverage for an unstable learner (40 features, 40 patients)
    from .924 to .936 and brings the false differences from .081 to .059; from 100 patients on it hardly
    matters.
    """
    return min(exams.class_patients) - 1


def corrected_resampled_variance(values: Floats) -> float:
    """(1/(RK) + 1/(K−1)) S² of the values of all cells (Nadeau & Bengio 2003, doi:10.1023/A:1024068626366).

    Args:
        values: `[R, K]`, one value a cell: an AUC, a difference of AUCs, a balanced accuracy.
    """
    repeats, folds = values.shape
    return float((1 / (repeats * folds) + 1 / (folds - 1)) * values.var(ddof=1))


def nadeau_bengio_interval(values: Floats, level: float) -> Interval:
    """The corrected resampled interval of a mean over cells, on the logit scale, t with RK − 1 degrees.

    Args:
        values: `[R, K]`, proportions or AUCs.
        level: Confidence level.

    Raises:
        StatisticsError: All cells agree, or the mean is 0 or 1.
    """
    quantile = float(stdtrit(values.size - 1, (1 + level) / 2))
    variance = corrected_resampled_variance(values)
    return logit_interval(
        estimate=float(values.mean()), variance=variance, level=level, method=NADEAU_BENGIO, quantile=quantile
    )


def _fold_wins(model: FoldScores) -> tuple[Floats, Floats]:
    return wins(model.scores.ravel(), np.tile(model.exams.labels, model.repeat_count), model.cells.ravel())
