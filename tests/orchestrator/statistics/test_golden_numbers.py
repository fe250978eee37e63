"""Published and independently derived numbers, to the digits they were given with."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from orchestrator.statistics.auc import (
    auc,
    auc_influence,
    delong_variance,
    influence_covariance,
    logit_delong_interval,
    newcombe_interval,
    wins,
)
from orchestrator.statistics.chance import mann_whitney
from orchestrator.statistics.comparisons import corrected_resampled_t, correlated_bayesian_t, paired_delong
from orchestrator.statistics.cross_validation import cross_validated_auc, fold_aucs
from orchestrator.statistics.precision import expected_width
from orchestrator.statistics.scores import Exams, FoldScores, PatientScores

LEVEL = 0.95
POSITIVE, NEGATIVE = [0.9, 0.8, 0.7, 0.7, 0.4], [0.7, 0.5, 0.4, 0.3, 0.2, 0.1]


@pytest.fixture
def tied() -> PatientScores:
    return PatientScores(exams=Exams.of([1] * 5 + [0] * 6), scores=np.array(POSITIVE + NEGATIVE))


@pytest.fixture
def ovarian(shared_data: Path) -> dict[str, PatientScores]:
    frame = pd.read_csv(shared_data / "roc" / "ovarian.csv")
    exams = Exams.of(frame["died"])
    markers = {
        "albumin": frame["albumin"],
        "total_protein": frame["total_protein"],
        "krebs_goplerud": 10 - frame["total_score"],
    }
    return {name: PatientScores(exams=exams, scores=values.to_numpy(float)) for name, values in markers.items()}


def test_ties_count_half_in_the_auc_its_placements_and_its_variance(tied: PatientScores) -> None:
    """The worked example with ties between and within classes: AUC, placements and DeLong's variance by hand."""
    won, opponents = wins(tied.scores, tied.exams.labels, np.zeros(11, dtype=np.int64))

    assert auc(tied) == pytest.approx(0.8833333333, abs=1e-10)
    assert won / opponents == pytest.approx([1, 1, 11 / 12, 11 / 12, 7 / 12, 0.6, 0.8, 0.9, 1, 1, 1], abs=1e-12)
    assert delong_variance(tied) == pytest.approx(0.01025, abs=1e-12)


def test_the_logit_interval_of_the_tied_example_stays_below_one(tied: PatientScores) -> None:
    """Wald's interval of the same data ends at 1.08; the logit one reproduces [.5247057, .9811064]."""
    interval = logit_delong_interval(tied, LEVEL)

    assert (interval.low, interval.high) == pytest.approx((0.5247057, 0.9811064), abs=5e-8)


@pytest.mark.parametrize(
    ("area", "positives", "negatives", "low", "high"),
    [
        (1.0, 10, 10, 0.8002, 1.0),
        (1.0, 20, 20, 0.8987, 1.0),
        (0.88, 10, 10, 0.6315, 0.9655),
        (0.88, 20, 20, 0.7209, 0.9508),
        (0.7313685636856369, 41, 72, 0.6244, 0.8140),
        (0.8236788617886179, 41, 72, 0.7269, 0.8886),
        (0.6119579945799458, 41, 72, 0.5008, 0.7108),
        (0.8931710615, 51, 58, 0.8117, 0.9400),
        (1.0, 6, 14, 0.768, 1.0),
        (1.0, 30, 30, 0.933, 1.0),
    ],
)
def test_newcombe_5_reproduces_its_table(area: float, positives: int, negatives: int, low: float, high: float) -> None:
    """Newcombe's method 5 for perfect separation, small classes, three markers of aSAH and Hanley & McNeil's reader."""
    interval = newcombe_interval(area, positives, negatives, LEVEL)

    digits = 5e-4 if low in (0.768, 0.933) else 5.1e-5
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=digits)


@pytest.mark.parametrize(
    ("each", "low", "high"), [(15, 0.688, 0.957), (25, 0.742, 0.946), (50, 0.791, 0.932), (100, 0.822, 0.920)]
)
def test_the_precision_statement_agrees_with_the_study(each: int, low: float, high: float) -> None:
    """What an AUC of .88 comes with at equal class sizes; 20 to 25 patients give the reference study's [.67, .99]."""
    expected = expected_width(each, each, 0.88)

    assert (expected.interval.low, expected.interval.high) == pytest.approx((low, high), abs=6e-4)


def test_delong_reproduces_the_ovarian_markers(ovarian: dict[str, PatientScores]) -> None:
    """AUCs, standard errors and the joint test of DeLong, DeLong & Clarke-Pearson's own data."""
    influences = [auc_influence(marker) for marker in ovarian.values()]
    areas = np.array([influence.auc for influence in influences])
    covariance = influence_covariance(influences, next(iter(ovarian.values())).exams)
    contrasts = np.array([[1, 0, -1], [0, 1, -1]])
    distance = contrasts @ areas
    chi2 = distance @ np.linalg.solve(contrasts @ covariance @ contrasts.T, distance)

    assert areas == pytest.approx([0.7366, 0.6478, 0.7258], abs=5e-5)
    assert np.sqrt(np.diag(covariance)) == pytest.approx([0.0927, 0.1000, 0.1028], abs=5.1e-5)
    assert chi2 == pytest.approx(2.5340, abs=5e-5)
    assert stats.chi2.sf(chi2, 2) == pytest.approx(0.2817, abs=5e-5)


@pytest.mark.parametrize(
    ("first", "difference", "error", "p"),
    [("albumin", 0.0108, 0.0953, 0.9102), ("total_protein", -0.0780, 0.1046, 0.4561)],
)
def test_paired_delong_reproduces_the_ovarian_contrasts(
    ovarian: dict[str, PatientScores], first: str, difference: float, error: float, p: float
) -> None:
    """The two single contrasts with the Krebs–Goplerud score."""
    found = paired_delong(ovarian[first], ovarian["krebs_goplerud"], LEVEL)

    assert found.interval.estimate == pytest.approx(difference, abs=5e-5)
    assert (found.interval.high - found.interval.low) / 2 / 1.959963985 == pytest.approx(error, abs=5e-5)
    assert found.p == pytest.approx(p, abs=5e-5)


def test_the_ct_readings_of_hanley_and_mcneil() -> None:
    """The five-level readings of 1982: W = .893, Q1 and Q2 with their SE of .032, DeLong's beside it."""
    normal, abnormal = np.repeat(range(5), [33, 6, 6, 11, 2]), np.repeat(range(5), [3, 2, 2, 11, 33])
    model = PatientScores(
        exams=Exams.of(np.repeat([1, 0], [51, 58])), scores=np.concatenate([abnormal, normal]).astype(float)
    )
    area = auc(model)
    # Two readings both on the right side of a third; ties are broken at random, hence the third of the square.
    q1, q2 = (
        np.mean([(right**2 + right * tied + tied**2 / 3) for right, tied in zip(*counts, strict=True)])
        for counts in (
            [[np.mean(abnormal > one) for one in normal], [np.mean(abnormal == one) for one in normal]],
            [[np.mean(normal < one) for one in abnormal], [np.mean(normal == one) for one in abnormal]],
        )
    )
    variance = (area * (1 - area) + 50 * (q1 - area**2) + 57 * (q2 - area**2)) / (51 * 58)

    assert area == pytest.approx(0.8931710615, abs=5e-11)
    assert (q1, q2) == pytest.approx((0.8182043158, 0.8312505343), abs=5e-11)
    assert np.sqrt(variance) == pytest.approx(0.0319904082, abs=5e-11)
    assert np.sqrt(delong_variance(model)) == pytest.approx(0.0307244084, abs=5e-11)


def test_cvauc_admissions(shared_data: Path) -> None:
    """The R package cvAUC on its own example: the mean fold AUC, and LeDell's SE from our placements, to 7 digits."""
    fold, label, score = np.loadtxt(shared_data / "cvauc" / "admissions_fold_y_pred.csv", delimiter=",").T
    folds = (fold - fold.min()).astype(np.int64)
    model = FoldScores(exams=Exams.of(label), scores=score[None], folds=folds[None])
    # In its variance cvAUC counts a tie as lost, so the positives are nudged down.
    won, opponents = wins(score - 1e-12 * label, label == 1, folds)
    centred = won / opponents - fold_aucs(model)[0][folds]
    share = np.where(label == 1, label.mean(), 1 - label.mean())
    variances = [((centred / share)[folds == one] ** 2).mean() for one in range(10)]

    assert cross_validated_auc(model) == pytest.approx(0.9046473, abs=5e-8)
    assert np.sqrt(np.mean(variances) / 500) == pytest.approx(0.01620238, abs=5e-9)


def test_nadeau_bengio_and_the_bayesian_t_agree_with_baycomp() -> None:
    """Baycomp's numbers for two runs of five folds: variance, p, and probabilities with and without rope."""
    first = np.array([0.80, 0.85, 0.78, 0.90, 0.82, 0.79, 0.88, 0.81, 0.86, 0.84])
    second = np.array([0.83, 0.86, 0.80, 0.91, 0.84, 0.80, 0.90, 0.84, 0.85, 0.88])
    differences = (second - first).reshape(2, 5)
    with_rope, without = correlated_bayesian_t(differences, 0.01), correlated_bayesian_t(differences, 0.0)

    assert differences.var(ddof=1) == pytest.approx(0.000195556, abs=5e-10)
    assert corrected_resampled_t(differences, LEVEL).p == pytest.approx(0.0575743684, abs=5e-11)
    assert (with_rope.below, with_rope.inside, with_rope.above) == pytest.approx(
        (0.0040348644, 0.1753726075, 0.8205925281), abs=5e-11
    )
    assert (without.below, without.above) == pytest.approx((0.0287871842, 0.9712128158), abs=5e-11)


def test_the_exact_p_value_of_ten_separated_from_ten() -> None:
    """2 / C(20, 10): the smallest two-sided p that ten and ten exams can give."""
    model = PatientScores(exams=Exams.of([1] * 10 + [0] * 10), scores=np.arange(20.0)[::-1].copy())

    assert mann_whitney(model).p == pytest.approx(2 / 184756, rel=1e-12)
    assert mann_whitney(model).method == "exact Mann–Whitney"


def test_influences_of_an_auc_sum_to_zero(tied: PatientScores) -> None:
    """What patients contribute is measured around the estimate, in either class."""
    influence = auc_influence(tied)

    assert influence.positive.sum() == pytest.approx(0, abs=1e-15)
    assert influence.negative.sum() == pytest.approx(0, abs=1e-15)
