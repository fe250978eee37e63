"""Grouped and smooth calibration, and the bands of ROC curves, against other programs and naive reimplementations."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from sklearn.metrics import roc_curve as sklearn_roc_curve
from statsmodels.stats.proportion import proportion_confint

from orchestrator.statistics.calibration_curve import calibration_curve, calibration_groups
from orchestrator.statistics.roc import mean_curve, patient_band, roc_curve
from orchestrator.statistics.scores import Exams, FoldScores

GENERATOR = np.random.default_rng(7)
PROBABILITIES = expit(GENERATOR.normal(size=140))
LABELS = GENERATOR.random(140) < PROBABILITIES


def test_groups_of_140_patients_have_wilsons_intervals() -> None:
    """Seven groups of twenty with the limits that statsmodels computes, to 1e-9."""
    groups = calibration_groups(PROBABILITIES, Exams.of(LABELS), 0.95)
    order = np.argsort(PROBABILITIES)
    expected = [
        (PROBABILITIES[part].mean(), *proportion_confint(LABELS[part].sum(), part.size, method="wilson"))
        for part in np.split(order, 7)
    ]

    assert [(one.predicted, one.observed.low, one.observed.high) for one in groups] == [
        pytest.approx(line, abs=1e-9) for line in expected
    ]


@pytest.mark.parametrize("size", [12, 40, 99])
def test_small_cohorts_have_five_groups(size: int) -> None:
    """Calibration is shown at any size, in five groups at least."""
    groups = calibration_groups(PROBABILITIES[:size], Exams.of(LABELS[:size]), 0.95)

    assert len(groups) == 5
    assert sum(one.exams for one in groups) == pytest.approx(size)


def test_repeats_do_not_make_groups_surer() -> None:
    """Ten equal repeats of a cross-validation have the groups and intervals of one."""
    exams = Exams.of(LABELS)
    once, often = (
        [
            (one.predicted, one.observed.estimate, one.observed.low, one.observed.high, one.exams)
            for one in calibration_groups(values, exams, 0.95)
        ]
        for values in (PROBABILITIES, np.tile(PROBABILITIES, (10, 1)))
    )

    assert np.array(often) == pytest.approx(np.array(once))


def test_the_logistic_curve_is_that_of_statsmodels() -> None:
    """Below 200 patients the curve is a logistic recalibration, to 1e-9 as statsmodels fits it, inside its band."""
    curve = calibration_curve(PROBABILITIES, Exams.of(LABELS), 0.95)
    fit = sm.GLM(LABELS.astype(float), sm.add_constant(logit(PROBABILITIES)), family=sm.families.Binomial()).fit(
        tol=1e-14
    )

    assert curve is not None
    assert curve.kind == "logistic"
    expected = fit.predict(sm.add_constant(logit(curve.predicted)))
    assert curve.observed == pytest.approx(expected, abs=1e-9)
    assert np.all((curve.low <= curve.observed) & (curve.observed <= curve.high))


def test_the_local_curve_is_that_of_statsmodels() -> None:
    """From 200 patients on the curve is loess: statsmodels' at the same points to 1e-9, and the band that of copies."""
    generator = np.random.default_rng(3)
    probabilities = np.round(expit(generator.normal(size=260)), 2)  # many ties
    labels = generator.random(260) < probabilities
    curve = calibration_curve(probabilities, Exams.of(labels), 0.95)

    def lowess(rows: np.ndarray, points: np.ndarray) -> np.ndarray:
        return sm.nonparametric.lowess(labels[rows], probabilities[rows], frac=0.75, it=0, xvals=points)

    assert curve is not None
    assert curve.kind == "loess"
    assert curve.observed == pytest.approx(lowess(np.arange(260), curve.predicted), abs=1e-9)
    ends = curve.predicted[[0, 25, 50]]
    drawn = np.array([lowess(generator.integers(0, 260, 260), ends) for _ in range(400)])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    assert curve.low[[0, 25, 50]] == pytest.approx(low, abs=0.05)
    assert curve.high[[0, 25, 50]] == pytest.approx(high, abs=0.05)


def test_few_events_have_no_curve() -> None:
    """Nineteen events carry groups and no curve."""
    labels = np.zeros(140, dtype=bool)
    labels[:19] = True
    assert calibration_curve(PROBABILITIES, Exams.of(labels), 0.95) is None


def test_a_roc_curve_is_that_of_scikit_learn() -> None:
    """Every point of the curve is one of scikit-learn's, ties included."""
    scores = np.round(PROBABILITIES, 1)
    false, true, _ = sklearn_roc_curve(LABELS, scores, drop_intermediate=False)

    assert roc_curve(scores, LABELS) == pytest.approx(np.column_stack([false, true]))


def test_the_band_of_a_mean_curve_is_that_of_a_naive_bootstrap() -> None:
    """Patients drawn with copies, curve by curve, give the band that weights give; repeats do not narrow it."""
    exams, folds = Exams.of(LABELS[:40]), np.arange(40) % 2
    model = FoldScores(exams=exams, scores=PROBABILITIES[None, :40], folds=folds[None].astype(np.int64))
    grid, mean = mean_curve(model)
    low, high = patient_band(model, 0.9, 300)
    curves = []
    generator = np.random.default_rng(0)
    for _ in range(300):
        drawn = generator.integers(0, 40, 40)
        parts = [drawn[folds[drawn] == fold] for fold in (0, 1)]
        if all(0 < LABELS[part].sum() < part.size for part in parts):
            found = [roc_curve(PROBABILITIES[part], LABELS[part]) for part in parts]
            curves.append(np.mean([np.interp(grid, *one.T) for one in found], axis=0))

    assert np.all((low <= mean + 1e-12) & (mean <= high + 1e-12))
    assert np.quantile(curves, 0.05, axis=0) == pytest.approx(low, abs=0.12)
    assert np.quantile(curves, 0.95, axis=0) == pytest.approx(high, abs=0.12)
    both = FoldScores(exams=exams, scores=np.tile(model.scores, (2, 1)), folds=np.tile(model.folds, (2, 1)))
    assert np.array(patient_band(both, 0.9, 300)) == pytest.approx(np.array([low, high]))
