"""Likelihood ratios, predictive values, paired proportions, partial AUC, sample size, the prior shift."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from mpi_model.errors import StatisticsError
from orchestrator.statistics.calibration import calibration_in_the_large, cross_validated_calibration
from orchestrator.statistics.paired_proportions import (
    _tango_interval,
    cross_validated_paired_difference,
    paired_difference,
)
from orchestrator.statistics.partial_auc import partial_auc_interval
from orchestrator.statistics.predictive_values import likelihood_ratios, predictive_values
from orchestrator.statistics.proportions import Decisions, cross_validated_proportions
from orchestrator.statistics.sample_size import sample_size, shifted_to_prevalence
from orchestrator.statistics.scores import Exams, PatientScores

LEVEL = 0.95


def decided(positives: int, negatives: int, right_positive: int, right_negative: int) -> Decisions:
    """One exam a patient, with as many right decisions as asked for."""
    labels = np.arange(positives + negatives) < positives
    called = np.concatenate([np.arange(positives) < right_positive, np.arange(negatives) >= right_negative])
    return Decisions(exams=Exams.of(labels), positive=called)


def test_likelihood_ratios_are_ratios_of_rates_and_cover_them() -> None:
    """LR+ = sensitivity/(1 − specificity) and LR− likewise; limits hold the truth about 95 times in 100."""
    found = likelihood_ratios(decided(20, 40, 16, 36), LEVEL)
    assert found.positive.estimate == pytest.approx(0.8 / 0.1)
    assert found.negative.estimate == pytest.approx(0.2 / 0.9)

    generator = np.random.default_rng(1)
    covered = np.zeros(2)
    for _ in range(400):
        right = generator.binomial([25, 50], [0.85, 0.9])
        ratios = likelihood_ratios(decided(25, 50, *right), LEVEL)
        pairs = ((ratios.positive, 8.5), (ratios.negative, 1 / 6))
        covered += [interval.low <= truth <= interval.high for interval, truth in pairs]
    # Three standard errors of .95 in 400 simulations are .033.
    assert (covered / 400 > 0.95 - 0.033).all()


def test_a_test_without_errors_has_an_infinite_ratio_and_a_finite_limit() -> None:
    """No false positive among 40: the ratio is infinite, but forty exams exclude only so small a one."""
    found = likelihood_ratios(decided(20, 40, 16, 40), LEVEL)

    assert np.isinf(found.positive.estimate)
    assert 3 < found.positive.low < 0.8 / 0.01
    assert np.isinf(found.positive.high)


def test_predictive_values_follow_bayes_at_the_stated_prevalence() -> None:
    """PPV and NPV from sensitivity, specificity and prevalence, against Bayes' theorem written out."""
    ratios = likelihood_ratios(decided(20, 40, 16, 36), LEVEL)
    positive, negative = predictive_values(ratios, 0.15)

    assert positive.estimate == pytest.approx(0.8 * 0.15 / (0.8 * 0.15 + 0.1 * 0.85))
    assert negative.estimate == pytest.approx(0.9 * 0.85 / (0.9 * 0.85 + 0.2 * 0.15))
    assert positive.low < positive.estimate < positive.high
    assert predictive_values(likelihood_ratios(decided(20, 40, 16, 40), LEVEL), 0.15)[0].estimate == 1


@pytest.mark.parametrize(("better", "worse", "pairs"), [(9, 2, 43), (5, 0, 12), (0, 7, 30), (4, 4, 20)])
def test_tangos_limits_solve_the_score_equation(better: int, worse: int, pairs: int) -> None:
    """At each limit the score statistic, with the constrained likelihood maximised numerically, is ± 1.96."""

    def statistic(delta: float) -> float:
        def loss(q: float) -> float:
            parts = ((better, q + delta), (worse, q), (pairs - better - worse, 1 - 2 * q - delta))
            return -sum(count * np.log(max(chance, 1e-300)) for count, chance in parts if count)

        bounds = (max(0.0, -delta), (1 - delta) / 2)
        q = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x
        return (better - worse - pairs * delta) / np.sqrt(pairs * (2 * q + delta * (1 - delta)))

    found = _tango_interval(better, worse, pairs, LEVEL)
    assert statistic(found.low) == pytest.approx(1.959964, abs=1e-4)
    assert statistic(found.high) == pytest.approx(-1.959964, abs=1e-4)


def test_a_pair_that_never_disagrees_may_still_differ() -> None:
    """Twenty exams, no discordant pair: limits ± z²/(n + z²), not a point."""
    decisions = decided(20, 20, 15, 15)
    found = paired_difference(decisions, decisions, True, LEVEL)

    assert (found.low, found.high) == pytest.approx((-0.16113, 0.16113), abs=5e-5)
    with pytest.raises(StatisticsError, match="same exams"):
        paired_difference(decisions, decided(19, 21, 15, 15), True, LEVEL)


def test_one_repeat_of_a_cross_validation_is_a_test_with_inflation() -> None:
    """Without inflation and repeats the cross-validated proportions are Wilson's of statsmodels; with it they widen."""
    decisions = decided(20, 40, 16, 36)
    plain = cross_validated_proportions(decisions.exams, decisions.positive[None], 1.0, LEVEL)
    wide = cross_validated_proportions(decisions.exams, decisions.positive[None], 2.0, LEVEL)

    assert (plain[0].low, plain[0].high) == pytest.approx(proportion_confint(16, 20, 0.05, "wilson"))
    assert (plain[1].low, plain[1].high) == pytest.approx(proportion_confint(36, 40, 0.05, "wilson"))
    # Half of the factor's excess: as many trials as 20/1.5 would give.
    assert (wide[0].low, wide[0].high) == pytest.approx(proportion_confint(0.8 * 20 / 1.5, 20 / 1.5, 0.05, "wilson"))


def test_paired_differences_of_repeats_know_what_is_shared() -> None:
    """Two models that err on the same patients differ less uncertainly than two that err on others."""
    generator = np.random.default_rng(3)
    exams = Exams.of(np.arange(80) < 40)
    patient = np.repeat(generator.random(80) < 0.7, 6).reshape(80, 6).T
    narrow, wide = (
        cross_validated_paired_difference(exams, patient, second, True, 1.5, LEVEL)
        for second in (np.where(generator.random((6, 80)) < 0.05, ~patient, patient), generator.random((6, 80)) < 0.7)
    )

    assert narrow.high - narrow.low < wide.high - wide.low


@pytest.mark.parametrize("decimals", [1, 8])
def test_the_partial_auc_agrees_with_scikit_learn(decimals: int) -> None:
    """McClish's standardised area up to a false positive rate of .2, ties and interpolation included."""
    generator = np.random.default_rng(decimals)
    labels = np.arange(60) < 22
    scores = np.round(generator.normal(size=60) + labels, decimals)
    found = partial_auc_interval(PatientScores(exams=Exams.of(labels), scores=scores), 0.8, LEVEL)

    assert found.estimate == pytest.approx(roc_auc_score(labels, scores, max_fpr=0.2), abs=1e-12)
    assert found.low < found.estimate < found.high


@pytest.mark.parametrize("decimals", [0, 8])
def test_the_partial_auc_varies_as_the_jackknife_over_patients_does(decimals: int) -> None:
    """The interval is that of scikit-learn's areas with each patient left out, exams of both classes and all."""
    generator = np.random.default_rng(decimals)
    labels, patients = generator.random(90) < 0.4, np.append(np.arange(40), generator.integers(0, 40, 50))
    scores = np.round(2 * (generator.normal(size=90) + labels), decimals)
    left_out = [
        roc_auc_score(labels[patients != one], scores[patients != one], max_fpr=0.3) for one in np.unique(patients)
    ]
    variance = 39 / 40 * np.sum((left_out - np.mean(left_out)) ** 2)
    area = roc_auc_score(labels, scores, max_fpr=0.3)
    half = stats.norm.ppf(0.975) * np.sqrt(variance) / (area * (1 - area))
    found = partial_auc_interval(PatientScores(exams=Exams.of(labels, patients), scores=scores), 0.7, LEVEL)

    assert (found.low, found.high) == pytest.approx(tuple(expit(logit(area) + np.array([-half, half]))), abs=1e-12)


def test_a_partial_auc_of_a_large_cohort_takes_memory_by_its_size() -> None:
    """A curve for every patient left out of 20,000 would take gigabytes, and `evaluate` would be killed."""
    labels = np.arange(20_000) % 3 == 0
    scores = np.random.default_rng(0).normal(size=20_000) + labels
    tracemalloc.start()
    partial_auc_interval(PatientScores(exams=Exams.of(labels), scores=scores), 0.8, LEVEL)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1000 * labels.size


def test_the_sample_size_for_an_auc_gives_the_width_asked_for() -> None:
    """Simulated studies of the size found for AUC .8: their intervals are .1 wide, give or take a tenth."""
    found = sample_size(0.8, 0.3, np.full(2, 0.5), LEVEL)
    generator = np.random.default_rng(2)
    labels = np.arange(found.auc) < round(0.3 * found.auc)
    errors = []
    for _ in range(40):
        scores = generator.normal(size=labels.size) + np.sqrt(2) * stats.norm.ppf(0.8) * labels
        wins = scores[labels][:, None] > scores[~labels]
        errors.append(np.sqrt(wins.mean(axis=1).var() / labels.sum() + wins.mean(axis=0).var() / (~labels).sum()))

    assert 2 * 1.96 * np.mean(errors) == pytest.approx(0.1, rel=0.1)
    assert found.slope is None


def test_the_sample_size_for_a_slope_gives_its_standard_error() -> None:
    """Logistic regressions on samples of that size: the slope's standard deviation is what was aimed at."""
    generator = np.random.default_rng(4)
    population = generator.normal(-0.8, 1.3, size=100_000)
    found = sample_size(0.8, float(expit(population).mean()), expit(population), LEVEL)
    assert found.slope is not None
    slopes = []
    for _ in range(150):
        predictor = generator.choice(population, found.slope)
        outcome = generator.random(found.slope) < expit(predictor)
        slopes.append(LogisticRegression(C=1e9).fit(predictor[:, None], outcome).coef_[0, 0])

    # A standard deviation of 150 has an error of 6 %.
    assert np.std(slopes) == pytest.approx(0.4 / (2 * 1.96), rel=0.2)


def test_the_prior_shift_undoes_balanced_training() -> None:
    """A model trained with balanced class weights is wrong by log(π/(1 − π)); after the shift by almost nothing."""
    generator = np.random.default_rng(5)
    features = generator.normal(size=(20_000, 2))
    labels = generator.random(20_000) < expit(features @ [1.0, 0.5] - 1.6)
    balanced = LogisticRegression(class_weight="balanced").fit(features, labels).predict_proba(features)[:, 1]
    before, after = (
        calibration_in_the_large(PatientScores(exams=Exams.of(labels), scores=values), LEVEL).estimate
        for values in (balanced, shifted_to_prevalence(balanced, labels.mean()))
    )

    assert before == pytest.approx(logit(labels.mean()), abs=0.1)
    assert abs(after) < 0.06


def test_calibration_of_repeats_is_their_mean_and_knows_its_patients() -> None:
    """Ten equal repeats are one: the same estimate, and a standard error that does not shrink with repeats."""
    generator = np.random.default_rng(8)
    predictor = generator.normal(size=300)
    exams = Exams.of(generator.random(300) < expit(predictor))
    once, ten = (
        cross_validated_calibration("calibration_slope", np.tile(expit(predictor), (count, 1)), exams, 1.0, LEVEL)
        for count in (1, 10)
    )
    reference = LogisticRegression(C=1e9).fit(predictor[:, None], exams.labels).coef_[0, 0]

    assert once.estimate == pytest.approx(reference, rel=1e-3)
    assert (ten.low, ten.high) == pytest.approx((once.low, once.high))
