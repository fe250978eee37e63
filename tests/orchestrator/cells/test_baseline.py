"""The baseline of a cell: a plain scikit-learn model on segment means, and nothing it should not know."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from mpi_model.errors import WeightsError
from mpi_model.maps import FULL_SCALE, LabelledExams, Maps
from orchestrator.cells.baseline import _PENALTIES, SegmentModel, fit_baseline
from orchestrator.cells.decision import _best_threshold, _platt
from orchestrator.cells.records import CellKey, CellTask, InnerSplit
from orchestrator.cohort.segments import segment_means

RULE = "balanced_accuracy"
PHASES = {"stress": ("stress",), "rest": ("rest",), "dual": ("stress", "rest")}


def made(inputs, *, exams=120, strength=0.25, seed=0):
    """Two tracers, unbalanced classes, a weak sign of disease in the inferior wall; the last fifth is judged."""
    random = np.random.default_rng(seed)
    labels = (random.random(exams) < 0.35).astype(np.int8)
    maps = {phase: random.uniform(0.4, 0.9, size=(exams, 1, 12, 12)) for phase in ("stress", "rest")}
    maps["stress"][labels == 1, :, 8:, 3:9] -= strength * random.uniform(0, 1, size=(int(labels.sum()), 1, 1, 1))
    stored = {phase: (pixels * FULL_SCALE).astype(np.uint16) for phase, pixels in maps.items()}
    here, tracer = np.ones(exams, dtype=bool), (np.arange(exams) // 2 % 2).astype(np.int8)
    training = np.arange(exams * 4 // 5)
    folds = np.arange(len(training)) % 3
    inner, again = (
        tuple(
            InnerSplit(
                training=_of(training[parts != part], labels),
                validation=_of(training[parts == part], labels),
                patients=np.arange((parts == part).sum()),
            )
            for part in range(3)
        )
        for parts in (folds, random.permutation(folds))
    )
    task = CellTask(
        key=CellKey(inputs=inputs, partition="development", repeat=0, fold=0),
        plan="plan",
        training=_of(training, labels),
        inner=inner,
        calibration=again,
        evaluation=np.arange(exams * 4 // 5, exams),
    )
    return Maps(**stored, has_stress=here, has_rest=here, tracer=tracer), task, labels


def _of(rows, labels):
    return LabelledExams(rows=rows, labels=labels[rows])


def plain(maps, task, tracer):
    """One tracer's scores of the judged exams and of both kinds of inner folds, as a data scientist writes it."""
    features = np.hstack([segment_means(getattr(maps, phase))[:, 0] for phase in PHASES[task.key.inputs]])

    def part(exams):
        mine = maps.tracer[exams.rows] == tracer
        return features[exams.rows[mine]], exams.labels[mine]

    def fitted(exams, penalty):
        model = LogisticRegression(C=penalty, class_weight="balanced", tol=1e-10, max_iter=10_000)
        return make_pipeline(StandardScaler(), model).fit(*part(exams))

    def loss(penalty):
        losses = []
        for split in task.inner:
            images, labels = part(split.validation)
            chances = fitted(split.training, penalty).predict_proba(images)[:, 1]
            losses.append(log_loss(labels, chances, sample_weight=compute_sample_weight("balanced", labels)))
        return np.mean(losses)

    penalty = min(_PENALTIES, key=loss)
    judged = task.evaluation[maps.tracer[task.evaluation] == tracer]
    scores = fitted(task.training, penalty).decision_function(features[judged])
    inner, fresh = (
        np.concatenate([fitted(one.training, penalty).decision_function(part(one.validation)[0]) for one in splits])
        for splits in (task.inner, task.calibration)
    )
    return penalty, dict(zip(judged.tolist(), scores, strict=True)), inner, fresh


@pytest.mark.parametrize("inputs", ["stress", "rest", "dual"])
def test_scores_and_decisions_are_those_of_a_plain_pipeline(inputs):
    """Penalty, scores, thresholds and probabilities are what scikit-learn's own pipeline gives, tracer by tracer."""
    maps, task, _ = made(inputs)
    fitted = fit_baseline(maps, task, RULE)
    found = {item.row: item for item in fitted.predict(maps, task.evaluation)}

    assert sorted(found) == task.evaluation.tolist()
    for tracer in (0, 1):
        penalty, scores, inner, fresh = plain(maps, task, tracer)
        labels, again = (
            np.concatenate([one.validation.labels[maps.tracer[one.validation.rows] == tracer] for one in splits])
            for splits in (task.inner, task.calibration)
        )
        slope, intercept = _platt(fresh, again)
        cut = _best_threshold(inner, labels)

        assert fitted.equations[tracer].penalty == penalty
        assert len(fitted.equations[tracer].coefficients) == 17 * len(PHASES[inputs])
        for row, score in scores.items():
            assert found[row].score == pytest.approx(score, abs=1e-4)
            assert found[row].probability == pytest.approx(expit(slope * score + intercept), abs=1e-3)
            assert found[row].threshold == pytest.approx(expit(slope * cut + intercept), abs=1e-3)
            assert (found[row].model, found[row].member) == ("segments", 0)


def test_every_tracer_has_a_model_of_its_own():
    """Turning the pixels of one tracer around changes no score of the other."""
    maps, task, _ = made("stress")
    other = maps.stress.copy()
    other[maps.tracer == 1] = other[maps.tracer == 1, :, ::-1]
    turned = Maps(stress=other, rest=maps.rest, has_stress=maps.has_stress, has_rest=maps.has_rest, tracer=maps.tracer)
    before, after = (
        [item.score for item in fit_baseline(one, task, RULE).predict(one, task.evaluation)] for one in (maps, turned)
    )
    tracer = maps.tracer[task.evaluation]

    assert np.array(before)[tracer == 0].tolist() == np.array(after)[tracer == 0].tolist()
    assert not np.isclose(np.array(before)[tracer == 1], np.array(after)[tracer == 1]).any()


def test_permuted_labels_leave_it_at_chance():
    """With labels dealt anew it tells nobody apart on exams it has not seen, where with true ones it does."""

    def area(labels, seen):
        maps, task, _ = made("stress", exams=200, strength=0.8)
        training = _of(task.training.rows, labels)
        inner = tuple(
            replace(split, training=_of(split.training.rows, labels), validation=_of(split.validation.rows, labels))
            for split in task.inner
        )
        given = CellTask(key=task.key, plan="plan", training=training, inner=inner, evaluation=task.evaluation)
        scores = [item.score for item in fit_baseline(maps, given, RULE).predict(maps, task.evaluation)]
        return roc_auc_score(seen[task.evaluation], scores)

    truth = made("stress", exams=200, strength=0.8)[2]
    permuted = [np.random.default_rng(seed).permutation(truth) for seed in range(6)]

    assert area(truth, truth) > 0.8
    assert np.mean([area(labels, labels) for labels in permuted]) == pytest.approx(0.5, abs=0.08)


def test_what_is_stored_predicts_what_was_fitted():
    """The JSON text gives the same predictions, to the last bit; another text is refused, and said to be damaged."""
    maps, task, _ = made("dual")
    fitted = fit_baseline(maps, task, RULE)
    stored = fitted.to_json({"experiment": "e"})

    assert SegmentModel.from_json(stored).predict(maps, task.evaluation) == fitted.predict(maps, task.evaluation)
    assert fitted.predict(maps, np.array([], dtype=np.int64)) == []
    for text in (stored[:-5], stored.replace('"format": 1', '"format": 9'), "[]", stored.replace("slope", "slant")):
        with pytest.raises(WeightsError, match="saved baseline is damaged or of another version"):
            SegmentModel.from_json(text)


def test_it_needs_no_torch():
    """A cell's baseline is computed where torch was never imported."""
    code = "import sys, orchestrator.cells.baseline; print({'torch', 'ray'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
