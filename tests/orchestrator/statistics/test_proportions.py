"""Sensitivity, specificity and balanced accuracy at frozen thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from mpi_model.errors import StatisticsError
from orchestrator.statistics.patient_means import PatientMean
from orchestrator.statistics.proportions import (
    Decisions,
    _effective_trials,
    balanced_accuracy_interval,
    fold_proportions,
    threshold_at_specificity,
    wilson_interval,
)
from orchestrator.statistics.scores import Exams, FoldScores

LEVEL = 0.95


def decisions(right_positive: int, positives: int, right_negative: int, negatives: int) -> Decisions:
    """One exam a patient, with as many right decisions as asked for."""
    labels = np.arange(positives + negatives) < positives
    called = np.concatenate([np.arange(positives) < right_positive, np.arange(negatives) >= right_negative])
    return Decisions(exams=Exams.of(labels), positive=called)


@given(
    st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95, 0.99])
)
def test_wilson_agrees_with_statsmodels(counts: tuple[int, int], level: float) -> None:
    """One exam a patient is the textbook interval, at the ends of the scale too."""
    right, total = counts
    found = wilson_interval(decisions(right, total, 1, 1).correct_of_class(True), level)

    assert (found.low, found.high) == pytest.approx(proportion_confint(right, total, 1 - level, "wilson"), abs=1e-12)


def test_mover_joins_two_wilson_intervals() -> None:
    """Zou & Donner's limits for 17 of 20 and 33 of 40, from statsmodels' Wilson limits."""
    found = balanced_accuracy_interval(decisions(17, 20, 33, 40), LEVEL)
    (low_1, high_1), (low_2, high_2) = (proportion_confint(*pair, 0.05, "wilson") for pair in ((17, 20), (33, 40)))
    first, second = 17 / 20, 33 / 40
    estimate = (first + second) / 2

    assert found.estimate == pytest.approx(estimate)
    assert found.low == pytest.approx(estimate - np.hypot(first - low_1, second - low_2) / 2)
    assert found.high == pytest.approx(estimate + np.hypot(high_1 - first, high_2 - second) / 2)


@given(st.integers(0, 6), st.integers(0, 6))
def test_balanced_accuracy_stays_inside_the_unit_interval(right_positive: int, right_negative: int) -> None:
    """Even all right or all wrong among six and six gives a proper interval with a width."""
    found = balanced_accuracy_interval(decisions(right_positive, 6, right_negative, 6), LEVEL)

    assert 0 <= found.low <= found.estimate <= found.high <= 1
    assert found.high > found.low


def test_identical_exams_of_a_patient_count_once() -> None:
    """Three exams a patient that always agree tell as much as one: the interval is that of the patients."""
    owners, right = np.arange(30), np.arange(30) < 20
    once = PatientMean(sums=right.astype(float), counts=np.ones(30))
    thrice = PatientMean(sums=3.0 * right, counts=np.full(30, 3.0))

    assert _effective_trials(once) == 30
    assert _effective_trials(thrice) == pytest.approx(owners.size, rel=0.05)
    assert wilson_interval(thrice, LEVEL).method == "Wilson, patient-clustered"


def test_unanimous_exams_of_few_patients_are_not_taken_for_many() -> None:
    """Thirty right decisions of ten patients: no correlation can be estimated, so ten patients is what counts."""
    data = PatientMean(sums=np.full(10, 3.0), counts=np.full(10, 3.0))

    assert wilson_interval(data, LEVEL).low == pytest.approx(proportion_confint(10, 10, 0.05, "wilson")[0])


def test_the_threshold_for_a_specificity_comes_from_other_negatives() -> None:
    """The smallest score that leaves at least the wanted share of negatives at or below it."""
    negatives = np.array([0.5, 0.1, 0.4, 0.2, 0.3])

    assert threshold_at_specificity(negatives, 0.8) == 0.4
    assert threshold_at_specificity(negatives, 0.81) == 0.5


def test_fold_proportions_are_counted_within_folds() -> None:
    """Sensitivity and specificity of each held-out fold, counted by hand."""
    exams = Exams.of([1, 1, 1, 0, 0, 0])
    folds = np.array([[0, 0, 1, 0, 1, 1], [0, 1, 1, 0, 0, 1]])
    model = FoldScores(exams=exams, scores=np.zeros((2, 6)), folds=folds)
    positive = np.array([[1, 0, 1, 0, 1, 0], [0, 0, 1, 1, 0, 0]], dtype=bool)
    sensitivity, specificity = fold_proportions(model, positive)

    assert sensitivity.tolist() == [[0.5, 1.0], [0.0, 0.5]]
    assert specificity.tolist() == [[1.0, 0.5], [0.5, 1.0]]


def test_scores_are_not_decisions() -> None:
    """A balanced accuracy cannot be computed from scores, so nobody can pick the threshold on the exams judged."""
    with pytest.raises(StatisticsError, match="booleans"):
        Decisions(exams=Exams.of([0, 1]), positive=np.array([0.2, 0.8]))


def test_patients_who_are_in_a_group_now_and_then_count_as_parts() -> None:
    """Ten patients nearly always in a group, fourteen seldom: Wilson's trials are Kish's (sum of w)^2 / sum of w^2."""
    counts = np.array([0.9] * 10 + [0.1] * 14)
    trials = counts.sum() ** 2 / (counts**2).sum()
    expected = wilson_interval(PatientMean(sums=np.full(24, 0.5), counts=np.full(24, 0.5)), 0.95)

    found = wilson_interval(PatientMean(sums=counts, counts=counts), 0.95)

    z = norm.ppf(0.975)
    assert found.low == pytest.approx(trials / (trials + z**2))
    assert expected.low == pytest.approx(24 / (24 + z**2))
