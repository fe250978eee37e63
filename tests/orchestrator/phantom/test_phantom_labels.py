"""Scores, true labels and the noise of the recorded ones."""

from dataclasses import replace

import numpy as np
import pytest

from orchestrator.phantom.cohort import simulate
from orchestrator.phantom.labels import _label, _readings, _score, recorded_label, true_scores
from orchestrator.phantom.parameters import LabelParameters, PhantomParameters

RULES = LabelParameters()


def test_scores_step_at_the_edges() -> None:
    """Protects the scale 0 to 4: an edge belongs to the higher score."""
    edges = np.array(RULES.score_edges)
    assert _score(np.array([0.0, *edges, 1.0]), RULES).tolist() == [0, 1, 2, 3, 4, 4]
    assert _score(edges - 1e-9, RULES).tolist() == [0, 1, 2, 3]


def test_summed_scores_are_sums_over_17_segments() -> None:
    """Protects SSS, SRS and SDS: an absent ventricle scores 68, and SDS is what goes away at rest."""
    stress, rest = np.full((1, 17), 0.9), np.full((1, 17), 0.3)
    scores = true_scores(stress, rest, np.zeros(1, int), RULES)
    summed = (scores.summed_stress[0], scores.summed_rest[0], scores.summed_difference[0])
    assert summed == (68, 34, 34)


@pytest.mark.parametrize(
    ("tracer", "sss", "sds", "expected"),
    [(0, 3, 0, 0), (0, 4, 0, 1), (0, 3, 3, 0), (1, 3, 2, 0), (1, 3, 3, 1), (1, 4, 0, 1), (1, 0, 0, 0)],
)
def test_each_tracer_has_its_endpoint(tracer: int, sss: int, sds: int, expected: int) -> None:
    """Protects the two label rules: SSS of 4 or more, and for Tl-201 risk also SDS of 3 or more."""
    assert _label(np.array([float(sss)]), np.array([float(sds)]), np.array([tracer]), RULES)[0] == expected


def test_perfect_readers_record_the_truth() -> None:
    """Protects the way from truth to record: without reader noise no label changes."""
    perfect = LabelParameters(reader_cv=0.0, reader_sd=0.0, reader_difference_sd=0.0)
    exams = next(simulate(patients=128, size=16, parameters=replace(PhantomParameters(), labels=perfect)))
    assert exams.recorded_label.tolist() == exams.scores.label.tolist()
    assert 0.2 < exams.scores.label.mean() < 0.7


def test_readers_disagree_near_the_boundary_and_as_much_as_published() -> None:
    """Protects the label noise: 4 to 10 % flips, nearly all at low scores, inter-reader ICC .56 within .1."""
    chunks = list(simulate(patients=1024, size=16, seed=7))
    sss = np.concatenate([chunk.scores.summed_stress for chunk in chunks])
    flipped = np.concatenate([chunk.scores.label != chunk.recorded_label for chunk in chunks])
    assert 0.04 < flipped.mean() < 0.10
    assert flipped[(sss >= 2) & (sss <= 8)].mean() > 0.12
    assert flipped[(sss == 0) | (sss > 16)].mean() < 0.05
    generator = np.random.default_rng(0)
    pairs = np.concatenate(
        [_readings(chunk.scores, generator.standard_normal((len(chunk), 6)), RULES)[0] for chunk in chunks]
    )
    assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(0.56, abs=0.1)


def test_a_third_reader_makes_labels_better() -> None:
    """Protects the number of readers as a setting that does what it says."""
    exams = next(simulate(patients=128, size=16))
    wrong = []
    for readers in (1, 9):
        rules = replace(RULES, readers=readers)
        generator = np.random.default_rng(3)
        noise = [generator.standard_normal((len(exams), 3 * readers)) for _ in range(20)]
        labels = [recorded_label(exams.scores, exams.tracer, z, rules) for z in noise]
        wrong.append(np.mean([found != exams.scores.label for found in labels]))
    assert wrong[1] < 0.7 * wrong[0]
