"""The torch-free table against torch and torchvision themselves."""

from pathlib import Path

import pytest
import torch
import torchvision

from mpi_model.backbones import build_encoder, empty_encoder
from mpi_model.errors import ExperimentError, SpaceError, WeightsError
from mpi_model.imagenet import checkpoint_path
from mpi_model.stages import BACKBONES, TorchvisionWeights, backbone

FROM_TORCHVISION = [name for name, entry in BACKBONES.items() if isinstance(entry.imagenet, TorchvisionWeights)]
ENDS = [(name, end) for name, entry in BACKBONES.items() for end in range(1, entry.stage_count + 1)]


@pytest.mark.parametrize("name", FROM_TORCHVISION)
def test_stages_and_classifier_cover_the_torchvision_network(name: str) -> None:
    """No layer of the pretrained network is left out of the encoder, or put in two stages."""
    with torch.device("meta"):
        source = torchvision.models.get_model(name, weights=None)
    entry = backbone(name)
    paths = [path for stage in entry.stages for path in stage.modules] + list(entry.classifier)
    listed = [f"{path}.{key}" for path in paths for key, _ in source.get_submodule(path).named_parameters()]
    assert sorted(listed) == sorted(key for key, _ in source.named_parameters())


@pytest.mark.parametrize(("name", "end"), ENDS)
def test_table_tells_the_width_and_the_smallest_image_of_the_real_network(name: str, end: int) -> None:
    """`polarmap check` promises, without torch, what an encoder then does, wherever it ends."""
    entry = backbone(name, end)
    encoder = empty_encoder(name, stages=end)
    channels = 1 if name == "compact" else 3
    images = torch.empty(1, channels, entry.smallest_image, entry.smallest_image, device="meta")
    assert encoder(images).shape == (1, entry.feature_width)
    assert len(encoder.stages) == entry.stage_count == end
    for stage in encoder.stages:
        images = stage(images)
    assert images.shape == (1, entry.stages[-1].channels, 2, 2)


@pytest.mark.parametrize("end", [0, 19, -1])
def test_an_end_that_the_backbone_does_not_have_is_refused_with_its_stages(end: int) -> None:
    """The message says how many stages there are, and their names in short."""
    with pytest.raises(ExperimentError, match=r"efficientnet_lite0 has 18 stages \(stem, block1, …, block16, head\)"):
        backbone("efficientnet_lite0", end)


@pytest.mark.parametrize("name", ["vgg16_bn", "efficientnet_b0"])
def test_each_stage_halves_the_resolution(name: str) -> None:
    """Networks that torchvision keeps as one sequence are cut where the paper's blocks end."""
    images = torch.empty(1, 3, 64, 64, device="meta")
    sizes = []
    for stage in empty_encoder(name).stages:
        images = stage(images)
        sizes.append(images.shape[-1])
    assert sizes == [32, 16, 8, 4, 2]


@pytest.mark.parametrize("name", ["resnet18", "compact"])
def test_one_exam_of_the_smallest_size_can_train_batch_norm(name: str) -> None:
    """A training part with one exam of a tracer does not end in torch's 'more than 1 value per channel'."""
    encoder = build_encoder(name, torch.Generator().manual_seed(0)).train()
    size = backbone(name).smallest_image
    features = encoder(torch.rand(1, 1 if name == "compact" else 3, size, size))
    assert features.isfinite().all()


@pytest.mark.parametrize("name", FROM_TORCHVISION)
def test_weights_and_file_names_are_torchvisions(name: str) -> None:
    """A file that a user fetched by hand lies where torchvision would have put it."""
    entry = backbone(name).imagenet
    weights = torchvision.models.get_weight(entry.enum)
    assert weights.url.endswith(f"/{entry.file}")
    assert torchvision.models.get_model_weights(name)[weights.name] is weights


@pytest.mark.parametrize("variable", ["TORCH_HOME", "XDG_CACHE_HOME", None])
def test_checkpoints_lie_in_torch_hubs_folder(
    variable: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The path follows the environment as torch's own does."""
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    if variable is not None:
        monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    expected = Path(torch.hub.get_dir()) / "checkpoints" / "resnet18-f37072fd.pth"
    assert checkpoint_path(backbone("resnet18")) == expected


def test_an_unknown_backbone_names_the_nearest_one() -> None:
    """A typing error in the experiment file costs a second, not a run."""
    with pytest.raises(ExperimentError, match="did you mean 'resnet18'"):
        backbone("resnet-18")


def test_too_small_an_image_is_refused_with_the_size_needed() -> None:
    """Maps that a backbone would shrink to one pixel are refused before any training."""
    backbone("resnet18").check_image_size(64)
    with pytest.raises(ExperimentError, match=r"at least 64 .* found 32"):
        backbone("resnet18").check_image_size(32)


@pytest.mark.parametrize("depth", [-1, 6])
def test_a_freeze_depth_beyond_the_stages_is_refused(depth: int) -> None:
    """A search space written for another network is refused by name."""
    with pytest.raises(SpaceError, match="5 stages"):
        backbone("vgg16_bn").check_freeze_depth(depth)


def test_compact_has_no_imagenet_weights() -> None:
    """Asking for what does not exist says so, and what to write instead."""
    with pytest.raises(WeightsError, match="random"):
        checkpoint_path(backbone("compact"))
