"""Integrated gradients against networks whose attributions are known in closed form."""

import numpy as np
import pytest
import torch
from torch import nn

from mpi_model.errors import PolarmapError
from mpi_model.maps import FULL_SCALE, LabelledExams, Maps
from mpi_model.network import TracerNetwork, build_network
from mpi_model.settings import NetworkSettings
from orchestrator.cohort.segments import SEGMENTS_17, TERRITORIES
from orchestrator.explanation.exams import explain_exams
from orchestrator.explanation.integrated_gradients import integrated_gradients
from orchestrator.explanation.reference_maps import reference_maps

SIZE = 16
TC = torch.tensor([0])


class Formula(nn.Module):
    """A score that is a formula of the pixels and of the tracer."""

    def __init__(self, formula):
        super().__init__()
        self.formula = formula

    def forward(self, images, tracer):
        return self.formula(images, tracer)


def images(seed: int = 0, phases: int = 2):
    """An exam and a reference map."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, phases, 1, SIZE, SIZE, generator=generator).unbind(0)


def compact(inputs="dual", seed=0) -> TracerNetwork:
    settings = NetworkSettings(backbone="compact", weights="random")
    return build_network(settings, inputs, image_channels=1, dropout=0.0, seed=seed, state=None).eval()


def cohort(exams: int = 6) -> Maps:
    random = np.random.default_rng(0)
    stress, rest = random.integers(0, FULL_SCALE, size=(2, exams, 1, SIZE, SIZE), dtype=np.uint16)
    here = np.ones(exams, dtype=bool)
    return Maps(stress=stress, rest=rest, has_stress=here, has_rest=here, tracer=np.arange(exams, dtype=np.int8) % 2)


def test_a_linear_score_is_attributed_as_weight_times_difference():
    """Of a score that is linear in the pixels, each pixel's part is its weight times its difference."""
    exam, reference = images()
    weights = torch.linspace(-1, 1, exam.numel()).view_as(exam)
    linear = Formula(lambda x, tracer: (x * weights).sum(dim=(1, 2, 3, 4)) + 3.0)

    found = integrated_gradients(linear, exam, reference, TC)
    np.testing.assert_allclose(found.pixels, (weights * (exam - reference)).numpy(), atol=1e-6)
    assert abs(found.residual) <= found.bound < 1e-3


def test_a_quadratic_score_is_integrated_along_the_path():
    """Of a sum of squares, a pixel's part is the difference of the squares: its gradient is averaged along the path."""
    exam, reference = images(1)
    squares = Formula(lambda x, tracer: (x**2).sum(dim=(1, 2, 3, 4)))

    found = integrated_gradients(squares, exam, reference, TC)
    np.testing.assert_allclose(found.pixels, (exam**2 - reference**2).numpy(), atol=1e-5)


def test_attributions_of_a_network_add_up_to_the_difference_of_its_scores():
    """Completeness: within the bound, which is small beside the attributions themselves."""
    network = compact()
    for seed in range(5):
        exam, reference = images(seed)
        found = integrated_gradients(network, exam, reference, TC)
        with torch.no_grad():
            due = float(network(exam[None], TC) - network(reference[None], TC))
        assert found.difference == pytest.approx(due, abs=1e-5)
        assert abs(found.pixels.sum() - due) <= found.bound
        assert found.bound < 0.1 * np.abs(found.pixels).sum()


def test_a_score_that_is_not_differentiable_is_refused():
    """Where gradients say nothing of the score, its attributions cannot add up, and none are given."""
    exam, reference = images(2)
    hidden = Formula(lambda x, tracer: (x - x.detach()).sum(dim=(1, 2, 3, 4)) * 0 + x.detach().sum(dim=(1, 2, 3, 4)))

    with pytest.raises(PolarmapError, match="add up to"):
        integrated_gradients(hidden, exam, reference, TC)


def test_the_model_is_explained_as_the_mean_of_its_members():
    """Attributions of the model are those of one network that scores the mean of its members' scores."""
    maps, rows = cohort(), np.array([4, 5])
    members = [compact(seed=seed) for seed in range(3)]
    training = LabelledExams(rows=np.arange(4), labels=np.zeros(4, dtype=np.int8))
    references = reference_maps(maps, training, "dual")

    found = explain_exams(members, maps, rows, references, seed=None, device=torch.device("cpu"))
    mean = Formula(lambda x, tracer: torch.stack([one(x, tracer) for one in members]).mean(dim=0))
    for row, stress, rest in zip(rows, found[::2], found[1::2], strict=True):
        exam = torch.from_numpy(maps.pixels("dual")[row].astype(np.float32) / np.float32(FULL_SCALE))
        tracer = int(maps.tracer[row])
        due = integrated_gradients(mean, exam, references[tracer], torch.tensor([tracer])).pixels
        for phase, mine in enumerate((stress, rest)):
            assert (mine.row, mine.phase) == (row, ("stress", "rest")[phase])
            assert sum(mine.segments) + mine.outside == pytest.approx(due[phase].sum(), abs=1e-5)


def test_a_lesion_of_one_segment_is_attributed_to_that_segment():
    """A score that adds up the pixels of a segment is attributed to that segment, and to the phase it lies in."""
    maps = cohort(2)
    tiles = _tiles()
    references = {0: torch.full((2, 1, SIZE, SIZE), 0.5), 1: torch.full((2, 1, SIZE, SIZE), 0.5)}
    for number in (1, 9, 17):
        inside = torch.from_numpy(tiles[number - 1]).float()
        network = compact()
        network.forward = lambda x, tracer, inside=inside: (x[:, 1, 0] * inside).sum(dim=(1, 2))
        stress, rest = explain_exams([network], maps, np.array([0]), references, seed=None, device=torch.device("cpu"))
        assert np.abs(stress.segments).max() == 0
        assert int(np.abs(rest.segments).argmax()) == number - 1


def _tiles():
    """Which pixels lie in which segment by more than half, drawn from the published radii and angles."""
    centres = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    right, up = np.meshgrid(centres, -centres)
    radius, angle = np.hypot(right, up), np.degrees(np.arctan2(up, right)) % 360
    return [
        (one.inner <= radius) & (radius < one.outer) & ((angle - one.start) % 360 < one.extent) for one in SEGMENTS_17
    ]


def test_the_reference_is_the_mean_normal_map_of_the_tracer():
    """Maps of the other tracer, of abnormal exams and of exams outside the training part play no role."""
    maps = cohort(8)
    training = LabelledExams(rows=np.array([0, 1, 2, 4]), labels=np.array([0, 0, 1, 0], dtype=np.int8))
    found = reference_maps(maps, training, "stress")

    due = maps.stress[[0, 4]].astype(np.float64).mean(axis=0) / FULL_SCALE
    np.testing.assert_allclose(found[0][0].numpy(), due, atol=1e-7)
    np.testing.assert_allclose(found[1][0].numpy(), maps.stress[1] / FULL_SCALE, atol=1e-7)


def test_territories_are_the_published_ones():
    """The assignment of the 17 segments to the three arteries, written down from figure 4 of Cerqueira et al. 2002."""
    assert dict(TERRITORIES) == {
        "LAD": (1, 2, 7, 8, 13, 14, 17),
        "RCA": (3, 4, 9, 10, 15),
        "LCX": (5, 6, 11, 12, 16),
    }
    assert sorted(number for numbers in TERRITORIES.values() for number in numbers) == list(range(1, 18))
