"""Pretrained weights: fetched once into torch's cache, checked, and passed on as plain numpy arrays."""

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import safetensors.torch
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor

from mpi_model.backbones import StagedEncoder, empty_encoder
from mpi_model.errors import WeightsError
from mpi_model.imagenet import MOST_WEIGHT_BYTES, checkpoint_path
from mpi_model.regular_files import open_regular
from mpi_model.stages import Backbone, TorchvisionWeights, backbone

State = Mapping[str, NDArray[np.generic]]
"""Weights and buffers of one encoder by name, the names being `StagedEncoder`'s own."""

_KEYS_SHOWN: Final = 3
_KEY_SHOWN: Final = 80
"""Characters of a key."""
_COUNTER: Final = "num_batches_tracked"
"""Batch norm's counter, which files older than torch 0.4.1 lack and nothing here reads."""
_MOST_TENSORS: Final = 10_000
"""Of a file; the largest backbone here has 360, and torch takes a millisecond for each."""


def fetch_imagenet(name: str, *, progress: bool) -> Path:
    """Make sure that a backbone's ImageNet weights are on this computer.

    A file that is there is used. A missing one of torchvision's is downloaded by it, which checks its hash; what comes
    in a package is installed with it and never downloaded here.

    Args:
        name: A name from `mpi_model.stages.BACKBONES`.
        progress: Show a progress bar on standard error.

    Returns:
        The file, in torch's cache or in its package.

    Raises:
        WeightsError: No such weights exist, the download failed, or the package is missing.
    """
    path, source = checkpoint_path(backbone(name)), backbone(name).imagenet
    if path.is_file() or not isinstance(source, TorchvisionWeights):
        return path
    weights = torchvision.models.get_weight(source.enum)
    try:
        # Explicit, because a caller may have moved torch hub's folder while checkpoint_path cannot know of it.
        torch.hub.load_state_dict_from_url(
            weights.url, model_dir=str(path.parent), progress=progress, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"network.weights: could not download {path.name} ({type(error).__name__}); fetch {weights.url} on "
            f'another computer and put it in {path.parent}, or set weights = "random"'
        ) from error
    return path


def load_state(path: Path, name: str, *, image_channels: int = 1) -> dict[str, NDArray[np.generic]]:
    """Read a state dict for a whole backbone, with the key names of its source or the encoder's own.

    Args:
        path: A `.safetensors` file or one written by `torch.save`; nothing in it is executed.
        name: A name from `mpi_model.stages.BACKBONES`.
        image_channels: Channels C of the maps; only `compact` depends on it.

    Returns:
        Every weight and buffer of the encoder, by the encoder's names and in its shapes; the classifier's are left out.

    Raises:
        WeightsError: The file cannot be read, or belongs to another network.
    """
    description = backbone(name)
    found = {_encoder_name(key, description): value for key, value in _read(path).items()}
    expected = empty_encoder(name, image_channels=image_channels).state_dict()
    found = {key: value for key, value in found.items() if not _is_classifier(key, description)}
    # Zero is what torch itself assumes for old files.
    counters = {key: torch.zeros((), dtype=torch.int64) for key in expected if key.endswith(_COUNTER)}
    complete = {**counters, **found}
    _check_same_network(complete, expected, path, description)
    # In the encoder's order and types; float16 weights are widened.
    return {key: _finite(key, complete[key].to(expected[key].dtype), path).numpy() for key in expected}


def apply_state(encoder: StagedEncoder, state: State) -> None:
    """Give an encoder a copy of a state.

    Args:
        encoder: On the CPU, or as shapes alone on the meta device; on the CPU afterwards.
        state: As `load_state` returns it; of the whole backbone, also for an encoder that ends early.

    Raises:
        WeightsError: The state belongs to another network.
    """
    expected = encoder.state_dict()
    beyond = tuple(f"stages.{number}." for number in range(len(encoder.stages), _whole_count(encoder)))
    # A copy: arrays that came through shared memory are read-only, and torch must not alias them.
    tensors = {key: torch.from_numpy(np.array(value)) for key, value in state.items() if not key.startswith(beyond)}
    _check_same_network(tensors, expected, Path("the given state"), encoder.description)
    # Assigned, not copied into: an encoder on the meta device has no memory yet.
    encoder.load_state_dict(tensors, assign=True)


def _whole_count(encoder: StagedEncoder) -> int:
    return backbone(encoder.description.name).stage_count


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with open_regular(path, MOST_WEIGHT_BYTES) as file, warnings.catch_warnings():
            # Of torch, about files that are refused below.
            warnings.simplefilter("ignore")
            if path.suffix == ".safetensors":
                content = safetensors.torch.load(file.read())
            else:
                _check_archive(file)
                # weights_only: unpickling may run code, and this file may come from anywhere.
                content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"network.weights: there is no file {path}; correct the path") from error
    except MemoryError:
        raise
    except Exception as error:  # what is damaged, or no such file at all, raises nearly anything
        raise WeightsError(
            f"network.weights: {path} is damaged or no state dict ({type(error).__name__}); fetch it again"
        ) from error
    if not isinstance(content, Mapping) or not all(map(_is_plain, content.values())):
        raise WeightsError(f"network.weights: {path} holds something other than a state dict; save module.state_dict()")
    # Parameters, which are saved where somebody saves `named_parameters()`, become the tensors they hold.
    return {str(key): value.detach() for key, value in content.items()}


def _check_archive(file: BinaryIO) -> None:
    """Refuse an archive that unpacks to more than it is, or whose checksums are wrong: torch compares none.

    Raises:
        ValueError: It is one. Files of torch before 1.6 are no archives, and pass.
    """
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
            # Torch packs nothing.
            if len(records) > _MOST_TENSORS or any(record.file_size > record.compress_size for record in records):
                raise ValueError("it is packed, or holds too much")
            if archive.testzip() is not None:
                raise ValueError("a checksum is wrong")
    file.seek(0)


def _is_plain(value: object) -> bool:
    """Whether a value is a tensor with a number for every place, and no sparse, quantised or empty shell of one."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_nested or value.is_complex())
    )


def _finite(key: str, value: Tensor, path: Path) -> Tensor:
    """The weights, unless one is not a number: every training from them would diverge."""
    if not bool(torch.isfinite(value).all()):
        raise WeightsError(f"network.weights: {path} holds NaN or infinite values in {key}; fetch it again")
    return value


def _encoder_name(key: str, description: Backbone) -> str:
    """The encoder's name of a source network's key; an unknown key stays as it is."""
    for number, stage in enumerate(description.stages):
        for place, module in enumerate(stage.modules):
            if key.startswith(f"{module}."):
                return f"stages.{number}.{place}{key[len(module) :]}"
    return key


def _is_classifier(key: str, description: Backbone) -> bool:
    return key.startswith(tuple(f"{module}." for module in description.classifier))


def _check_same_network(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: Path, description: Backbone
) -> None:
    shared = found.keys() & expected.keys()
    differences = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "of another shape": sorted(key for key in shared if found[key].shape != expected[key].shape),
        "no fractions": sorted(
            key for key in shared if expected[key].is_floating_point() and not found[key].is_floating_point()
        ),
    }
    if any(differences.values()):
        details = "; ".join(f"{what}: {_few(keys)}" for what, keys in differences.items() if keys)
        raise WeightsError(
            f"network.weights: {source} is not a {description.name} ({details}); give weights of "
            f"{description.name} or change network.backbone"
        )


def _few(keys: list[str]) -> str:
    more = len(keys) - _KEYS_SHOWN
    return ", ".join(key[:_KEY_SHOWN] for key in keys[:_KEYS_SHOWN]) + (f" and {more} more" if more > 0 else "")
