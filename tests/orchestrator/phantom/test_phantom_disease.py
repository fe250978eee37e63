"""Defects: where they lie, what stays of them at rest, and how they reach the picture."""

from dataclasses import replace

import numpy as np
import pytest

from orchestrator.phantom.cohort import Exams, simulate
from orchestrator.phantom.disease import Disease, deficits, describe_defects, draw_disease
from orchestrator.phantom.geometry import pixel_positions, segment_at
from orchestrator.phantom.parameters import DiseaseParameters, PhantomParameters
from orchestrator.phantom.streams import Streams

DEFAULT = PhantomParameters()
# Segments that an occluded vessel darkened in 50 balloon occlusions (doi:10.1093/eurheartj/ehi496).
SUPPLIED = {
    0: {1, 2, 7, 8, 13, 14, 16, 17, 12, 3, 9, 15},
    1: {6, 12, 4, 5, 10, 11},
    2: {3, 9, 15, 4, 5, 10, 11},
}


def with_disease(**changes: object) -> PhantomParameters:
    """The default phantom with other disease parameters."""
    return replace(DEFAULT, disease=replace(DEFAULT.disease, **changes))


ONE_VESSEL = {"prevalence": (1 - 1e-9, 1 - 1e-9), "vessels": (1.0, 0.0, 0.0)}


@pytest.fixture(scope="module")
def one_vessel() -> list[Exams]:
    """Patients of both tracers, every one with one diseased vessel."""
    return list(simulate(patients=512, size=32, seed=4, parameters=with_disease(**ONE_VESSEL)))


def joined(chunks: list[Exams], name: str) -> np.ndarray:
    """An array of all chunks."""
    return np.concatenate([getattr(chunk, name) for chunk in chunks])


@pytest.mark.parametrize("vessel", [0, 1, 2])
def test_defects_follow_the_territories_of_balloon_occlusions(one_vessel: list[Exams], vessel: int) -> None:
    """Protects the borders of the territories: the deepest segment is one that the vessel was seen to supply."""
    mine = np.concatenate([chunk.disease.vessel[:, 0] for chunk in one_vessel]) == vessel
    deepest = joined(one_vessel, "stress_deficits")[mine].argmax(axis=1) + 1
    supplied = np.isin(deepest, list(SUPPLIED[vessel]))
    assert mine.sum() > 80
    assert supplied.mean() > 0.95
    assert len(set(deepest)) >= 4, "borders and lesions vary between patients"


def test_the_picture_loses_counts_where_the_truth_says(one_vessel: list[Exams]) -> None:
    """Protects orientation from truth to pixels: against the same scan without disease, the loss lies there."""
    sound = with_disease(**ONE_VESSEL | {"prevalence": (1e-9, 1e-9)})
    healthy = next(simulate(patients=128, size=32, seed=4, parameters=sound))
    diseased = one_vessel[0]
    where = segment_at(*pixel_positions(32)).ravel()
    loss = relative(diseased.stress) / relative(healthy.stress)
    seen = np.stack([loss[:, where == segment].mean(axis=1) for segment in range(1, 18)], axis=1).argmin(axis=1)
    deep = diseased.stress_deficits.max(axis=1) > 0.35
    true = diseased.stress_deficits.argmax(axis=1)
    assert deep.sum() > 30
    assert (seen == true)[deep].mean() > 0.8


def relative(images: np.ndarray) -> np.ndarray:
    """Pixels over a high percentile of the map, which a defect hardly moves."""
    flat = images.reshape(len(images), -1).astype(float) + 1.0
    return flat / np.percentile(flat, 90, axis=1, keepdims=True)


def test_fixed_defects_are_the_same_at_rest_and_reversible_ones_are_gone() -> None:
    """Protects the meaning of the kinds for Tc-99m, in the deficits and in the scores."""
    for kinds, kept in (((0.0, 0.0, 1.0), 1.0), ((1.0, 0.0, 0.0), 0.0)):
        parameters = with_disease(kinds=kinds, prevalence=(1 - 1e-9, 1 - 1e-9))
        exams = next(simulate(patients=128, size=16, parameters=parameters, tracer_mix={"Tc-99m": 1.0}))
        assert exams.rest_deficits == pytest.approx(kept * exams.stress_deficits, abs=1e-12)
        assert exams.scores.summed_rest.tolist() == (kept * exams.scores.summed_stress).tolist()


@pytest.mark.parametrize(("kinds", "low", "high"), [((0.0, 0.0, 1.0), 0.8, 1.2), ((1.0, 0.0, 0.0), -0.15, 0.15)])
def test_rest_pictures_show_fixed_defects_and_no_reversible_ones(
    kinds: tuple[float, float, float], low: float, high: float
) -> None:
    """Protects the rest phase of Tc-99m in the pixels: the loss there, over that at stress, is 1 or 0."""
    mix = {"Tc-99m": 1.0}
    ill = with_disease(**ONE_VESSEL | {"kinds": kinds})
    sound = with_disease(**ONE_VESSEL | {"prevalence": (1e-9, 1e-9)})
    diseased, healthy = (
        next(simulate(patients=128, size=32, parameters=parameters, tracer_mix=mix)) for parameters in (ill, sound)
    )
    where = segment_at(*pixel_positions(32)).ravel() - 1
    worst = diseased.stress_deficits.argmax(axis=1)
    inside = where == worst[:, None]
    stress, rest = (
        1.0 - np.sum(relative(left) / relative(right) * inside, axis=1) / inside.sum(axis=1)
        for left, right in ((diseased.stress, healthy.stress), (diseased.rest, healthy.rest))
    )
    deep = diseased.stress_deficits.max(axis=1) > 0.35
    assert low < np.median(rest[deep] / stress[deep]) < high


def one_defect(*, depth: float, fixed_share: float) -> Disease:
    """A patient with one defect."""
    disease = draw_disease(
        Streams(seed=0, patients=np.arange(1), branches=np.zeros(1, int)),
        np.zeros(1, int),
        np.full(1, 60.0),
        DiseaseParameters(washout_cv=0.0),
    )
    return replace(
        disease,
        present=np.array([[True, False, False]]),
        depth=np.full((1, 3), depth),
        fixed_share=np.full((1, 3), fixed_share),
    )


@pytest.mark.parametrize(("depth", "expected"), [(0.5, 1.0 - 0.5 * 2 ** (4 / 5.3 - 4 / 11)), (0.2, 0.0)])
def test_thallium_redistributes_at_the_published_half_lives(depth: float, expected: float) -> None:
    """Protects the fill-in against the closed form: half-lives of 5.3 h in normal, 11 h in ischaemic myocardium."""
    everywhere = np.ones((1, 3, 2, 2))
    disease = one_defect(depth=depth, fixed_share=0.0)
    stress, thallium = deficits(everywhere, disease, np.array([1]), np.array([4.0]))
    _, technetium = deficits(everywhere, disease, np.array([0]), np.array([4.0]))
    assert stress == pytest.approx(depth)
    assert thallium == pytest.approx(expected, abs=1e-9)
    assert technetium == pytest.approx(0.0)


def test_scar_does_not_fill_in() -> None:
    """Protects thallium against redistributing into scar: a fixed defect of 40 % is 40 % after any delay."""
    _, rest = deficits(np.ones((1, 3, 2, 2)), one_defect(depth=0.4, fixed_share=1.0), np.array([1]), np.array([24.0]))
    assert rest == pytest.approx(0.4)


def test_rest_never_looks_worse_than_stress(one_vessel: list[Exams]) -> None:
    """Protects the truth against negative ischaemia in either tracer."""
    assert (joined(one_vessel, "rest_deficits") <= joined(one_vessel, "stress_deficits") + 1e-12).all()


def test_described_defects_are_the_defects(one_vessel: list[Exams]) -> None:
    """Protects the truth table's defect list: one defect, its kind agreeing with the scores of Tc-99m."""
    chunk = one_vessel[0]
    for row in np.flatnonzero(chunk.tracer == 0):
        (defect,) = describe_defects(chunk.disease, int(row), DEFAULT.disease)
        difference = int(chunk.scores.summed_difference[row])
        assert defect["kind"] != "fixed" or difference == 0
        assert defect["kind"] != "reversible" or chunk.scores.summed_rest[row] == 0
        assert 0.0 < float(defect["depth"]) <= DEFAULT.disease.most_depth
