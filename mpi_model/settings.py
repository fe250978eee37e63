"""Settings of a network and its training, as frozen records; imports no torch."""

from dataclasses import dataclass
from typing import Literal

Fusion = Literal["concatenate", "difference"]
Heads = Literal["tracer", "shared", "separate"]
EncoderStages = int | Literal["all"]
Precision = Literal["fp32", "bf16"]
Budget = Literal["schedule", "best_epoch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """The `[network]` section of an experiment."""

    backbone: str = "resnet18"
    """A name from `mpi_model.stages.BACKBONES`."""
    weights: str = "imagenet"
    """`imagenet`, `random`, or the path of a state dict."""
    fusion: Fusion = "concatenate"
    """How dual input joins the two feature vectors: side by side, or stress beside stress minus rest."""
    heads: Heads = "tracer"
    """One head per tracer on a shared encoder, one shared head, or separate encoders per tracer."""
    encoder_stages: EncoderStages = "all"
    """The encoder ends after the backbone's first so many stages; `all` is the whole backbone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """The `[training]` section of an experiment."""

    epochs: int = 30
    """Most epochs of a candidate; also the horizon of the learning-rate schedule."""
    batch_size: int = 32
    """Exams a step, at most: an epoch is cut into batches of nearly equal size."""
    patience: int = 6
    """Epochs without a better validation result before a candidate stops, where the budget is `best_epoch`."""
    budget: Budget = "schedule"
    """`best_epoch`: candidates stop by patience, and a refit takes the median of their best epochs' steps. `schedule`:
    every training runs its learning rates down to zero. What is judged is the mean of its weights after each epoch of
    the second half."""
    augment: bool = True
    """Small rotations, intensity changes and blur during training."""
    precision: Precision = "fp32"
    """`bf16` uses autocast; results then repeat within rounding only."""
    members: int = 3
    """Networks refitted after each search, with a seed each; their mean score is the prediction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """One candidate: what a search space may vary."""

    encoder_learning_rate: float | None = 3e-4
    """AdamW's rate for the encoder; None when the encoder is wholly frozen."""
    head_learning_rate: float = 1e-3
    """AdamW's rate for the heads."""
    encoder_stages: int | None = None
    """The encoder ends after so many stages; None where `NetworkSettings.encoder_stages` applies."""
    freeze_depth: int = 0
    """The first `freeze_depth` stages of the encoder keep their weights and batch-norm statistics."""
    weight_decay: float = 1e-2
    """AdamW's decoupled weight decay."""
    dropout: float = 0.0
    """Dropout before the head, a probability in [0, 1)."""
    layer_decay: float = 1.0
    """Each stage of the encoder learns at this fraction of the next one's rate; the last has the encoder's own."""
    label_smoothing: float = 0.0
    """Training targets become `label * (1 - s) + s / 2`; validation targets stay as they are."""
    logit_noise: float = 0.0
    """Standard deviation of the Gaussian noise added to the logits during training."""
