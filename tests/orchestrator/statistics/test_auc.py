"""The AUC of fixed scores: against a pair-by-pair reimplementation, and properties any user takes for granted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mpi_model.errors import StatisticsError
from orchestrator.statistics.auc import (
    SMALL_CLASS,
    auc,
    auc_intervals,
    delong_variance,
    newcombe_interval,
)
from orchestrator.statistics.comparisons import paired_delong
from orchestrator.statistics.scores import Exams, PatientScores

LEVEL = 0.95
# A coarse grid of scores makes ties frequent.
SCORED = st.lists(st.tuples(st.booleans(), st.integers(-6, 6), st.integers(0, 12)), min_size=4, max_size=40).filter(
    lambda rows: 0 < sum(label for label, _, _ in rows) < len(rows)
)


def of_rows(rows: list[tuple[bool, int, int]], *, clustered: bool) -> PatientScores:
    labels, scores, patients = (np.array(column) for column in zip(*rows, strict=True))
    exams = Exams.of(labels, patients if clustered else None)
    return PatientScores(exams=exams, scores=scores / 4)


def kernel(model: PatientScores) -> NDArray[np.float64]:
    """1 where a positive exam scores above a negative one, ½ where equal: every pair, one by one."""
    positive, negative = model.scores[model.exams.labels], model.scores[~model.exams.labels]
    return (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)


def obuchowski(model: PatientScores) -> float:
    """The clustered variance as printed in 1997, patient by patient."""
    pairs, labels, patients = kernel(model), model.exams.labels, model.exams.patients
    area, (m, n) = pairs.mean(), pairs.shape
    v10, v01 = pairs.mean(axis=1), pairs.mean(axis=0)
    sums10, sums01, both = [], [], []
    for patient in np.unique(patients):
        a = v10[patients[labels] == patient]
        b = v01[patients[~labels] == patient]
        sums10.append((a - area).sum() if a.size else None)
        sums01.append((b - area).sum() if b.size else None)
        both.append((a - area).sum() * (b - area).sum())
    first = [value**2 for value in sums10 if value is not None]
    second = [value**2 for value in sums01 if value is not None]
    s10 = len(first) / ((len(first) - 1) * m) * sum(first)
    s01 = len(second) / ((len(second) - 1) * n) * sum(second)
    s11 = len(both) / (len(both) - 1) * sum(both)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


@given(SCORED)
def test_the_auc_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[bool, int, int]]) -> None:
    """The sorted computation equals counting every pair, ties as one half."""
    model = of_rows(rows, clustered=False)

    assert auc(model) == pytest.approx(kernel(model).mean(), abs=1e-14)


@given(SCORED.filter(lambda rows: 2 <= sum(label for label, _, _ in rows) <= len(rows) - 2))
def test_delong_is_the_sum_of_the_placements_variances(rows: list[tuple[bool, int, int]]) -> None:
    """With one exam a patient the variance is S₁₀/m + S₀₁/n with divisors m − 1 and n − 1, as DeLong wrote it."""
    model = of_rows(rows, clustered=False)
    pairs = kernel(model)
    expected = pairs.mean(axis=1).var(ddof=1) / pairs.shape[0] + pairs.mean(axis=0).var(ddof=1) / pairs.shape[1]

    assert delong_variance(model) == pytest.approx(expected, abs=1e-14)


@given(SCORED)
def test_several_exams_a_patient_follow_obuchowski(rows: list[tuple[bool, int, int]]) -> None:
    """The clustered variance equals the published one, patients with exams of both classes included."""
    model = of_rows(rows, clustered=True)
    if min(model.exams.class_patients) < 2:
        with pytest.raises(StatisticsError, match="two patients of each class"):
            delong_variance(model)
    else:
        assert delong_variance(model) == pytest.approx(max(obuchowski(model), 0), abs=1e-13)


@given(SCORED)
def test_a_monotone_change_of_scores_changes_nothing(rows: list[tuple[bool, int, int]]) -> None:
    """AUC, variance and intervals depend on the order of scores only."""
    model = of_rows(rows, clustered=True)
    changed = PatientScores(exams=model.exams, scores=np.expm1(model.scores) * 3 + 7)

    assert auc_intervals(changed, LEVEL) == auc_intervals(model, LEVEL)


@given(SCORED, st.randoms(use_true_random=False))
def test_the_order_of_rows_is_of_no_account(rows: list[tuple[bool, int, int]], shuffle: st.DataObject) -> None:
    """The same exams in another order give the same interval."""
    other = list(rows)
    shuffle.shuffle(other)
    first, second = (auc_intervals(of_rows(order, clustered=True), LEVEL)[0] for order in (rows, other))

    assert (second.low, second.estimate, second.high) == pytest.approx(
        (first.low, first.estimate, first.high), abs=1e-12
    )


@given(SCORED)
def test_swapping_labels_mirrors_the_interval(rows: list[tuple[bool, int, int]]) -> None:
    """What speaks for the endpoint speaks against its absence: A becomes 1 − A, and the limits change places."""
    swapped = [(not label, score, patient) for label, score, patient in rows]
    first, second = (auc_intervals(of_rows(one, clustered=True), LEVEL)[0] for one in (rows, swapped))

    assert (1 - second.high, 1 - second.estimate, 1 - second.low) == pytest.approx(
        (first.low, first.estimate, first.high), abs=1e-9
    )


@given(SCORED, st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_intervals_lie_inside_the_unit_interval_and_hold_their_estimate(
    rows: list[tuple[bool, int, int]], level: float
) -> None:
    """No limit leaves [0, 1], none is missing, and none is the estimate itself on both sides."""
    for interval in auc_intervals(of_rows(rows, clustered=True), level):
        assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
        assert interval.high > interval.low


def test_perfect_separation_is_not_certainty() -> None:
    """At AUC 1 DeLong gives [1, 1]; the default turns to Newcombe 5, whose lower limit rises with the counts."""
    lows = []
    for each in (5, 20, 50):
        model = PatientScores(exams=Exams.of([1] * each + [0] * each), scores=-np.arange(2.0 * each))
        (interval,) = auc_intervals(model, LEVEL)
        assert interval.method == "Newcombe 5"
        lows.append(interval.low)

    assert lows == sorted(lows)
    assert lows[0] < 0.65


@pytest.mark.parametrize(
    ("small", "methods"), [(SMALL_CLASS - 1, ["Newcombe 5", "logit DeLong"]), (SMALL_CLASS, ["logit DeLong"])]
)
def test_small_classes_lead_with_newcombe_and_show_both(small: int, methods: list[str]) -> None:
    """Below fifteen patients of a class both intervals are shown, Newcombe's first."""
    scores = np.concatenate([np.arange(small) + 30.5, np.arange(60.0)])
    model = PatientScores(exams=Exams.of([1] * small + [0] * 60), scores=scores)

    assert [interval.method for interval in auc_intervals(model, LEVEL)] == methods


def test_more_exams_of_the_same_patients_do_not_narrow_newcombe() -> None:
    """Newcombe's counts are patients: repeating every exam leaves the interval as it was."""
    labels, scores = np.array([1, 1, 1, 0, 0, 0, 0]), np.array([3.0, 2, 0.5, 1, 0, -1, -2])
    once = PatientScores(exams=Exams.of(labels), scores=scores)
    thrice = PatientScores(exams=Exams.of(np.tile(labels, 3), np.tile(np.arange(7), 3)), scores=np.tile(scores, 3))

    found = [newcombe_interval(auc(model), *model.exams.class_patients, LEVEL) for model in (once, thrice)]
    assert found[0] == found[1]
    assert delong_variance(thrice) == pytest.approx(delong_variance(once), rel=1e-12)


def test_inflation_widens_newcombe() -> None:
    """A design factor above one can only widen the interval."""
    plain, inflated = (newcombe_interval(0.85, 40, 60, LEVEL, inflation=factor) for factor in (1.0, 1.45))

    assert inflated.low < plain.low < plain.high < inflated.high
    assert inflated.method != plain.method


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_an_error_that_says_so(label: int) -> None:
    """An AUC of one class does not exist; it is never a silent not-a-number."""
    with pytest.raises(StatisticsError, match="both classes are needed"):
        Exams.of([label] * 6)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1, 2], [0.1, 0.2, 0.3], "0 or 1"),
        ([0, 1, np.nan], [0.1, 0.2, 0.3], "0 or 1"),
        ([0, 1, 1], [0.1, np.nan, 0.3], "finite"),
        ([0, 1, 1], [0.1, np.inf, 0.3], "finite"),
        ([0, 1, 1], [0.1, 0.2], "shape"),
    ],
)
def test_what_is_not_a_label_or_a_score_is_refused(labels: list[float], scores: list[float], message: str) -> None:
    """Bad labels, infinite scores and lengths that differ end in one line, before any number is computed."""
    with pytest.raises(StatisticsError, match=message):
        PatientScores(exams=Exams.of(labels), scores=np.array(scores))


def test_models_on_different_exams_are_not_paired() -> None:
    """Covariances need the very same exams; the same number of them is not enough."""
    first = PatientScores(exams=Exams.of([0, 1, 0, 1]), scores=np.arange(4.0))
    second = PatientScores(exams=Exams.of([1, 0, 0, 1]), scores=np.arange(4.0))

    with pytest.raises(StatisticsError, match="same exams"):
        paired_delong(first, second, LEVEL)


def test_a_hundred_thousand_exams_need_no_table_of_pairs() -> None:
    """Forty thousand positives times sixty thousand negatives would be 19 GB of pairs; the sorted form needs none."""
    generator = np.random.default_rng(0)
    labels = np.arange(100_000) < 40_000
    model = PatientScores(exams=Exams.of(labels), scores=generator.normal(size=100_000) + labels)

    assert auc(model) == pytest.approx(0.7602, abs=0.005)
    assert delong_variance(model) == pytest.approx(2.3e-6, rel=0.1)
