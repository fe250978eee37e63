"""Random effects over sites, against published numbers and a plain calculation."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import t

from mpi_model.errors import StatisticsError
from orchestrator.statistics.auc import delong_variance
from orchestrator.statistics.meta_analysis import logit_auc, random_effects
from orchestrator.statistics.scores import Exams, PatientScores

# The 13 trials of the BCG vaccine (Colditz et al. 1994, doi:10.1001/jama.1994.03510330076038): cases and others among
# the vaccinated, cases and others among the rest.
BCG = np.array(
    [
        [4, 119, 11, 128], [6, 300, 29, 274], [3, 228, 11, 209], [62, 13536, 248, 12619], [33, 5036, 47, 5761],
        [180, 1361, 372, 1079], [8, 2537, 10, 619], [505, 87886, 499, 87892], [29, 7470, 45, 7232],
        [17, 1699, 65, 1600], [186, 50448, 141, 27197], [5, 2493, 3, 2338], [27, 16886, 29, 17825],
    ]
)  # fmt: skip


def _log_risk_ratios() -> tuple[np.ndarray, np.ndarray]:
    cases, others, controls, rest = BCG.T.astype(float)
    ratios = np.log(cases / (cases + others)) - np.log(controls / (controls + rest))
    return ratios, 1 / cases - 1 / (cases + others) + 1 / controls - 1 / (controls + rest)


def _model(positive: np.ndarray, negative: np.ndarray) -> PatientScores:
    labels = np.repeat([1, 0], [len(positive), len(negative)])
    return PatientScores(exams=Exams.of(labels), scores=np.concatenate([positive, negative]).astype(float))


def test_the_bcg_trials_give_the_published_numbers():
    """The R package metafor (Viechtbauer 2010, doi:10.18637/jss.v036.i03) has these, with method "PM" and "knha"."""
    found = random_effects(*_log_risk_ratios(), level=0.95)
    assert found.tau2 == pytest.approx(0.3181, abs=5e-5)
    assert found.mean == pytest.approx(-0.7150, abs=5e-5)
    assert found.i2 == pytest.approx(0.9212, abs=5e-5)  # of Q = 152.23 with 12 degrees of freedom
    assert (found.low, found.high) == pytest.approx((-0.7150 - 2.1788 * 0.1809, -0.7150 + 2.1788 * 0.1809), abs=2e-4)


@pytest.mark.parametrize("sites", [3, 5, 12])
def test_random_effects_are_the_textbooks(sites):
    """Q at tau² is its expectation; mean, Hartung–Knapp interval and prediction interval follow by hand."""
    random = np.random.default_rng(sites)
    variances = random.uniform(0.02, 0.2, sites)
    values = np.linspace(0.3, 2.7, sites) + random.normal(0, np.sqrt(variances))

    def spread(tau2):
        weights = 1 / (variances + tau2)
        mean = (weights * values).sum() / weights.sum()
        return (weights * (values - mean) ** 2).sum(), mean, weights.sum()

    tau2 = brentq(lambda at: spread(at)[0] - (sites - 1), 0, 50)
    _, mean, total = spread(tau2)
    error = np.sqrt(spread(tau2)[0] / (sites - 1) / total)
    found = random_effects(values, variances, level=0.9)
    assert (found.tau2, found.mean) == pytest.approx((tau2, mean), abs=1e-5)
    assert found.high - found.mean == pytest.approx(t.ppf(0.95, sites - 1) * error, rel=1e-4)
    assert found.prediction is not None
    assert found.prediction[1] - mean == pytest.approx(t.ppf(0.95, sites - 2) * np.sqrt(tau2 + error**2), rel=1e-4)


def test_sites_that_agree_have_no_heterogeneity_and_no_interval_of_nothing():
    """Equal estimates: tau² and I² are 0, and the interval keeps the width that the sites' own variances give."""
    variances = np.array([0.04, 0.09, 0.16])
    found = random_effects(np.full(3, 1.2), variances, level=0.95)
    assert (found.tau2, found.i2) == (0, 0)
    assert found.high - found.mean == pytest.approx(t.ppf(0.975, 2) / np.sqrt((1 / variances).sum()))


def test_too_few_sites_are_refused():
    """One site has no mean over sites, two have no prediction for a third."""
    with pytest.raises(StatisticsError, match="there is one"):
        random_effects(np.array([1.0]), np.array([0.1]), 0.95)
    two = random_effects(np.array([1.0, 2.0]), np.array([0.1, 0.1]), 0.95)
    assert two.auc_interval(0.95).estimate == pytest.approx(expit(1.5))
    with pytest.raises(StatisticsError, match="three sites"):
        two.auc_of_new_site(0.95)


def test_a_large_site_counts_with_delongs_variance():
    """Its logit and variance are the AUC's by the delta method."""
    random = np.random.default_rng(0)
    model = _model(random.normal(1, 1, 40), random.normal(0, 1, 50))
    area = (model.scores[:40, None] > model.scores[None, 40:]).mean()
    value, variance = logit_auc(model)
    assert value == pytest.approx(logit(area))
    assert variance == pytest.approx(delong_variance(model) / (area * (1 - area)) ** 2)


def test_a_perfect_small_site_is_kept_and_does_not_outweigh_a_large_one():
    """An AUC of 1 of 8 + 8 patients is finite, and weighs less than .85 of 100 + 100."""
    random = np.random.default_rng(1)
    value, variance = logit_auc(_model(np.arange(8) + 10, np.arange(8)))
    _, large = logit_auc(_model(random.normal(1.5, 1, 100), random.normal(0, 1, 100)))
    assert 2 < value < 6
    assert variance > 5 * large
