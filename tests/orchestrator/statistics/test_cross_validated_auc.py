"""The cross-validated AUC, its design variance, and what its record refuses."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from mpi_model.errors import StatisticsError
from orchestrator.statistics.cross_validation import (
    CrossValidation,
    _agreement,
    cross_validated_auc,
    fold_aucs,
    nadeau_bengio_interval,
    training_factor,
    within_fold_interval,
)
from orchestrator.statistics.intervals import Method
from orchestrator.statistics.pairs import pairs_statistic
from orchestrator.statistics.scores import Exams, FoldScores

LEVEL = 0.95


def simulated(
    *, patients: int = 40, exams_each: int = 1, repeats: int = 3, folds: int = 4, gain: float = 1.0
) -> FoldScores:
    """Held-out scores of a moderate model; the first two fifths of the patients are positive."""
    generator = np.random.default_rng(11)
    owners = np.repeat(np.arange(patients), exams_each)
    labels = owners < 2 * patients // 5
    assigned = np.stack([_dealt(patients, folds, generator) for _ in range(repeats)])
    shared, own = generator.normal(size=owners.size), generator.normal(size=(repeats, owners.size))
    scores = np.round(0.8 * shared + 0.6 * own + gain * labels, 1)
    return FoldScores(exams=Exams.of(labels, owners), scores=scores, folds=assigned[:, owners])


def _dealt(patients: int, folds: int, generator: np.random.Generator) -> np.ndarray:
    assigned = np.empty(patients, dtype=np.int64)
    for places in np.split(np.arange(patients), [2 * patients // 5]):
        assigned[generator.permutation(places)] = np.arange(places.size) % folds
    return assigned


def test_every_fold_has_the_auc_that_scikit_learn_gives_it() -> None:
    """Fold by fold against another implementation, ties included; the estimate is their mean."""
    model = simulated()
    expected = [
        [roc_auc_score(model.exams.labels[row == fold], scores[row == fold]) for fold in range(4)]
        for row, scores in zip(model.folds, model.scores, strict=True)
    ]

    assert fold_aucs(model) == pytest.approx(np.array(expected), abs=1e-12)
    assert cross_validated_auc(model) == pytest.approx(np.mean(expected), abs=1e-12)


def test_offsets_of_folds_do_not_reach_the_estimate() -> None:
    """Adding a constant to all scores of a fold changes no cross-validated AUC, because scores are never pooled."""
    model = simulated()
    shifted = FoldScores(exams=model.exams, scores=model.scores + 50.0 * model.folds, folds=model.folds)

    assert cross_validated_auc(shifted) == pytest.approx(cross_validated_auc(model), abs=1e-12)


@pytest.mark.parametrize("second", [False, True])
def test_the_variance_over_patients_equals_the_sums_over_pairs(second: bool) -> None:
    """Against its definition, of one model and of a difference: every pair held out together, patient by patient."""
    model = simulated(exams_each=2)
    minus = (
        np.round(np.random.default_rng(3).normal(size=model.scores.shape) + model.exams.labels, 1) if second else None
    )
    labels, patients = model.exams.labels, model.exams.patients
    kernel, met = np.zeros((labels.sum(), (~labels).sum())), np.zeros((labels.sum(), (~labels).sum()))
    for repeat, row in enumerate(model.folds):
        together = row[labels][:, None] == row[~labels]
        for sign, scores in zip((1, -1), (model.scores, minus), strict=True):
            if scores is None:
                continue
            above = scores[repeat, labels][:, None] - scores[repeat, ~labels]
            kernel += sign * together * ((above > 0) + 0.5 * (above == 0))
        met += together
    mean = kernel.sum() / met.sum()
    residual = (kernel - mean * met) / met.sum()
    of_positive = np.bincount(patients[labels], residual.sum(axis=1), 40)
    of_negative = np.bincount(patients[~labels], residual.sum(axis=0), 40)
    shared = sum(
        residual[np.ix_(patients[labels] == one, patients[~labels] == other)].sum() ** 2
        for one in np.unique(patients[labels])
        for other in np.unique(patients[~labels])
    )
    found = pairs_statistic(model.exams, model.scores, model.cells, minus)
    expected = 16 / 15 * (of_positive**2).sum() + 24 / 23 * (of_negative**2).sum() - shared

    assert found.influence.auc == pytest.approx(mean, abs=1e-12)
    assert found.influence.positive == pytest.approx(of_positive, abs=1e-12)
    assert found.influence.negative == pytest.approx(of_negative, abs=1e-12)
    assert found.variance(model.exams) == pytest.approx(expected, abs=1e-14)


def test_the_variance_is_unbiased_for_networks_that_do_not_depend_on_the_patients() -> None:
    """Fixed scores, many cohorts: the mean of the estimated variance is the variance of the estimate."""
    generator = np.random.default_rng(5)
    labels = np.arange(40) < 14
    folds = np.stack([np.concatenate([np.arange(14) % 5, np.arange(26) % 5])])
    areas, variances = [], []
    for _ in range(1500):
        scores = (generator.normal(size=40) + 1.2 * labels)[None]
        found = pairs_statistic(Exams.of(labels), scores, folds)
        areas.append(found.influence.auc)
        variances.append(found.variance(Exams.of(labels)))

    # Standard error of a variance of 1,500: 4 %. Without the pairs' own part it would be a fifth too large.
    assert np.mean(variances) == pytest.approx(np.var(areas), rel=0.1)


def test_the_factor_doubles_the_variance_where_nothing_can_be_learned() -> None:
    """A linear learner at chance: twice; averaged seeds: less; a strong signal: 1.1; one repeat between them."""
    assert training_factor(0.5, 0.999, 10, 5) == pytest.approx(2.1, abs=0.01)
    assert training_factor(0.5, 0.2, 10, 5) == pytest.approx(1.1 + 0.2 / 0.28)
    assert training_factor(400.0, 0.99, 10, 5) == pytest.approx(1.1, abs=0.06)
    assert training_factor(0.5, None, 1, 5) == pytest.approx(1.9)
    assert training_factor(80.0, None, 1, 5) == pytest.approx(1.27)


def test_agreement_is_the_mean_rank_correlation_of_two_repeats() -> None:
    """Against SciPy's Spearman correlation of every pair of repeats, ties included; one repeat has none."""
    model = simulated(repeats=4)
    pairs = [(one, other) for one in range(4) for other in range(one)]
    expected = np.mean([stats.spearmanr(model.scores[one], model.scores[other]).statistic for one, other in pairs])

    assert _agreement(model) == pytest.approx(expected, abs=1e-12)
    assert _agreement(simulated(repeats=1)) is None


def test_the_interval_uses_students_t_on_the_logit_scale() -> None:
    """θ ± t √V / (θ(1 − θ)), with V the patients' variance times the factor and Welch's degrees of freedom."""
    model = simulated()
    found = CrossValidation.of(model)
    area, interval = cross_validated_auc(model), within_fold_interval(found, LEVEL)
    parts = [(part**2).sum() for part in (found.pairs.influence.positive, found.pairs.influence.negative)]
    degrees = sum(parts) ** 2 / (parts[0] ** 2 / 15 + parts[1] ** 2 / 23)
    variance = found.factor * found.pairs.variance(model.exams)
    reach = stats.t.ppf(0.975, degrees) * np.sqrt(variance) / (area * (1 - area))

    assert interval.method == Method.WITHIN_FOLD
    assert (logit(interval.low), logit(interval.high)) == pytest.approx((logit(area) - reach, logit(area) + reach))


def test_the_interval_is_wider_than_the_one_the_field_prints() -> None:
    """With ten repeats the honest interval is more than twice as wide as mean ± 1.96 SD/√(R·K)."""
    model = simulated(repeats=10)
    areas = fold_aucs(model)
    interval = within_fold_interval(CrossValidation.of(model), LEVEL)

    assert interval.high - interval.low > 2 * (2 * 1.96 * areas.std(ddof=1) / np.sqrt(areas.size))


def test_repeating_the_same_cells_buys_no_precision() -> None:
    """Ten copies of one repeat know what one knows: their variance over patients is the same."""
    once = simulated(repeats=1)
    copies = FoldScores(exams=once.exams, scores=np.tile(once.scores, (10, 1)), folds=np.tile(once.folds, (10, 1)))
    variances = [
        pairs_statistic(model.exams, model.scores, model.cells).variance(model.exams) for model in (copies, once)
    ]

    assert variances[0] == pytest.approx(variances[1])
    assert _agreement(copies) == pytest.approx(1)


def test_offsets_of_folds_do_not_reach_the_interval() -> None:
    """Adding a constant to all scores of a fold changes nothing that the variance is made from but the agreement."""
    model = simulated()
    shifted = FoldScores(exams=model.exams, scores=model.scores + 50.0 * model.folds, folds=model.folds)
    first, second = (CrossValidation.of(one) for one in (model, shifted))

    assert second.pairs.variance(model.exams) == pytest.approx(first.pairs.variance(model.exams))


def test_perfect_folds_do_not_give_a_perfect_interval() -> None:
    """Where every fold is separated the interval is Newcombe's, inflated, and its lower limit is well below 1."""
    interval = within_fold_interval(CrossValidation.of(simulated(gain=100.0)), LEVEL)

    assert interval.estimate == 1
    assert interval.low < 0.95
    assert interval.method == "Newcombe 5, inflated"


def test_nadeau_bengio_has_no_interval_without_spread() -> None:
    """Cells that all agree give no variance to correct: refused, not a point."""
    with pytest.raises(StatisticsError, match="no logit interval"):
        nadeau_bengio_interval(np.full((3, 4), 0.8), LEVEL)


def test_a_patient_in_two_folds_is_refused() -> None:
    """Exams of one patient on both sides of a cut are leakage, so the record cannot be made."""
    model = simulated(exams_each=2)
    folds = model.folds.copy()
    folds[1, 0] = (folds[1, 0] + 1) % 4

    with pytest.raises(StatisticsError, match="two folds of repeat 1"):
        FoldScores(exams=model.exams, scores=model.scores, folds=folds)


def test_a_fold_without_one_class_is_refused_by_name() -> None:
    """A fold that has no AUC names itself; it never becomes a missing value in the mean."""
    exams = Exams.of([1, 1, 0, 0, 0, 0])
    folds = np.array([[0, 0, 0, 1, 1, 1]])

    with pytest.raises(StatisticsError, match="fold 2 of 2 in repeat 1 of 1, counted in order, lacks one class"):
        FoldScores(exams=exams, scores=np.arange(6.0)[None], folds=folds)


def test_repeats_of_different_numbers_of_folds_are_refused_as_such() -> None:
    """Three folds beside two: no fold lacks a class, so none is named for it."""
    exams = Exams.of([1, 0, 1, 0, 1, 0])
    folds = np.array([[0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1]])

    with pytest.raises(StatisticsError, match="repeats have 2 to 3 folds"):
        FoldScores(exams=exams, scores=np.tile(np.arange(6.0), (2, 1)), folds=folds)


def test_stacked_repeats_cannot_pass_as_exams() -> None:
    """The rows of all repeats end to end fit no record: the exams of a cross-validation are its columns."""
    model = simulated()

    with pytest.raises(StatisticsError, match="shape"):
        FoldScores(exams=model.exams, scores=model.scores.ravel(), folds=model.folds.ravel())
