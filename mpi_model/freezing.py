"""Freezing the first stages of an encoder, and the groups of parameters that still learn."""

from typing import Any

from torch import nn

from mpi_model.backbones import EncoderStage, StagedEncoder
from mpi_model.errors import ExperimentError
from mpi_model.network import TracerNetwork
from mpi_model.settings import Hyperparameters


def freeze(network: TracerNetwork, depth: int) -> None:
    """Freeze the first `depth` stages of every encoder, and thaw the others.

    A frozen stage's weights and batch-norm statistics keep their bits through any training, whatever `train()`
    is called. Batch norm must be frozen with the weights: statistics of a few hundred maps would otherwise move
    under filters that cannot follow.

    Args:
        network: Changed in place.
        depth: 0 to S, the encoder's stage count.

    Raises:
        SpaceError: The encoder has no such depth.
    """
    for encoder in network.encoders:
        assert isinstance(encoder, StagedEncoder)
        encoder.description.check_freeze_depth(depth)
        for number, stage in enumerate(encoder.stages):
            assert isinstance(stage, EncoderStage)
            stage.frozen = number < depth
            stage.requires_grad_(not stage.frozen)
            # Thawed stages take the network's present mode; frozen ones ignore it.
            stage.train(network.training)


def parameter_groups(network: TracerNetwork, hyperparameters: Hyperparameters) -> list[dict[str, Any]]:
    """The groups for an optimiser: encoder and heads, each with and without weight decay.

    Biases and batch-norm parameters are not decayed: decay would pull batch norm's gain towards zero without
    making the function simpler. A wholly frozen encoder has no group. With a `layer_decay` below 1 early stages
    learn more slowly than late ones (discriminative fine-tuning, Howard and Ruder 2018, doi:10.18653/v1/P18-1031).

    Args:
        network: Already frozen as the hyperparameters say.
        hyperparameters: Learning rates and weight decay.

    Returns:
        Dictionaries with `name`, `params`, `lr` and `weight_decay`.

    Raises:
        ExperimentError: The encoder learns and has no learning rate.
    """
    heads, decay = list(network.heads.parameters()), hyperparameters.weight_decay
    groups = _decayed_or_not("heads", heads, hyperparameters.head_learning_rate, decay)
    shares = _learning_by_share(network, hyperparameters.layer_decay)
    if not shares:
        return groups
    rate = hyperparameters.encoder_learning_rate
    if rate is None:
        raise ExperimentError(
            f"encoder_learning_rate: none given, but freeze_depth {hyperparameters.freeze_depth} leaves stages "
            "that learn; give a rate or freeze every stage"
        )
    encoder = [_decayed_or_not("encoder", found, rate * share, decay) for share, found in shares.items()]
    return [group for pair in encoder for group in pair] + groups


def _learning_by_share(network: TracerNetwork, layer_decay: float) -> dict[float, list[nn.Parameter]]:
    """The encoders' learning parameters by their share of the encoder's rate; one share unless rates decay."""
    shares: dict[float, list[nn.Parameter]] = {}
    for encoder in network.encoders:
        assert isinstance(encoder, StagedEncoder)
        # Counted from the last stage, which learns at the encoder's own rate.
        for above, stage in enumerate(reversed(encoder.stages)):
            learning = [parameter for parameter in stage.parameters() if parameter.requires_grad]
            if learning:
                shares.setdefault(layer_decay**above, []).extend(learning)
    return shares


def _decayed_or_not(name: str, parameters: list[nn.Parameter], rate: float, decay: float) -> list[dict[str, Any]]:
    # Biases and batch norm's parameters are vectors; convolutions and linear maps have two axes or more.
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    return [
        {"name": f"{name} weights", "params": weights, "lr": rate, "weight_decay": decay},
        {"name": f"{name} biases and norms", "params": others, "lr": rate, "weight_decay": 0.0},
    ]
