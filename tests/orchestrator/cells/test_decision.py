"""Thresholds and calibration against brute force and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from orchestrator.cells.decision import Decision, OutOfFold, _best_threshold, _platt, decide

labelled = st.lists(st.tuples(st.integers(-8, 8), st.integers(0, 1)), min_size=4, max_size=40).filter(
    lambda pairs: len({label for _, label in pairs}) == 2
)


@given(pairs=labelled)
def test_no_threshold_beats_the_one_that_is_chosen(pairs):
    """Trying every midpoint by scikit-learn's balanced accuracy finds none better."""
    scores, labels = (
        np.array([score for score, _ in pairs], dtype=float),
        np.array([label for _, label in pairs], dtype=np.int8),
    )
    chosen = _best_threshold(scores, labels)

    levels = np.unique(scores)
    tried = [balanced_accuracy_score(labels, scores >= cut) for cut in (levels[1:] + levels[:-1]) / 2]
    if tried:
        assert balanced_accuracy_score(labels, scores >= chosen) == pytest.approx(max(tried))


def test_of_equally_good_thresholds_the_middle_one_is_taken():
    """Ties go to the middle, so that a lucky edge is not what is frozen."""
    scores = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])

    assert _best_threshold(scores, np.array([0, 1, 0, 1, 0, 1], dtype=np.int8)) == 2.5


def test_the_fixed_threshold_is_half_of_the_balanced_probability_even_when_calibrated():
    """Calibration rescales probabilities; who is called positive stays the same."""
    random = np.random.default_rng(0)
    labels = (random.random(400) < 0.2).astype(np.int8)
    scores = 2.0 * labels - 1.0 + random.normal(size=400)
    exams = OutOfFold(scores=scores, labels=labels, tracer=np.zeros(400, dtype=np.int8))
    decision = decide(exams, "fixed", exams)[0]

    called = decision.probability(scores) >= decision.probability_threshold
    assert np.array_equal(called, scores >= 0)
    assert decision.probability(scores).mean() == pytest.approx(labels.mean(), abs=0.02)


def test_platt_agrees_with_an_unpenalised_logistic_regression_on_many_exams():
    """With many exams the smoothed targets hardly matter, and scikit-learn finds the same line."""
    random = np.random.default_rng(1)
    labels = (random.random(20_000) < 0.4).astype(np.int8)
    scores = labels + random.normal(size=20_000)
    fitted = LogisticRegression(C=np.inf).fit(scores[:, None], labels)

    assert _platt(scores, labels) == pytest.approx((fitted.coef_[0, 0], fitted.intercept_[0]), abs=0.01)


@given(pairs=labelled)
def test_calibration_never_reverses_an_order(pairs):
    """A slope is always above zero, also where scores point the wrong way: an AUC cannot change."""
    scores, labels = (
        np.array([score for score, _ in pairs], dtype=float),
        np.array([label for _, label in pairs], dtype=np.int8),
    )
    slope, intercept = _platt(scores, labels)

    assert slope > 0
    assert np.isfinite([slope, intercept]).all()


def test_each_tracer_is_decided_on_its_own_exams():
    """A threshold of one tracer does not move with the other's scores."""
    scores = np.array([0.0, 1.0, 10.0, 11.0])
    labels = np.array([0, 1, 0, 1], dtype=np.int8)
    exams = OutOfFold(scores=scores, labels=labels, tracer=np.array([0, 0, 1, 1], dtype=np.int8))

    assert decide(exams, "balanced_accuracy", None) == {0: Decision(threshold=0.5), 1: Decision(threshold=10.5)}


def test_thresholds_come_from_the_search_and_calibration_from_fresh_scores():
    """Scores by which a winner was chosen are too good to calibrate by: they decide the threshold alone."""
    random = np.random.default_rng(2)
    labels = (np.arange(200) % 2).astype(np.int8)
    tracer = np.zeros(200, dtype=np.int8)
    seen, fresh = (
        OutOfFold(scores=random.normal(size=200) + shift * labels, labels=labels, tracer=tracer) for shift in (3, 1)
    )
    decision = decide(seen, "balanced_accuracy", fresh)[0]

    assert decision.threshold == _best_threshold(seen.scores, labels)
    assert (decision.slope, decision.intercept) == _platt(fresh.scores, labels)
