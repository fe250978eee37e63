"""Trained networks as two plain files: safetensors for the numbers, JSON for the rest. Never a pickle."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import safetensors
import safetensors.torch
import torch

from mpi_model.errors import WeightsError
from mpi_model.network import TracerNetwork, architecture_in

_FORMAT: Final = 2
"""Version of the JSON document."""


def save_network(network: TracerNetwork, description: Mapping[str, Any]) -> tuple[bytes, str]:
    """Turn a network into what is stored.

    Args:
        network: On any device.
        description: Whatever should stand beside the network (thresholds, hashes); plain JSON values.

    Returns:
        The bytes of a safetensors file and the text of a JSON document.
    """
    # safetensors refuses tensors that share memory or are not contiguous.
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    document = {
        "format": _FORMAT,
        "architecture": asdict(network.architecture),
        "description": dict(description),
    }
    return safetensors.torch.save(state), json.dumps(document, indent=2, sort_keys=True, allow_nan=False)


def load_network(weights: bytes, document: str) -> TracerNetwork:
    """Rebuild a stored network.

    Args:
        weights: The bytes of the safetensors file.
        document: The text of the JSON document.

    Returns:
        The network on the CPU, in evaluation mode; its scores are those of the network that was saved.

    Raises:
        WeightsError: The files are damaged, of a newer version, or do not belong together.
    """
    try:
        architecture = architecture_in(_content(document)["architecture"])
        # The seed does not matter: every weight is replaced by the next line.
        network = TracerNetwork(architecture, torch.Generator().manual_seed(0))
        # Strict: a missing or additional weight is an error, not a network that is partly random.
        network.load_state_dict(safetensors.torch.load(weights))
    except (safetensors.SafetensorError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"models: the saved network is damaged or its two files do not belong together "
            f"({type(error).__name__}); write it again"
        ) from error
    return network.eval()


def load_description(document: str) -> dict[str, Any]:
    """The description that was stored beside a network.

    Raises:
        WeightsError: The document is damaged or of a newer version.
    """
    description = _content(document).get("description")
    if not isinstance(description, dict):
        raise WeightsError("models: the saved network's JSON document has no description; restore it")
    return description


def _content(document: str) -> dict[str, Any]:
    try:
        content = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise WeightsError("models: the saved network's JSON document is damaged; write it again") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise WeightsError(
            f"models: the saved network's JSON document is not of format {_FORMAT}; use the polarmap that wrote it"
        )
    return content
