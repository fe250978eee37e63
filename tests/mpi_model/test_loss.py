"""The loss of training and selection against plain loops and published definitions."""

import math

import numpy as np
import pytest
import rounding
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from mpi_model.loss import balanced_log_loss, class_weights, exam_weights, mean_auc, training_loss

SCORE = st.floats(-30, 30)
EXAM = st.tuples(SCORE, st.integers(0, 1), st.integers(0, 1))


def naive(exams: list[tuple[float, int, int]]) -> float:
    """The definition in words: mean over tracers present, of the mean over classes present, of the log loss."""
    of_tracers = []
    for tracer in (0, 1):
        of_classes = []
        for label in (0, 1):
            losses = [
                math.log1p(math.exp(-score)) if label else math.log1p(math.exp(score))
                for score, its_label, its_tracer in exams
                if its_label == label and its_tracer == tracer
            ]
            if losses:
                of_classes.append(sum(losses) / len(losses))
        if of_classes:
            of_tracers.append(sum(of_classes) / len(of_classes))
    return sum(of_tracers) / len(of_tracers)


def columns(exams: list[tuple[float, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, labels, tracer = zip(*exams, strict=True)
    return np.array(scores), np.array(labels, dtype=np.int8), np.array(tracer, dtype=np.int8)


@given(st.lists(EXAM, min_size=1, max_size=30))
def test_training_and_selection_measure_the_same_loss_as_a_plain_loop(exams: list) -> None:
    """Whatever the numbers of exams, an absent tracer or class included, all three agree."""
    scores, labels, tracer = columns(exams)
    weights = exam_weights(labels, tracer)
    assert weights.mean() == pytest.approx(1)
    loss = training_loss(torch.from_numpy(scores), torch.from_numpy(labels).double(), torch.from_numpy(weights), 0.0)
    # Scores up to 30 are rounded to fp32 before an exponential, and up to 30 losses are weighted and added in it.
    bound = rounding.of_sum(30 + 30 + 10)
    assert float(loss) == pytest.approx(naive(exams), rel=bound, abs=bound)
    selected = balanced_log_loss(scores, labels, tracer, class_weights(labels, tracer))
    assert selected == pytest.approx(naive(exams), rel=1e-9, abs=1e-12)


def test_weights_are_the_closed_form() -> None:
    """The weight is N / (T * 2 * n(t, c)), for 2 and 6 technetium, 3 and 1 thallium exams."""
    labels = np.array([0] * 2 + [1] * 6 + [0] * 3 + [1])
    tracer = np.array([0] * 8 + [1] * 4)
    expected = 12 / (2 * 2 * np.array([[2, 6], [3, 1]]))
    np.testing.assert_allclose(class_weights(labels, tracer), expected)
    np.testing.assert_allclose(exam_weights(labels, tracer), expected[tracer, labels])


def test_minibatch_losses_add_up_to_the_whole_loss() -> None:
    """Batches, weighted by their size, are an unbiased estimate, also where one lacks a tracer."""
    generator = np.random.default_rng(0)
    logits = torch.from_numpy(generator.normal(size=40))
    labels = generator.integers(0, 2, 40)
    tracer = (np.arange(40) >= 30).astype(int)
    weights = torch.from_numpy(exam_weights(labels, tracer))
    targets = torch.from_numpy(labels).double()
    whole = training_loss(logits, targets, weights, 0.1)
    parts = [
        training_loss(logits[rows], targets[rows], weights[rows], 0.1) * len(rows) / 40
        for rows in torch.arange(40).tensor_split(6)
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_label_smoothing_moves_targets_halfway_in_training_only() -> None:
    """With s = 0.2 the best probability for a positive exam is 0.9."""
    logits = torch.tensor([math.log(9.0)], requires_grad=True)
    training_loss(logits, torch.ones(1), torch.ones(1), 0.2).backward()
    assert float(logits.grad) == pytest.approx(0, abs=rounding.of_sum(8))  # sigmoid and target, near 1


def test_validation_uses_the_training_parts_weights() -> None:
    """A validation part with other class shares is judged by the training part's balance of classes."""
    scores, labels, tracer = np.array([2.0, -1.0, 0.5]), np.array([1, 0, 0]), np.zeros(3, dtype=int)
    weights = np.array([[0.5, 3.0], [0.0, 0.0]])
    expected = log_loss(labels, 1 / (1 + np.exp(-scores)), sample_weight=weights[tracer, labels])
    assert balanced_log_loss(scores, labels, tracer, weights) == pytest.approx(expected)


def test_validation_tracers_count_equally_however_many_exams_they_have() -> None:
    """Three technetium exams and one thallium exam: each tracer makes half of the loss."""
    scores, labels, tracer = np.array([2.0, -1.0, 0.5, 3.0]), np.array([1, 0, 0, 0]), np.array([0, 0, 0, 1])
    weights = np.array([[0.5, 3.0], [2.0, 1.0]])
    of_technetium = log_loss(labels[:3], 1 / (1 + np.exp(-scores[:3])), sample_weight=[3.0, 0.5, 0.5])
    expected = (of_technetium + math.log1p(math.exp(3.0))) / 2
    assert balanced_log_loss(scores, labels, tracer, weights) == pytest.approx(expected)


def test_a_confident_error_costs_its_score_and_no_overflow() -> None:
    """Scores far out on the wrong side give a large finite loss."""
    weights = np.ones((2, 2))
    loss = balanced_log_loss(np.array([-2000.0]), np.array([1]), np.array([0]), weights)
    assert loss == pytest.approx(2000)


@given(st.lists(st.tuples(st.integers(-3, 3).map(float), st.integers(0, 1), st.integers(0, 1)), min_size=1))
def test_auc_is_the_mean_of_the_tracers_own(exams: list) -> None:
    """Tracers are never pooled; ties count half; a tracer with one class has no AUC."""
    scores, labels, tracer = columns(exams)
    areas = [
        roc_auc_score(labels[tracer == number], scores[tracer == number])
        for number in (0, 1)
        if len(set(labels[tracer == number])) == 2
    ]
    found = mean_auc(scores, labels, tracer)
    assert found is None if not areas else found == pytest.approx(np.mean(areas))
