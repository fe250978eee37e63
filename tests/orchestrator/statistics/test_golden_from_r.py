"""Numbers of R 4.2.2 and pROC 1.18.0 for sixty exams that whole numbers define, so that R and Python have the same.

i <- 1:60; y <- as.integer((i*7) %% 10 < 4); id <- (i-1) %/% 3
a <- ((i*37) %% 101)/10 + 3*y; b <- ((i*53) %% 97)/10 + 2*y; p <- plogis((a-7)/2)
"""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from orchestrator.statistics.auc import auc, delong_variance
from orchestrator.statistics.calibration import brier_score, calibration_in_the_large, calibration_slope
from orchestrator.statistics.comparisons import paired_delong
from orchestrator.statistics.partial_auc import partial_auc_interval
from orchestrator.statistics.sample_size import shifted_to_prevalence
from orchestrator.statistics.scores import Exams, PatientScores

NUMBER = np.arange(1, 61)
LABELS = NUMBER * 7 % 10 < 4
FIRST = NUMBER * 37 % 101 / 10 + 3 * LABELS
SECOND = NUMBER * 53 % 97 / 10 + 2 * LABELS
PROBABILITIES = expit((FIRST - 7) / 2)
Z = float(norm.ppf(0.975))


def model(scores: np.ndarray, *, exams_each: int = 1) -> PatientScores:
    """The sixty exams with some scores."""
    return PatientScores(exams=Exams.of(LABELS, (NUMBER - 1) // exams_each), scores=scores)


@pytest.mark.parametrize(
    ("scores", "area", "variance", "at_80", "at_60"),
    [
        (FIRST, 0.814236111111, 0.00296530483587, 0.720293209877, 0.743019386574),
        (SECOND, 0.752314814815, 0.00397196155927, 0.672389403292, 0.68677662037),
    ],
)
def test_areas_are_those_of_proc(scores, area, variance, at_80, at_60):
    """`auc`, `var` and `auc(partial.auc = c(1, .8), partial.auc.focus = "specificity", partial.auc.correct = TRUE)`."""
    assert auc(model(scores)) == pytest.approx(area, abs=1e-12)
    assert delong_variance(model(scores)) == pytest.approx(variance, abs=1e-14)
    for specificity, partial in ((0.8, at_80), (0.6, at_60)):
        assert partial_auc_interval(model(scores), specificity, 0.95).estimate == pytest.approx(partial, abs=1e-12)


def test_the_paired_test_is_procs():
    """`roc.test(method = "delong", paired = TRUE)` gives Z = .759 and p = .448."""
    found = paired_delong(model(FIRST), model(SECOND), 0.95)

    assert found.p == pytest.approx(0.447773179348, abs=1e-10)
    assert found.interval.estimate == pytest.approx(0.814236111111 - 0.752314814815, abs=1e-11)


def test_calibration_is_that_of_glm():
    """`glm(y ~ qlogis(p))` and `glm(y ~ 1, offset = qlogis(p))`: coefficients and standard errors; Brier by `mean`."""
    given = model(PROBABILITIES)
    slope, intercept = calibration_slope(given, 0.95), calibration_in_the_large(given, 0.95)

    assert slope.estimate == pytest.approx(0.872746569197, abs=1e-8)
    assert (slope.high - slope.low) / (2 * Z) == pytest.approx(0.240805685892, abs=1e-8)
    assert intercept.estimate == pytest.approx(-0.285326045157, abs=1e-8)
    assert (intercept.high - intercept.low) / (2 * Z) == pytest.approx(0.328432299302, abs=1e-8)
    assert brier_score(given) == pytest.approx(0.17901612063, abs=1e-8)


def test_three_exams_a_patient_have_the_clustered_sandwich():
    """`vcov(m) %*% crossprod(rowsum(residuals * X, id)) %*% vcov(m)` with G/(G−1) · (n−1)/(n−k)."""
    slope = calibration_slope(model(PROBABILITIES, exams_each=3), 0.95)

    assert (slope.high - slope.low) / (2 * Z) == pytest.approx(0.199028396443, abs=1e-8)


def test_the_prior_shift_is_a_shift_of_log_odds():
    """`plogis(qlogis(p) + qlogis(mean(y)))` of the first three exams."""
    shifted = shifted_to_prevalence(PROBABILITIES[:3], LABELS.mean())

    assert shifted == pytest.approx([0.113501326197, 0.44881366953, 0.129491181403], abs=1e-12)
