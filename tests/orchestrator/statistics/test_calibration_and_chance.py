"""Calibration, net benefit, chance, precision and the split of the spread."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from mpi_model.errors import StatisticsError
from orchestrator.statistics.calibration import (
    brier_interval,
    brier_score,
    calibration_in_the_large,
    calibration_slope,
)
from orchestrator.statistics.chance import mann_whitney, permutation_p_value
from orchestrator.statistics.intervals import Interval
from orchestrator.statistics.net_benefit import net_benefit
from orchestrator.statistics.precision import expected_width, further_interval
from orchestrator.statistics.scores import Exams, FoldScores, PatientScores
from orchestrator.statistics.variance import Stability, VarianceSplit

LEVEL = 0.95


def calibrated(size: int = 4000, *, slope: float = 1.0, shift: float = 0.0, seed: int = 0) -> PatientScores:
    """Probabilities whose logit was distorted by a slope and a shift after the outcomes were drawn."""
    generator = np.random.default_rng(seed)
    true = generator.normal(-0.5, 1.2, size=size)
    labels = generator.random(size) < expit(true)
    return PatientScores(exams=Exams.of(labels), scores=expit(slope * true + shift))


def test_brier_agrees_with_scikit_learn() -> None:
    """The mean squared distance of probability and outcome, against another implementation."""
    model = calibrated(200)

    assert brier_score(model) == pytest.approx(brier_score_loss(model.exams.labels, model.scores))


def test_the_brier_interval_is_that_of_a_mean_over_patients() -> None:
    """For many patients the limits are mean ± 1.96 SE of the squared errors, prevalence and all."""
    model = calibrated(2000)
    errors = (model.scores - model.exams.labels) ** 2
    found = brier_interval(model.scores, model.exams, LEVEL)

    assert found.high - found.low == pytest.approx(2 * 1.96 * errors.std(ddof=1) / np.sqrt(2000), rel=0.005)


def test_recalibration_agrees_with_statsmodels() -> None:
    """Intercept, slope and their standard errors against another solver, with one and with several exams a patient."""
    generator = np.random.default_rng(4)
    for exams_each in (1, 3):
        logits = 1.7 * generator.normal(size=120)
        labels = (generator.random(120) < expit(0.6 * logits - 0.4)).astype(int)
        model = PatientScores(exams=Exams.of(labels, np.arange(120) // exams_each), scores=expit(logits))
        kind = {"cov_type": "cluster", "cov_kwds": {"groups": model.exams.patients}} if exams_each > 1 else {}
        slope = GLM(labels, np.column_stack([np.ones(120), logits]), family=Binomial()).fit(**kind)
        large = GLM(labels, np.ones(120), family=Binomial(), offset=logits).fit(**kind)
        for found, fit, place in (
            (calibration_slope(model, LEVEL), slope, 1),
            (calibration_in_the_large(model, LEVEL), large, 0),
        ):
            assert found.estimate == pytest.approx(fit.params[place], abs=1e-7)
            assert (found.high - found.low) / 2 == pytest.approx(stats.norm.ppf(0.975) * fit.bse[place], rel=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_calibration_in_the_large_solves_its_equation(seed: int) -> None:
    """With probabilities of 0, 1 and anything between, expected and observed events agree after the shift."""
    generator = np.random.default_rng(seed)
    probabilities = np.clip(generator.normal(0.5, 1.0, size=9), 0, 1)
    labels = np.arange(9) < generator.integers(1, 9)
    model = PatientScores(exams=Exams.of(generator.permutation(labels)), scores=probabilities)
    shift = calibration_in_the_large(model, LEVEL).estimate
    inside = np.clip(probabilities, 1e-7, 1 - 1e-7)

    assert expit(logit(inside) + shift).sum() == pytest.approx(labels.sum(), abs=1e-9)


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_the_slope_undoes_the_distortion(slope: float) -> None:
    """Logits stretched by a factor have the slope one over it, inside its interval, as in an unpenalised regression."""
    model = calibrated(slope=slope)
    found = calibration_slope(model, LEVEL)
    reference = LogisticRegression(C=np.inf).fit(logit(model.scores)[:, None], model.exams.labels).coef_[0, 0]

    assert found.low < 1 / slope < found.high
    assert found.estimate == pytest.approx(reference, rel=1e-3)


def test_calibration_in_the_large_undoes_a_shift() -> None:
    """Logits raised by .7 for everybody predict too high, by −.7 on the logit scale."""
    found = calibration_in_the_large(calibrated(shift=0.7), LEVEL)

    assert found.low < -0.7 < found.high


def test_several_exams_a_patient_widen_the_slope() -> None:
    """Ten copies of every exam tell nothing new: clustered errors stay, while errors by row would shrink to a third."""
    once = calibrated(300)
    tenfold = PatientScores(
        exams=Exams.of(np.tile(once.exams.labels, 10), np.tile(np.arange(300), 10)), scores=np.tile(once.scores, 10)
    )
    narrow, wide = (calibration_slope(model, LEVEL) for model in (tenfold, once))

    assert narrow.high - narrow.low == pytest.approx(wide.high - wide.low, rel=0.25)
    assert narrow.method == "logistic recalibration, patient-clustered"


def test_separated_classes_have_no_slope() -> None:
    """An infinite slope is refused in one line, without a warning from the solver."""
    model = PatientScores(exams=Exams.of([0, 0, 0, 1, 1]), scores=np.array([0.1, 0.2, 0.3, 0.3, 0.9]))

    with pytest.raises(StatisticsError, match="infinite"):
        calibration_slope(model, LEVEL)


def test_net_benefit_of_a_perfect_test_and_of_treating_all() -> None:
    """A perfect test gains the prevalence at every threshold; treating all gains π − (1 − π) t/(1 − t)."""
    exams = Exams.of(np.arange(750) < 105)
    found = {at: net_benefit(exams.labels * 1.0, exams, at, LEVEL) for at in (0.10, 0.15, 0.20)}

    assert [one.model.estimate for one in found.values()] == pytest.approx([0.14] * 3)
    # dcurves prints these for its 750 patients with 105 events.
    assert [one.treat_all for one in found.values()] == pytest.approx([0.0444444444, -0.0117647059, -0.075], abs=5e-11)
    assert all(one.treat_none == 0 for one in found.values())


def test_a_binary_predictor_reproduces_dcurves() -> None:
    """Dcurves' family history: the counts behind its printed net benefits give all five of them."""
    # 24 of 105 with cancer and 91 of 645 without have it; net benefit TP/n − FP/n · t/(1 − t).
    labels = np.arange(750) < 105
    history = np.concatenate([np.arange(105) < 24, np.arange(645) < 91]).astype(float)
    found = [net_benefit(history, Exams.of(labels), at, LEVEL).model.estimate for at in (0.05, 0.10, 0.15, 0.20, 0.30)]

    assert found == pytest.approx([0.0256140351, 0.0185185185, 0.0105882353, 0.0016666667, -0.02], abs=5e-11)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5])
def test_net_benefit_covers_when_the_prevalence_varies(threshold: float) -> None:
    """Patients taken as they come: the interval holds the true net benefit about 95 times in 100.

    Within classes a bootstrap covered .28, .67 and .82 here: it holds the prevalence fixed.
    """
    generator = np.random.default_rng(9)
    population = calibrated(200_000, seed=1)
    odds = threshold / (1 - threshold)
    gain = np.where(population.exams.labels, 1.0, -odds)
    truth = float(np.where(population.scores >= threshold, gain, 0.0).mean())
    covered = 0
    for _ in range(600):
        rows = generator.integers(0, 200_000, size=80)
        found = net_benefit(population.scores[rows], Exams.of(population.exams.labels[rows]), threshold, LEVEL).model
        covered += found.low <= truth <= found.high

    # Three standard errors of .95 in 600 simulations are .027.
    assert 0.95 - 0.027 < covered / 600 < 0.95 + 0.027


def test_probabilities_outside_the_unit_interval_are_refused() -> None:
    """Raw scores are not probabilities, and say so before a Brier score is printed."""
    with pytest.raises(StatisticsError, match="probabilities lie in"):
        brier_score(PatientScores(exams=Exams.of([0, 1]), scores=np.array([-2.0, 3.0])))


def test_ties_take_the_normal_form_of_mann_whitney() -> None:
    """The exact distribution knows no ties, so tied scores are tested with the tie-corrected normal one."""
    tied = PatientScores(exams=Exams.of([1, 1, 1, 0, 0, 0]), scores=np.array([3.0, 2, 2, 2, 1, 1]))
    flat = PatientScores(exams=Exams.of([1, 1, 0, 0]), scores=np.zeros(4))

    assert mann_whitney(tied).method == "Mann–Whitney, normal with tie correction"
    assert mann_whitney(flat).p == 1


def test_exams_of_one_patient_are_not_ranked_as_strangers() -> None:
    """Copying every exam must not make a chance result significant."""
    generator = np.random.default_rng(2)
    labels, scores = np.arange(30) < 15, generator.normal(size=30) + 0.6 * (np.arange(30) < 15)
    once = PatientScores(exams=Exams.of(labels), scores=scores)
    copies = PatientScores(exams=Exams.of(np.tile(labels, 8), np.tile(np.arange(30), 8)), scores=np.tile(scores, 8))

    assert "clustered" in mann_whitney(copies).method
    assert mann_whitney(copies).p == pytest.approx(mann_whitney(once).p, abs=0.05)


def test_the_permutation_p_value_counts_the_observed_run() -> None:
    """(1 + #{permuted ≥ observed}) / (1 + B): 99 permutations that never reach it give .01, not 0."""
    assert permutation_p_value(0.9, np.full(99, 0.5)) == 0.01
    assert permutation_p_value(0.5, np.array([0.5, 0.4, 0.6])) == 0.75


def test_more_patients_and_repeats_buy_what_their_closed_forms_say() -> None:
    """On the logit scale four times the patients halve an interval, and repeats leave ρ + (1 − ρ)/R of a variance."""
    found = Interval(estimate=0.8, low=0.7, high=0.88, level=0.95, method="m")

    def shrunk(agreement: float | None, repeats: int, more: int, patients: float) -> tuple[float, float]:
        supposed = further_interval(found, agreement, repeats, more_repeats=more, patients=patients)
        assert supposed is not None
        centre = logit(found.estimate)
        return tuple(
            (logit(then) - centre) / (logit(now) - centre)
            for then, now in ((supposed.low, found.low), (supposed.high, found.high))
        )

    assert shrunk(None, 1, 1, 4.0) == pytest.approx((0.5, 0.5))
    assert shrunk(1.0, 2, 20, 1.0) == pytest.approx((1.0, 1.0))  # repeats that agree in all judge the same patients
    assert shrunk(0.0, 2, 8, 1.0) == pytest.approx((0.5, 0.5))
    assert shrunk(0.6, 2, 10, 1.0)[0] == pytest.approx(np.sqrt((0.6 + 0.04) / (0.6 + 0.2)))
    assert further_interval(found, None, 1, more_repeats=2, patients=1.0) is None


def test_expected_width_shrinks_with_patients_and_grows_with_folds() -> None:
    """Precision before training: more patients narrow it, the design factor of cross-validation widens it."""
    few, many = expected_width(20, 30), expected_width(80, 120)
    folded = expected_width(80, 120, folds=5, repeats=10)

    assert few.width > many.width
    assert folded.width > many.width
    assert (folded.positives, folded.negatives) == (80, 120)


def test_the_spread_over_cells_is_mostly_small_folds() -> None:
    """Fixed models on finite folds: what patients alone cause explains the variance; repeats and seeds add nothing."""
    generator = np.random.default_rng(8)
    exams = Exams.of(np.arange(400) < 200)
    folds = np.stack([np.tile(generator.permutation(np.arange(200) % 5), 2) for _ in range(20)])
    scores = generator.normal(size=(20, 400)) + 1.2 * exams.labels
    split = VarianceSplit.of(FoldScores(exams=exams, scores=scores, folds=folds))

    assert split.patients == pytest.approx(split.cells, rel=0.35)
    assert split.repeats < 0.2 * split.cells
    assert split.members is None


def test_members_that_differ_are_seen_in_the_split() -> None:
    """Refitting with other seeds spreads AUCs within a cell; that part is reported as the members'."""
    generator = np.random.default_rng(8)
    exams = Exams.of(np.arange(60) < 30)
    folds = np.tile(np.arange(30) % 3, 2)[None].repeat(2, axis=0)
    base = generator.normal(size=(1, 2, 60)) + exams.labels
    same, other = base.repeat(3, axis=0), base + generator.normal(size=(3, 2, 60))
    model = FoldScores(exams=exams, scores=base[0], folds=folds)

    assert VarianceSplit.of(model, same).members == pytest.approx(0)
    assert VarianceSplit.of(model, other).members > 0.001


def test_unstable_and_wrong_exams_are_named_by_row() -> None:
    """One exam flips in half of the repeats, one is always wrong: both are found."""
    exams = Exams.of([1, 1, 0, 0])
    folds = np.array([[0, 1, 0, 1]] * 4)
    model = FoldScores(exams=exams, scores=np.zeros((4, 4)), folds=folds)
    probabilities = np.array([[0.9, 0.6, 0.8, 0.1], [0.9, 0.4, 0.8, 0.1], [0.9, 0.6, 0.8, 0.1], [0.9, 0.4, 0.8, 0.1]])
    found = Stability.of(model, probabilities, probabilities >= 0.5)

    assert found.flips.tolist() == [0, 0.5, 0, 0]
    assert found.most_often_wrong(3).tolist() == [2, 1]
    assert found.probability_range == pytest.approx([0, 0.2, 0, 0])
