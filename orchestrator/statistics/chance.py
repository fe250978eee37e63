"""Tests against an AUC of one half.

In cross-validation only the whole pipeline under permuted patient labels answers that; permuting labels
against fixed held-out scores ignores the training. `polarmap permute` makes such runs, `permutation_p_value`
reads them.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import ndtr

from mpi_model.errors import StatisticsError
from orchestrator.statistics.auc import auc_influence
from orchestrator.statistics.scores import Floats, PatientScores

# Pairs up to which the exact distribution is used; beyond, the normal one agrees to four digits.
_LARGEST_EXACT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ChanceTest:
    """A two-sided p-value against an AUC of one half."""

    p: float
    method: str


def mann_whitney(model: PatientScores) -> ChanceTest:
    """Exact Mann–Whitney where no scores tie and classes are small; else its normal form with tie correction.

    Where a patient has several exams, ranks are not exchangeable and the patient-clustered Wald test takes
    its place.

    Raises:
        StatisticsError: Several exams a patient, and a class from a single patient or a vanishing variance.
    """
    exams = model.exams
    if exams.patient_count < exams.labels.size:
        return _clustered_wald(model)
    positive, negative = model.scores[exams.labels], model.scores[~exams.labels]
    # SciPy's exact distribution does not allow for ties.
    ties = np.unique(model.scores).size < model.scores.size
    exact = not ties and positive.size * negative.size <= _LARGEST_EXACT
    result = stats.mannwhitneyu(positive, negative, method="exact" if exact else "asymptotic")
    # When all scores are equal the tie correction divides by zero; no evidence is p = 1.
    p = float(result.pvalue) if np.ptp(model.scores) > 0 else 1.0
    return ChanceTest(p=p, method="exact Mann–Whitney" if exact else "Mann–Whitney, normal with tie correction")


def permutation_p_value(observed: float, permuted: Floats) -> float:
    """(1 + #{permuted ≥ observed}) / (1 + B), one-sided: is the pipeline better than on meaningless labels?

    Args:
        observed: The statistic of the real run, higher is better.
        permuted: `[B]`, the same of whole runs under permuted patient labels.
    """
    # The observed run counts as one of the permutations, so that p is never 0 (Phipson & Smyth 2010,
    # doi:10.2202/1544-6115.1585).
    return float((1 + (permuted >= observed).sum()) / (1 + permuted.size))


def _clustered_wald(model: PatientScores) -> ChanceTest:
    influence = auc_influence(model)
    variance = influence.variance(model.exams)
    method = "Wald, patient-clustered DeLong"
    if variance == 0:
        raise StatisticsError(f"{method}: the variance vanishes, so there is no p-value; see the interval instead")
    return ChanceTest(p=float(2 * ndtr(-abs(influence.auc - 0.5) / np.sqrt(variance))), method=method)
