"""Two models on the same exams: differences, p-values, Holm and the gate."""

from itertools import product

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from mpi_model.errors import StatisticsError
from orchestrator.statistics.auc import auc, auc_influence, auc_intervals, influence_covariance, logit_delong_interval
from orchestrator.statistics.comparisons import (
    above_chance,
    corrected_resampled_t,
    correlated_bayesian_t,
    cross_validated_difference,
    held_out_difference,
    holm,
    paired_delong,
)
from orchestrator.statistics.cross_validation import CrossValidation, fold_aucs
from orchestrator.statistics.intervals import Interval
from orchestrator.statistics.pairs import pairs_statistic
from orchestrator.statistics.resampling import rank_swap_p_value
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
    areas = [auc(first), auc(second)]
    covariance = influence_covariance([auc_influence(first), auc_influence(second)], first.exams)
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
    """With B draws the smallest p is 1/(B + 1): two models that rank oppositely, which no swap surpasses."""
    exams = Exams.of(np.arange(40) < 20)
    first, second = (PatientScores(exams=exams, scores=sign * np.arange(40.0)) for sign in (1, -1))

    assert rank_swap_p_value(first, second, 99, seed=0) == 0.01


def test_the_difference_squares_and_adds_the_two_aucs_own_limits() -> None:
    """Newcombe's rule written out: distances to the reported limits, joined with DeLong's correlation."""
    first, second = pair(80, gains=(2.5, 1.0))
    one, other = (logit_delong_interval(model, LEVEL) for model in (first, second))
    covariance = influence_covariance([auc_influence(first), auc_influence(second)], first.exams)
    rho = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    found = held_out_difference(first, second, LEVEL).interval
    a, b = one.estimate - one.low, other.high - other.estimate
    c, d = one.high - one.estimate, other.estimate - other.low

    assert found.estimate == pytest.approx(one.estimate - other.estimate)
    assert found.estimate - found.low == pytest.approx(np.sqrt(a**2 + b**2 - 2 * rho * a * b))
    assert found.high - found.estimate == pytest.approx(np.sqrt(c**2 + d**2 - 2 * rho * c * d))


@pytest.mark.parametrize("seed", range(12))
def test_interval_and_p_value_never_contradict_each_other(seed: int) -> None:
    """P is below .05 exactly where the 95 % interval leaves 0 out, small samples included."""
    found = held_out_difference(*pair(24 + 6 * seed, gains=(2.2, 1.2), seed=seed), LEVEL)

    assert (found.p < 0.05) == (not found.interval.low <= 0 <= found.interval.high)
    assert 0 < found.p <= 1


def test_the_difference_covers_where_both_models_are_nearly_perfect() -> None:
    """Six and six, then 18 and 28 exams: the true difference is inside in 93 % or more; DeLong's keeps .6 and .85."""
    generator = np.random.default_rng(12)
    for positives, negatives, areas in ((6, 6, (0.99, 0.95)), (18, 28, (0.99, 0.95))):
        exams = Exams.of(np.arange(positives + negatives) < positives)
        shifts = np.sqrt(2) * stats.norm.ppf(areas)
        covered = 0
        for _ in range(150):
            shared, *own = generator.normal(size=(3, exams.labels.size))
            models = [
                PatientScores(exams=exams, scores=np.sqrt(0.5) * (shared + one) + shift * exams.labels)
                for one, shift in zip(own, shifts, strict=True)
            ]
            interval = held_out_difference(*models, LEVEL).interval
            covered += interval.low <= areas[0] - areas[1] <= interval.high
        # Three standard errors of .95 in 150 simulations are .053.
        assert covered / 150 > 0.95 - 0.053


def test_a_clear_gain_is_found_and_its_direction_kept() -> None:
    """First minus second: a better first model has a positive difference, in every method."""
    better, worse = pair(120, gains=(3.0, 0.5))
    for found in (
        paired_delong(better, worse, LEVEL),
        held_out_difference(better, worse, LEVEL),
    ):
        assert found.interval.low > 0
        assert found.p < 0.01
    better_folds, worse_folds = fold_pair(gains=(3.0, 0.5))
    for found in (
        cross_validated_difference(CrossValidation.of(better_folds), CrossValidation.of(worse_folds), LEVEL),
        corrected_resampled_t(fold_aucs(better_folds) - fold_aucs(worse_folds), LEVEL),
    ):
        assert found.interval.low > 0
        assert found.p < 0.01


def test_the_cross_validated_difference_is_students_t_of_the_paired_pairs() -> None:
    """Estimate, variance and p-value put together by hand: what both models share cancels before it is squared."""
    models = fold_pair(gains=(2.0, 1.2))
    first, second = (CrossValidation.of(model) for model in models)
    pairs = pairs_statistic(models[0].exams, models[0].scores, models[0].cells, minus=models[1].scores)
    error = np.sqrt(max(first.factor, second.factor) * pairs.variance(models[0].exams))
    degrees = pairs.degrees(models[0].exams)
    found = cross_validated_difference(first, second, LEVEL)
    estimate = float((fold_aucs(models[0]) - fold_aucs(models[1])).mean())

    assert found.interval.estimate == pytest.approx(estimate)
    assert found.interval.high - estimate == pytest.approx(stats.t.ppf(0.975, degrees) * error)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(estimate) / error, degrees))
    # One-sided, against a loss of .05: the same distribution, one tail.
    assert found.p_above(-0.05) == pytest.approx(stats.t.sf((estimate + 0.05) / error, degrees), rel=1e-4)


def test_the_one_sided_p_value_and_the_limit_agree() -> None:
    """Non-inferiority: p is below .025 exactly where the lower limit of the 95 % interval lies above −margin."""
    first, second = pair(80, gains=(1.6, 1.5))
    found = held_out_difference(first, second, LEVEL)
    at_limit = found.p_above(found.interval.low)

    assert at_limit == pytest.approx(0.025, abs=1e-6)
    assert found.p_above(found.interval.low - 0.01) < 0.025 < found.p_above(found.interval.low + 0.01)
    assert found.p_above(found.interval.estimate + 0.1) > 0.5


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
        cross_validated_difference(CrossValidation.of(first), CrossValidation.of(first), LEVEL)
    with pytest.raises(StatisticsError, match="same amount"):
        corrected_resampled_t(fold_aucs(second) - fold_aucs(second), LEVEL)


def test_test_models_that_coincide_have_a_wide_difference() -> None:
    """Two models with the same exams in the wrong order: the difference of 0 is as uncertain as two AUCs apart."""
    labels = np.arange(50) < 20
    scores = labels + np.linspace(0, 1.2, 50)[::-1] % 0.7 * np.where(labels, 1.0, 2.0)
    first, second = (PatientScores(exams=Exams.of(labels), scores=values) for values in (scores, 3 * scores + 1))
    found, alone = held_out_difference(first, second, LEVEL), auc_intervals(first, LEVEL)[0]

    assert 0 < alone.estimate < 1
    assert found.interval.estimate == 0
    assert found.interval.high == pytest.approx(np.hypot(alone.high - alone.estimate, alone.estimate - alone.low))
    assert found.p == 1


def test_other_folds_are_refused() -> None:
    """Cross-validations are paired cell by cell, so one fold apart is enough to refuse."""
    first, second = fold_pair(gains=(1.0, 1.0))
    folds = second.folds.copy()
    folds[0, [0, 1]] = folds[0, [1, 0]]
    if np.array_equal(folds, second.folds):
        folds[0, [0, 2]] = folds[0, [2, 0]]
    other = FoldScores(exams=second.exams, scores=second.scores, folds=folds)

    with pytest.raises(StatisticsError, match="same folds"):
        cross_validated_difference(CrossValidation.of(first), CrossValidation.of(other), LEVEL)


def test_holm_keeps_the_size_of_the_declared_family() -> None:
    """A member that was refused still counts: four declared pairs stay four."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.04), None, pytest.approx(0.09), pytest.approx(0.09)]
    assert holm([]) == []


@pytest.mark.parametrize(
    "p_values", [[0.03], [0.04, 0.01, 0.03], [0.02, 0.02, 0.5, 0.02], [1.0, 0.0, 0.3, 0.9, 0.011, 0.012]]
)
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    """The step-down adjustment against another implementation, equal p-values included."""
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_the_gate_opens_for_one_model_above_chance() -> None:
    """One interval above one half is enough to compare; none is not."""
    known = Interval(estimate=0.8, low=0.6, high=0.9, level=LEVEL, method="any")
    unknown = Interval(estimate=0.6, low=0.4, high=0.8, level=LEVEL, method="any")

    assert above_chance(known, unknown)
    assert not above_chance(unknown, unknown)
