"""Pretrained weights: the right numbers in the right place, or a clear refusal."""

import hashlib
import os
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from mpi_model.backbones import build_encoder
from mpi_model.errors import WeightsError
from mpi_model.imagenet import checkpoint_path, weights_digest
from mpi_model.stages import backbone
from mpi_model.weights import apply_state, fetch_imagenet, load_state


def torchvision_network(name: str) -> nn.Module:
    """A torchvision network with made-up weights and batch-norm statistics, and no classifier."""
    with torch.device("meta"):
        network = torchvision.models.get_model(name, weights=None)
    for left_out in backbone(name).classifier:
        setattr(network, left_out, nn.Identity())
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(3)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.1 + (tensor.ndim == 1))
        else:
            tensor.zero_()
    return network.eval()


@pytest.fixture
def cached_resnet18() -> Path:
    """A file as torchvision would have cached it, classifier included."""
    path = checkpoint_path(backbone("resnet18"))
    path.parent.mkdir(parents=True)
    state = torchvision_network("resnet18").state_dict()
    torch.save(state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}, path)
    return path


@pytest.mark.parametrize("name", ["resnet18", "vgg16_bn", "efficientnet_b0"])
def test_encoder_with_loaded_weights_computes_what_torchvision_computes(name: str, tmp_path: Path) -> None:
    """Cutting a network into stages and renaming its weights changes none of its numbers."""
    network = torchvision_network(name)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    encoder = build_encoder(name, torch.Generator().manual_seed(0)).eval()
    apply_state(encoder, load_state(tmp_path / "weights.pth", name))
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(encoder(images), network(images).flatten(1))


def test_cached_weights_are_used_without_a_network(cached_resnet18: Path) -> None:
    """A run behind a firewall works once the file is in torch's cache."""
    path = fetch_imagenet("resnet18", progress=False)
    assert path == cached_resnet18
    state = load_state(path, "resnet18")
    assert all(isinstance(value, np.ndarray) for value in state.values())
    assert not any("fc" in key for key in state)


def test_without_a_network_the_message_names_file_and_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person can fetch the file on another computer and knows where it goes."""
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # the discard port: nobody listens
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies it began with
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(WeightsError) as refusal:
        fetch_imagenet("resnet18", progress=False)
    assert "resnet18-f37072fd.pth" in str(refusal.value)
    assert str(checkpoint_path(backbone("resnet18")).parent) in str(refusal.value)
    assert len(refusal.value.problems) == 1
    assert "\n" not in str(refusal.value)


def test_a_file_without_batch_norm_counters_is_accepted(cached_resnet18: Path) -> None:
    """The files of torchvision predate `num_batches_tracked`; their absence is no damage."""
    old = {
        key: value for key, value in torch.load(cached_resnet18, weights_only=True).items() if "num_batches" not in key
    }
    torch.save(old, cached_resnet18)
    assert load_state(cached_resnet18, "resnet18")["stages.0.1.num_batches_tracked"] == 0


def test_safetensors_and_the_encoders_own_names_are_accepted(tmp_path: Path) -> None:
    """Weights that polarmap's own encoders learned elsewhere can be started from."""
    encoder = build_encoder("compact", torch.Generator().manual_seed(5), image_channels=3)
    safetensors.torch.save_file(encoder.state_dict(), tmp_path / "own.safetensors")
    state = load_state(tmp_path / "own.safetensors", "compact", image_channels=3)
    other = build_encoder("compact", torch.Generator().manual_seed(6), image_channels=3)
    apply_state(other, state)
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(other.eval()(images), encoder.eval()(images))


def test_weights_of_another_network_are_refused_with_a_few_keys(cached_resnet18: Path) -> None:
    """A ResNet-18 file under a ResNet-34 setting is refused, in one line that a person can read."""
    with pytest.raises(WeightsError, match=r"not a resnet34 \(missing: stages\.1\..* and \d+ more\)") as refusal:
        load_state(cached_resnet18, "resnet34")
    assert len(str(refusal.value)) < 600


def test_weights_of_another_width_are_refused(cached_resnet18: Path) -> None:
    """Right names with wrong shapes are another network too."""
    state = torch.load(cached_resnet18, weights_only=True)
    torch.save(state | {"conv1.weight": torch.zeros(64, 1, 7, 7)}, cached_resnet18)
    with pytest.raises(WeightsError, match=r"of another shape: stages\.0\.0\.weight"):
        load_state(cached_resnet18, "resnet18")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a state dict at all", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    """An interrupted copy is named as such, not as a bug of polarmap."""
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        load_state(path, "resnet18")


def test_a_truncated_cache_file_is_refused(cached_resnet18: Path) -> None:
    """Half a download in the cache does not become half a network."""
    whole = cached_resnet18.read_bytes()
    cached_resnet18.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="damaged"):
        load_state(cached_resnet18, "resnet18")


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    """Weights from the internet cannot execute anything: only tensors are read."""
    torch.save({"layer": Path("x")}, tmp_path / "pickled.pth")
    with pytest.raises(WeightsError, match="damaged or no state dict"):
        load_state(tmp_path / "pickled.pth", "resnet18")


def test_a_missing_file_and_a_wrong_content_are_told_apart(tmp_path: Path) -> None:
    """The remedy fits the fault: a path to correct, or a state dict to save."""
    with pytest.raises(WeightsError, match="there is no file"):
        load_state(tmp_path / "absent.pth", "resnet18")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="something other than a state dict"):
        load_state(tmp_path / "list.pth", "resnet18")


def test_a_file_is_hashed_once_and_again_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command asks several times for the digest of one file; an edited file has another one."""
    read: list[int] = []
    monkeypatch.setattr(
        hashlib, "file_digest", lambda file, name, whole=hashlib.file_digest: read.append(1) or whole(file, name)
    )
    path = tmp_path / "weights.pth"
    path.write_bytes(b"one")
    digests = [weights_digest(path), weights_digest(path)]
    os.utime(path, ns=(0, 0))
    assert weights_digest(path) == digests[0] == digests[1] == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"two")
    assert weights_digest(path) == hashlib.sha256(b"two").hexdigest()
    assert len(read) == 3
