"""The cross-validated AUC, its design variance, and what its record refuses."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from mpi_model.errors import StatisticsError
from orchestrator.statistics.auc import delong_variance, influence_variance
from orchestrator.statistics.cross_validation import (
    INFLATED_LOGIT,
    cross_validated_auc,
    design_variance,
    fold_aucs,
    inflated_logit_interval,
    nadeau_bengio_factor,
    nadeau_bengio_interval,
    within_fold_influence,
)
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


def test_the_within_fold_variance_equals_the_sum_over_pairs() -> None:
    """V_U against its definition: every pair that was ever held out together, summed patient by patient."""
    model = simulated(exams_each=2)
    labels, patients = model.exams.labels, model.exams.patients
    pairs = np.zeros((labels.sum(), (~labels).sum()))
    met = np.zeros_like(pairs)
    for row, scores in zip(model.folds, model.scores, strict=True):
        together = row[labels][:, None] == row[~labels]
        above = scores[labels][:, None] - scores[~labels]
        pairs += together * ((above > 0) + 0.5 * (above == 0))
        met += together
    area = pairs.sum() / met.sum()
    residual = pairs - area * met
    of_positive = np.bincount(patients[labels], residual.sum(axis=1), 40) / met.sum()
    of_negative = np.bincount(patients[~labels], residual.sum(axis=0), 40) / met.sum()
    influence = within_fold_influence(model)

    assert influence.auc == pytest.approx(area, abs=1e-12)
    assert influence.positive == pytest.approx(of_positive, abs=1e-12)
    assert influence.negative == pytest.approx(of_negative, abs=1e-12)


def test_the_design_variance_is_inflated_and_takes_the_larger_part() -> None:
    """V = c · max(V_U, V_DL), with c = 1/R + K/(K − 1), where the two parts differ."""
    model = simulated()
    factor = nadeau_bengio_factor(4, 3)
    parts = influence_variance(within_fold_influence(model), model.exams), delong_variance(model.average())

    assert factor == pytest.approx(1 / 3 + 4 / 3)
    assert nadeau_bengio_factor(5, 5) == pytest.approx(1.45)
    assert max(parts) > 1.05 * min(parts)
    assert design_variance(model) == pytest.approx(factor * max(parts), rel=1e-12)


def test_the_interval_uses_students_t_of_the_smaller_class() -> None:
    """On the logit scale: θ ± t √V / (θ(1 − θ)), with the sixteen positive patients' fifteen degrees of freedom."""
    model = simulated()
    area, interval = cross_validated_auc(model), inflated_logit_interval(model, LEVEL)
    reach = stats.t.ppf(0.975, 15) * np.sqrt(design_variance(model)) / (area * (1 - area))

    assert (logit(interval.low), logit(interval.high)) == pytest.approx((logit(area) - reach, logit(area) + reach))


def test_the_interval_is_wider_than_the_one_the_field_prints() -> None:
    """The honest interval is more than twice mean ± 1.96 SD/√(R·K)."""
    model = simulated(repeats=10)
    areas = fold_aucs(model)
    interval = inflated_logit_interval(model, LEVEL)

    assert interval.method == INFLATED_LOGIT
    assert interval.high - interval.low > 2 * (2 * 1.96 * areas.std(ddof=1) / np.sqrt(areas.size))


def test_repeating_the_same_cells_does_not_buy_precision() -> None:
    """Ten copies of one repeat know little more than one: 1/R of the factor c is all that repeats buy."""
    once = simulated(repeats=1)
    copies = FoldScores(exams=once.exams, scores=np.tile(once.scores, (10, 1)), folds=np.tile(once.folds, (10, 1)))
    narrow, wide = (inflated_logit_interval(model, LEVEL) for model in (copies, once))

    assert design_variance(copies) / design_variance(once) == pytest.approx((0.1 + 4 / 3) / (1 + 4 / 3))
    assert narrow.high - narrow.low > 0.75 * (wide.high - wide.low)


def test_perfect_folds_do_not_give_a_perfect_interval() -> None:
    """Where every fold is separated the interval is Newcombe's, inflated, and its lower limit is well below 1."""
    interval = inflated_logit_interval(simulated(gain=100.0), LEVEL)

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

    with pytest.raises(StatisticsError, match="fold 1 of repeat 0 lacks one class"):
        FoldScores(exams=exams, scores=np.arange(6.0)[None], folds=folds)


def test_stacked_repeats_cannot_pass_as_exams() -> None:
    """The rows of all repeats end to end fit no record: the exams of a cross-validation are its columns."""
    model = simulated()

    with pytest.raises(StatisticsError, match="shape"):
        FoldScores(exams=model.exams, scores=model.scores.ravel(), folds=model.folds.ravel())
