"""Two models on the same exams: differences, p-values, Holm and the gate."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from mpi_model.errors import StatisticsError
from orchestrator.statistics.auc import auc, delong_covariance
from orchestrator.statistics.comparisons import (
    above_chance,
    corrected_resampled_t,
    correlated_bayesian_t,
    cross_validated_difference,
    holm,
    paired_delong,
    permutation_and_bootstrap,
)
from orchestrator.statistics.cross_validation import fold_aucs
from orchestrator.statistics.intervals import Interval
from orchestrator.statistics.resampling import bootstrap_aucs, monte_carlo_p_value, rank_swap_p_value, weighted_aucs
from orchestrator.statistics.scores import Exams, FoldScores, PatientScores

LEVEL = 0.95


def pair(
    size: int = 60, *, gains: tuple[float, float] = (1.5, 1.5), seed: int = 5
) -> tuple[PatientScores, PatientScores]:
    """Two models on the same patients whose errors correlate."""
    generator = np.random.default_rng(seed)
    exams = Exams.of(np.arange(size) < size // 2)
    shared = generator.normal(size=size)
    first, second = (shared + generator.normal(size=size) + gain * exams.labels for gain in gains)
    return PatientScores(exams=exams, scores=first), PatientScores(exams=exams, scores=second)


def fold_pair(*, gains: tuple[float, float], repeats: int = 4) -> tuple[FoldScores, FoldScores]:
    """Two cross-validated models on the same patients and folds."""
    generator = np.random.default_rng(3)
    exams = Exams.of(np.arange(60) < 30)
    folds = np.stack([np.tile(generator.permutation(np.arange(30) % 5), 2) for _ in range(repeats)])
    shared = generator.normal(size=60)
    first, second = (shared + generator.normal(size=(repeats, 60)) + gain * exams.labels for gain in gains)
    return FoldScores(exams=exams, scores=first, folds=folds), FoldScores(exams=exams, scores=second, folds=folds)


def test_paired_delong_uses_the_covariance_of_the_two_models() -> None:
    """The variance of the difference is that of the covariance matrix, not the sum of two variances."""
    first, second = pair()
    areas, covariance = delong_covariance([first, second])
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    found = paired_delong(first, second, LEVEL)

    assert found.p == pytest.approx(2 * stats.norm.sf(abs(areas[0] - areas[1]) / error))
    assert covariance[0, 1] > 0


def test_the_rank_swap_p_value_is_that_of_all_swaps() -> None:
    """Nine patients have 512 swaps: the Monte Carlo p-value agrees with all of them tried."""
    exams = Exams.of([1, 1, 1, 1, 0, 0, 0, 0, 0])
    first = PatientScores(exams=exams, scores=np.array([9.0, 8, 7, 3, 6, 5, 4, 2, 1]))
    second = PatientScores(exams=exams, scores=np.array([1.0, 9, 2, 5, 3, 8, 4, 7, 6]))
    observed = auc(first) - auc(second)
    reached = 0
    for swaps in product([False, True], repeat=9):
        mixed = [np.where(swaps, a, b) for a, b in ((second.scores, first.scores), (first.scores, second.scores))]
        difference = auc(PatientScores(exams=exams, scores=mixed[0])) - auc(PatientScores(exams=exams, scores=mixed[1]))
        reached += abs(difference) >= abs(observed) - 1e-12

    assert rank_swap_p_value(first, second, 20_000, seed=1) == pytest.approx(reached / 512, abs=0.015)


def test_models_on_other_scales_may_be_swapped() -> None:
    """Swapping ranks makes the test blind to the scale of either model."""
    first, second = pair()
    rescaled = PatientScores(exams=second.exams, scores=np.exp(5 * second.scores) * 1e6)

    assert rank_swap_p_value(first, rescaled, 300, seed=2) == rank_swap_p_value(first, second, 300, seed=2)


def test_a_monte_carlo_p_value_is_never_zero() -> None:
    """With B draws the smallest p is 1/(B + 1)."""
    assert monte_carlo_p_value(0.9, np.zeros(99)) == 0.01


def test_bootstrap_weights_reproduce_resampled_data() -> None:
    """The AUC under patient weights equals the AUC of the data with patients repeated as often as drawn."""
    first, _ = pair(20)
    tied = PatientScores(exams=first.exams, scores=np.round(first.scores))
    weights = np.random.default_rng(0).integers(1, 4, size=(1, 20)).astype(float)
    rows = np.repeat(np.arange(20), weights[0].astype(int))
    repeated = PatientScores(exams=Exams.of(tied.exams.labels[rows], rows), scores=tied.scores[rows])

    assert weighted_aucs(tied, weights)[0] == pytest.approx(auc(repeated), abs=1e-12)


def test_the_bootstrap_is_paired() -> None:
    """Both models see the same draws: the spread of the difference is that of correlated models."""
    first, second = pair(200)
    areas = bootstrap_aucs([first, second], 2000, seed=4)
    _, covariance = delong_covariance([first, second])

    assert np.corrcoef(areas)[0, 1] == pytest.approx(
        covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]), abs=0.1
    )


def test_a_clear_gain_is_found_and_its_direction_kept() -> None:
    """First minus second: a better first model has a positive difference, in every method."""
    better, worse = pair(120, gains=(3.0, 0.5))
    for found in (
        paired_delong(better, worse, LEVEL),
        permutation_and_bootstrap(better, worse, LEVEL, draws=499, seed=0),
    ):
        assert found.interval.low > 0
        assert found.p < 0.01
    better_folds, worse_folds = fold_pair(gains=(3.0, 0.5))
    for found in (
        cross_validated_difference(better_folds, worse_folds, LEVEL),
        corrected_resampled_t(fold_aucs(better_folds) - fold_aucs(worse_folds), LEVEL),
    ):
        assert found.interval.low > 0
        assert found.p < 0.01


def test_equivalence_sums_to_one_and_finds_the_rope() -> None:
    """Three probabilities of one posterior; differences around nothing fall into a wide region of equivalence."""
    differences = np.random.default_rng(0).normal(0.0, 0.004, size=(10, 5))
    found = correlated_bayesian_t(differences, rope=0.02)

    assert found.below + found.inside + found.above == pytest.approx(1)
    assert found.inside > 0.99


def test_models_that_coincide_are_refused_not_compared() -> None:
    """Without any variance there is no test: one line says why, in every method."""
    first, second = fold_pair(gains=(1.0, 1.0))
    same = PatientScores(exams=first.exams, scores=first.scores[0])

    with pytest.raises(StatisticsError, match="placements coincide"):
        paired_delong(same, PatientScores(exams=first.exams, scores=2 * first.scores[0] + 1), LEVEL)
    with pytest.raises(StatisticsError, match="placements coincide"):
        cross_validated_difference(first, first, LEVEL)
    with pytest.raises(StatisticsError, match="same amount"):
        corrected_resampled_t(fold_aucs(second) - fold_aucs(second), LEVEL)


def test_other_folds_are_refused() -> None:
    """Cross-validations are paired cell by cell, so one fold apart is enough to refuse."""
    first, second = fold_pair(gains=(1.0, 1.0))
    folds = second.folds.copy()
    folds[0, [0, 1]] = folds[0, [1, 0]]
    if np.array_equal(folds, second.folds):
        folds[0, [0, 2]] = folds[0, [2, 0]]
    other = FoldScores(exams=second.exams, scores=second.scores, folds=folds)

    with pytest.raises(StatisticsError, match="same folds"):
        cross_validated_difference(first, other, LEVEL)


def test_holm_keeps_the_size_of_the_declared_family() -> None:
    """A member that was refused still counts: four declared pairs stay four."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.04), None, pytest.approx(0.09), pytest.approx(0.09)]
    assert holm([]) == []


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    """The step-down adjustment against another implementation, equal p-values included."""
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_the_gate_opens_for_one_model_above_chance() -> None:
    """One interval above one half is enough to compare; none is not."""
    known = Interval(estimate=0.8, low=0.6, high=0.9, level=LEVEL, method="any")
    unknown = Interval(estimate=0.6, low=0.4, high=0.8, level=LEVEL, method="any")

    assert above_chance(known, unknown)
    assert not above_chance(unknown, unknown)
