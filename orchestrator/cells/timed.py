"""A training that was timed before a run; no torch, so that a forecast is read without it."""

from dataclasses import dataclass

from mpi_model.vocabulary import Inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What decides how long an epoch of a candidate takes."""

    encoder_stages: int | None
    """None where the experiment decides where the encoder ends."""
    freeze_depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedTraining:
    """One inner fold of a candidate, trained to its end or for as long as there was time."""

    inputs: Inputs
    kind: Kind
    first: bool
    """Whether it was the first of its kind, which computes what the frozen stages make of the maps."""
    setup: float
    """Seconds before the first epoch."""
    costs: tuple[float, ...]
    """The objective after each epoch, as something to be made small."""
    seconds: tuple[float, ...]
    """Seconds of each epoch."""
    refit_epoch: float
    """Seconds of an epoch of a refit on the same exams, in which nothing is scored."""
    best: int
    """The epoch that it is judged by."""
    ended: bool
    """Whether patience or the schedule ended it."""
