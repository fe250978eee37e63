"""The pipeline that is exported: its preprocessing has the last digit of the readers', and it refuses what it must."""

import numpy as np
import pytest
import torch

from mpi_model.errors import WeightsError
from mpi_model.network import Architecture, TracerNetwork
from mpi_model.pipeline import Pipeline, PipelineConfig, _stored_maps
from orchestrator.cohort.images import read_map

SHAPES = [(64, 64), (48, 40), (30, 31), (100, 90), (16, 16), (64, 52)]


def pipeline_of(*, inputs: str = "dual", members: int = 2, heads: str = "tracer", size: int = 16) -> Pipeline:
    """Random members; one tracer's tables only, so that the other is one the networks have never met."""
    architecture = Architecture(
        backbone="compact",
        encoder_stages=4,
        fusion="concatenate",
        heads=heads,
        inputs=inputs,
        image_channels=1,
        normalisation="centred",
        dropout=0.0,
    )
    config = PipelineConfig(inputs=inputs, size=size, members=(architecture,) * members)
    draw = torch.Generator().manual_seed(1)
    pipeline = Pipeline(config, [TracerNetwork(architecture, draw) for _ in range(members)]).requires_grad_(False)
    pipeline.slope[:, 1], pipeline.intercept[:, 1], pipeline.threshold[1] = 1.5, 0.2, 0.5
    return pipeline


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [16, 32, 64])
def test_maps_are_scaled_and_resampled_as_they_were_read(tmp_path, dtype, size):
    """Pictures and counts, larger, smaller and not square: every stored pixel is the one that training read."""
    draw = np.random.default_rng(5)
    for shape in SHAPES:
        pixels = (draw.random(shape) * 250).astype(dtype)
        np.save(tmp_path / "map.npy", pixels)
        found, usable = _stored_maps(torch.from_numpy(pixels)[None, None, None], size)
        assert usable.all()
        np.testing.assert_array_equal(found[0, 0].numpy(), read_map(tmp_path / "map.npy", size=size))


def test_what_cannot_be_answered_is_refused_inside():
    """An empty map, negative or missing counts, a tracer never met and numbers that are no tracer give no answer."""
    pipeline = pipeline_of()
    maps = torch.rand(8, 2, 1, 16, 16, generator=torch.Generator().manual_seed(2)) + 0.1
    tracer = torch.tensor([1, 1, 1, 1, 1, 0, -1, 2])
    maps[1, 1], maps[2, 0, 0, 3, 3], maps[3, 0, 0, 3, 3], maps[4, 1, 0, 0, 0] = 0, -1, torch.nan, torch.inf
    score, probability, decision, distance, outside = pipeline(maps, tracer)

    assert decision.tolist()[1:] == [-1] * 7
    assert decision[0] in (0, 1)
    assert torch.isnan(score[1:]).all()
    assert torch.isnan(probability[1:]).all()
    assert not torch.isnan(score[0])
    # Nothing is known of development maps here, and that is said.
    assert torch.isnan(distance).all()
    assert outside.tolist() == [-1] * 8


def test_an_exam_is_judged_alone():
    """An exam's answer does not depend on what else is in its batch, refused exams included."""
    pipeline = pipeline_of(heads="separate", inputs="stress")
    pipeline.slope[:, 0], pipeline.intercept[:, 0], pipeline.threshold[0] = 1.0, 0.0, 0.5
    maps = torch.rand(7, 1, 1, 20, 16, generator=torch.Generator().manual_seed(3))
    maps[2] = 0
    tracer = torch.tensor([0, 1, 1, 0, 1, 0, 1])
    together = torch.stack([answer.double() for answer in pipeline(maps, tracer)])
    alone = torch.stack(
        [torch.cat([answer.double() for answer in pipeline(maps[[row]], tracer[[row]])]) for row in range(len(tracer))],
        dim=1,
    )
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize(
    "changed",
    [
        {"inputs": "../stress"},
        {"size": 10**9},
        {"size": "16"},
        {"members": []},
        {"members": [{}]},
        {"members": "backbone"},
        {"members": [{"backbone": "os.system"}]},
    ],
)
def test_a_configuration_that_anybody_wrote_is_checked(changed):
    """Names, sizes and counts of a `config.json` are checked before anything is built from them."""
    with pytest.raises(WeightsError):
        PipelineConfig.of(pipeline_of().config.to_dict() | changed)


@pytest.mark.parametrize(
    "changed", [{"image_channels": 10**9}, {"encoder_stages": 99}, {"backbone": "x"}, {"dropout": "0"}, {"more": 1}]
)
def test_an_architecture_that_anybody_wrote_is_checked(changed):
    """A hostile saved network cannot ask for a terabyte, nor for a module by name."""
    content = pipeline_of().config.to_dict()
    content["members"] = [content["members"][0] | changed]
    with pytest.raises(WeightsError):
        PipelineConfig.of(content)
