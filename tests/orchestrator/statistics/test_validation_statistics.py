"""Recalibration and distances of maps, against statsmodels and plain loops."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from sklearn.covariance import LedoitWolf

from mpi_model.errors import StatisticsError
from orchestrator.statistics.map_distances import map_distances
from orchestrator.statistics.recalibration import recalibrated
from orchestrator.statistics.scores import Exams, PatientScores


def _model(patients=None) -> PatientScores:
    random = np.random.default_rng(3)
    scores = random.normal(0, 1.5, 120)
    labels = random.random(120) < expit(0.4 + 0.6 * scores)
    return PatientScores(exams=Exams.of(labels, patients), scores=expit(scores))


def test_recalibration_is_the_logistic_regression_of_statsmodels():
    """Intercept, slope and their Wald intervals are those of `sm.Logit`; probabilities are its fitted values."""
    model = _model()
    fitted = sm.Logit(model.exams.labels.astype(float), sm.add_constant(logit(model.scores))).fit(disp=0)
    found = recalibrated(model, 0.9)
    for interval, value, limits in zip(
        (found.intercept, found.slope), fitted.params, fitted.conf_int(0.1), strict=True
    ):
        assert (interval.estimate, interval.low, interval.high) == pytest.approx((value, *limits), abs=1e-7)
    assert found.probabilities == pytest.approx(fitted.predict(), abs=1e-7)


def test_several_exams_of_a_patient_give_the_clustered_interval_of_statsmodels():
    """With patients of several exams, errors are statsmodels' cluster-robust ones."""
    patients = np.arange(120) // 3
    model = _model(patients)
    design = sm.add_constant(logit(model.scores))
    fitted = sm.Logit(model.exams.labels.astype(float), design).fit(
        disp=0, cov_type="cluster", cov_kwds={"groups": patients}
    )
    found = recalibrated(model, 0.95)
    assert (found.intercept.low, found.slope.high) == pytest.approx(
        (fitted.conf_int()[0, 0], fitted.conf_int()[1, 1]), abs=1e-6
    )


def test_held_out_recalibration_never_sees_the_patient_it_is_for():
    """Another label of one patient changes nobody's held-out probability in that tenth, and others' elsewhere."""
    model = _model(np.arange(120) // 3)
    labels = model.exams.labels.copy()
    labels[:3] = ~labels[:3]
    changed = PatientScores(exams=Exams.of(labels, np.arange(120) // 3), scores=model.scores)
    before, after = recalibrated(model, 0.95).held_out, recalibrated(changed, 0.95).held_out
    same_tenth = model.exams.patients % 10 == 0
    assert after[same_tenth].tolist() == before[same_tenth].tolist()
    assert (after[~same_tenth] != before[~same_tenth]).all()


@pytest.mark.parametrize("scores", [np.full(8, 0.4), np.linspace(0.1, 0.9, 8)])
def test_recalibration_without_a_maximum_is_refused(scores):
    """Equal probabilities, or probabilities that part the classes, have no finite fit."""
    with pytest.raises(StatisticsError, match="equal or separate"):
        recalibrated(PatientScores(exams=Exams.of(np.arange(8) >= 4), scores=scores), 0.95)


def test_distances_are_measured_from_other_patients():
    """A plain loop over tenths of the patients gives the training distances; new exams are measured from all."""
    random = np.random.default_rng(1)
    training, new = random.normal(size=(60, 5)) @ random.normal(size=(5, 5)), random.normal(size=(7, 5))
    patients = np.arange(60) // 2

    def distance(known, asked):
        centre = np.median(known, axis=0)
        spread = (np.percentile(known, 75, axis=0) - np.percentile(known, 25, axis=0)) / 1.349
        inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit((known - centre) / spread).covariance_)
        offset = (asked - centre) / spread
        return float(np.sqrt(offset @ inverse @ offset))

    found = map_distances(training, patients, new)
    expected = [distance(training[patients % 10 != patients[row] % 10], training[row]) for row in range(60)]
    assert found.training == pytest.approx(expected)
    assert found.new == pytest.approx([distance(training, row) for row in new])
    assert found.limit == pytest.approx(np.percentile(expected, 97.5))


def test_exams_of_the_same_kind_lie_beyond_the_limit_as_often_as_they_should():
    """With as few exams as 60 and 17 summaries, about one new exam in forty is beyond: no optimism of the fit."""
    random = np.random.default_rng(0)
    shares = []
    for _ in range(40):
        mixing = random.normal(size=(17, 17))
        training, new = (random.normal(size=(rows, 17)) @ mixing for rows in (60, 400))
        found = map_distances(training, np.arange(60), new)
        shares.append((found.new > found.limit).mean())
    assert 0.01 < np.mean(shares) < 0.045


def test_distances_need_training_exams():
    """Below twenty exams a covariance means nothing, and the reason says so."""
    with pytest.raises(StatisticsError, match="20 training exams"):
        map_distances(np.zeros((19, 3)), np.arange(19), np.zeros((2, 3)))
