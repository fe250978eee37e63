"""Numbers that other programs and papers print, to the digits they print them with.

`contingencytables` 3.1.0 is the R package of Fagerland, Lydersen & Laake's book (2017); its tests hold these limits.
"""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from orchestrator.statistics.auc import auc, delong_variance
from orchestrator.statistics.intervals import combined_interval
from orchestrator.statistics.paired_proportions import paired_difference
from orchestrator.statistics.partial_auc import partial_auc_interval
from orchestrator.statistics.predictive_values import likelihood_ratios
from orchestrator.statistics.proportions import Decisions, wilson_interval
from orchestrator.statistics.sample_size import _for_auc, _for_ratio, _for_slope
from orchestrator.statistics.scores import Exams, PatientScores

LEVEL = 0.95
# The programs cited write 1.96.
Z = 1.96


def decided(right: int, total: int, wrong_of_others: int, others: int) -> Decisions:
    """`right` of `total` positives and all but `wrong_of_others` of the negatives called rightly."""
    labels = np.arange(total + others) < total
    called = np.concatenate([np.arange(total) < right, np.arange(others) < wrong_of_others])
    return Decisions(exams=Exams.of(labels), positive=called)


def paired(both: int, first: int, second: int, neither: int) -> tuple[Decisions, Decisions]:
    """Two tests on the same positives, by the cells of their table; one negative, so that there are two classes."""
    cells = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [both, first, second, neither], axis=0).astype(bool)
    labels = np.append(np.ones(len(cells), dtype=bool), False)
    one, other = (Decisions(exams=Exams.of(labels), positive=np.append(column, False)) for column in cells.T)
    return one, other


@pytest.mark.parametrize(
    ("table", "level", "low", "high", "digits"),
    [
        # Cavo et al. 2012, contingencytables' test of chapter 8.
        ((59, 6, 16, 80), 0.95, -0.1240, -0.0054, 4),
        # Bentur et al. 2009 in Fagerland, Lydersen & Laake (2014, doi:10.1002/sim.6148).
        ((1, 1, 7, 12), 0.95, -0.517, -0.026, 3),
        # PropCIs 0.3-0, scoreci.mp(25, 28, 618) at 90 %.
        ((300, 28, 25, 265), 0.90, -0.0148, 0.0247, 4),
    ],
)
def test_tangos_interval_is_that_of_r(
    table: tuple[int, int, int, int], level: float, low: float, high: float, digits: int
) -> None:
    """Paired sensitivities in three tables whose score limits are printed elsewhere."""
    found = paired_difference(*paired(*table), True, level)

    assert (round(found.low, digits), round(found.high, digits)) == (low, high)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        # contingencytables' test of chapter 4: Perondi et al. 2004.
        ((7, 34), (1, 34), 0.0189, 0.3404),
        # Method 10 in Table II of Newcombe (1998, Statistics in Medicine 17:873).
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_square_and_add_is_newcombes_method_10(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    """The difference of two independent proportions from their Wilson limits, at the ends of the scale too."""
    parts = [wilson_interval(decided(*counts, 0, 1).correct_of_class(True), LEVEL) for counts in (first, second)]
    found = combined_interval(*parts, weights=(1.0, -1.0), correlation=0.0, method="difference")

    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_likelihood_ratios_limits_are_mover_r_of_wilson() -> None:
    """7 of 34 over 1 of 34: contingencytables prints 7.0000 with 1.1537 to 41.9763."""
    found = likelihood_ratios(decided(7, 34, 1, 34), LEVEL).positive

    assert found.estimate == pytest.approx(7)
    assert (round(found.low, 4), round(found.high, 4)) == (1.1537, 41.9763)


def test_wilsons_limits_are_those_of_prop_test() -> None:
    """R 4.2.2, `prop.test(17, 20, correct = FALSE)`."""
    found = wilson_interval(decided(17, 20, 0, 1).correct_of_class(True), LEVEL)

    assert (found.low, found.high) == pytest.approx((0.63958113525924, 0.94763125410378), abs=1e-12)


def test_the_wfns_grade_of_asah_has_procs_areas() -> None:
    """The aSAH data of pROC 1.18.0: AUC, DeLong's variance, corrected partial AUC above .9 and above .8 specificity."""
    good, poor = (37, 20, 3, 8, 4), (2, 12, 1, 8, 18)
    grades = np.concatenate([np.repeat(np.arange(1.0, 6.0), counts) for counts in (good, poor)])
    model = PatientScores(exams=Exams.of(np.arange(grades.size) >= sum(good)), scores=grades)

    assert auc(model) == pytest.approx(0.82367886178862, abs=1e-13)
    assert delong_variance(model) == pytest.approx(0.0014699147088236, abs=1e-15)
    for specificity, partial in ((0.9, 0.64969333903865), (0.8, 0.70355314664258)):
        assert partial_auc_interval(model, specificity, LEVEL).estimate == pytest.approx(partial, abs=1e-13)


def test_the_next_studys_size_is_that_of_pmvalsampsize() -> None:
    """R's pmvalsampsize 0.1.0, test 4.1: AUC .8 to ± .05 and observed over expected to ± .5, prevalence .018."""
    assert _for_auc(0.8, 0.018, 0.1 / (2 * Z)) == 4252
    # It looks for the standard error in steps of .0001 and so stops at 905; without steps 905.1 are needed.
    assert _for_ratio(0.018, 1.0, Z) == pytest.approx(905, abs=1)


def test_the_size_for_a_slope_is_that_of_glms_information() -> None:
    """R 4.2.2, lp <- qnorm((1:1000 − .5)/1000, −5, 2.5); m <- glm(plogis(lp) ~ lp, binomial); vcov(m)[2, 2] · 1000."""
    predictor = norm.ppf((np.arange(1, 1001) - 0.5) / 1000) * 2.5 - 5

    assert _for_slope(expit(predictor), 0.2 / (2 * Z)) == int(np.ceil(11.84397777112 / (0.2 / (2 * Z)) ** 2))
