"""What crosses a process line: a cell's task on the way out, its candidates and result on the way back.

No record here holds a patient's id, and none has a place for the label of an exam that a cell is judged on. Exams are
row numbers of `Maps`, and labels come only inside `LabelledExams`. The exams to judge are bare row numbers.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mpi_model.maps import LabelledExams, Maps
from mpi_model.settings import NetworkSettings, TrainingSettings
from mpi_model.vocabulary import Inputs, Phase
from orchestrator.experiment.settings import Baseline, DecisionSettings, Experiment, SearchSettings
from search_spaces.conditions import Value
from search_spaces.space import SearchSpace

CandidateState = Literal["complete", "pruned", "failed"]
"""Pruned is also who was dropped from a race, and who is still in it."""
ModelKind = Literal["network", "segments"]
ExplainedNetwork = Literal["trained", "randomised", "none"]
"""The model; the same with weights drawn at random; no network at all, only how the map differs from its reference."""
NETWORK: Final[ModelKind] = "network"
SEGMENTS: Final[ModelKind] = "segments"
"""The baseline, `orchestrator.cells.baseline`."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class CellKey:
    """Names a cell; `repeat` and `fold` are None for a final cell, whose partition is `test`.

    In the partition `search` it is a part of a flat search: a fold and the next one are left out, and scored by every
    candidate. In the partition `bootstrap` the repeat is the number of a sample, from 1; None is the cohort itself.
    """

    inputs: Inputs
    partition: Literal["development", "search", "test", "bootstrap"]
    repeat: int | None
    fold: int | None

    @property
    def name(self) -> str:
        """The cell's folder and its trial's name: `stress-r02-f4`, or `stress-final`."""
        if self.repeat is None or self.fold is None:
            return f"{self.inputs}-final"
        part = "-search" if self.partition == "search" else ""
        # Two digits, so that names sort as numbers do in a listing.
        return f"{self.inputs}{part}-r{self.repeat:02d}-f{self.fold}"


def cell_keys(experiment: Experiment, *, final: bool = True) -> list[CellKey]:
    """Every cell of an experiment, in the order in which they are done.

    Args:
        experiment: Its folds, repeats and input configurations name the cells.
        final: Whether the final cells are among them; a label permutation has none.
    """
    folds, inputs = experiment.folds, experiment.cohort.inputs
    # Those of a flat search first: all others choose by what they find.
    partitions: tuple[Literal["search", "development"], ...] = ("development",)
    if experiment.search.scheme == "flat":
        partitions = ("search", "development")
    # Repeat by repeat, so that a run that is cut short has whole repeats.
    cells = [
        CellKey(inputs=name, partition=partition, repeat=repeat, fold=fold)
        for partition in partitions
        for repeat in range(folds.repeats)
        for fold in range(folds.folds)
        for name in inputs
    ]
    # Final cells come last: they train on all development patients and are judged only when the test is opened.
    last = inputs if final else ()
    return cells + [CellKey(inputs=name, partition="test", repeat=None, fold=None) for name in last]


def sample_keys(experiment: Experiment, samples: int) -> list[CellKey]:
    """The cells of so many bootstrap samples; first those of the cohort itself, which the others are compared with."""
    # Seeds depend on repeat and fold, so the cohort's own cells train the very networks of the run's final cells.
    places = [(None, None), *((number, 0) for number in range(1, samples + 1))]
    return [
        CellKey(inputs=name, partition="bootstrap", repeat=repeat, fold=fold)
        for repeat, fold in places
        for name in experiment.cohort.inputs
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerSplit:
    """One inner fold: what a candidate learns from and what it is scored on, both training patients."""

    training: LabelledExams
    validation: LabelledExams
    patients: NDArray[np.int64]
    """`[n]`, whose exam each of `validation` is: numbers from 0 that mean nothing outside this cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTask:
    """All that a cell knows about its patients."""

    key: CellKey
    plan: str
    """The plan's digest, which seeds the training."""
    training: LabelledExams
    inner: tuple[InnerSplit, ...]
    calibration: tuple[InnerSplit, ...] = ()
    """Folds of the training exams in which the winners are trained again to be calibrated; empty for no calibration."""
    # Rows without labels: a cell cannot learn from what it is judged on, not even by mistake.
    evaluation: NDArray[np.int64]
    """`[n]`, rows of `Maps` to predict; empty for a final cell, whose network is kept instead."""
    scores: NDArray[np.float64] | None = None
    """`[candidates, n]`, what a flat search found for the validation exams of `inner`, folds one after another; NaN for
    a candidate that could not be trained. None for a cell that searches by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Procedure:
    """What every cell does alike: the experiment, less its data."""

    network: NetworkSettings
    training: TrainingSettings
    search: SearchSettings
    decision: DecisionSettings
    space: SearchSpace
    baseline: Baseline = "none"
    """What each cell fits beside its networks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """What a worker holds for all its cells; sent once."""

    maps: Maps
    procedure: Procedure
    state: Mapping[str, NDArray[np.generic]] | None
    """Pretrained weights by their state dict's keys; None for random ones."""
    device: str
    """`cpu`, or `cuda` for the GPU that Ray assigned."""
    facts: Mapping[str, str]
    """What a saved model should say of its origin: experiment hash, versions, image size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """The process that is at a cell."""

    host: str
    process: int
    """Its process id."""
    processor: str
    """The vector instructions of its machine's processor, which decide the last bits of every number."""
    node: str = ""
    """Ray's id of its node; empty without Ray."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One epoch of one inner fold of a candidate."""

    inner_fold: int
    epoch: int
    training_loss: float
    validation_loss: float
    validation_auc: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateResult:
    """A candidate, tried: enough to replay the study and to finish the cell from it."""

    number: int
    state: CandidateState
    values: dict[str, Value | None]
    """What the space proposed; None where a parameter did not exist."""
    objective: float | None
    """Mean over inner folds, each at the epoch it is judged by. None unless complete, and None in parts of a flat
    search, which know no label of the exams that they score."""
    best_steps: tuple[int, ...] = ()
    """Optimiser steps at the epoch that judges it, for each inner fold that it ended; without a race all or none."""
    inner_scores: tuple[float, ...] = ()
    """Scores of the inner validation exams at these epochs, inner folds one after another."""
    reported: tuple[float, ...] = ()
    """The objective after each epoch; in a race, of the first inner fold. The pruner received all but the last one of a
    training that came to its end."""
    epochs: tuple[EpochRecord, ...] = ()
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One member's prediction for one exam; no label."""

    member: int
    row: int
    score: float
    probability: float
    threshold: float
    model: ModelKind = NETWORK
    """Who predicts; a baseline has member 0 only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Where the score of one exam comes from, on one phase's map; no pixel and no label."""

    network: ExplainedNetwork
    row: int
    phase: Phase
    segments: tuple[float, ...]
    """`[17]`, net attribution of each segment, log odds."""
    outside: float
    """Of what lies in no segment: the corners of the image."""
    residual: float
    """Of the exam: its attributions' sum minus the difference of the scores."""
    bound: float
    """What that can be at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModel:
    """A final network as it is stored: safetensors bytes and a JSON description."""

    member: int
    weights: bytes
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """A finished cell."""

    key: CellKey
    state: Literal["complete", "failed"]
    reason: str = ""
    """Why a failed cell failed."""
    candidate: int | None = None
    """The number of the first member's candidate."""
    steps: int | None = None
    """Optimiser steps of its refit."""
    values: dict[str, Value | None] = field(default_factory=dict)
    """What the space proposed for it."""
    predictions: tuple[Prediction, ...] = ()
    models: tuple[SavedModel, ...] = ()
    seconds: float
    host: str
    device: str
    baseline: str = ""
    """The fitted baseline of a final cell, as JSON; empty where there is none."""
    searched: int | None = None
    """Candidates that it handed over, those found at the beginning included; None where the cell could not count."""
    attributions: tuple[Attribution, ...] = ()
    """Of the evaluated exams, where they were asked for: see `orchestrator.explanation`."""
    trace: str = ""
    """The traceback of an unexpected error, for the log."""
    fault: Literal["", "gpu_memory", "gpu_fault"] = ""
    """A failure that another try may overcome, elsewhere or with more of a GPU; empty for the rest."""


def failed_cell(key: CellKey, device: str, reason: str, seconds: float) -> CellResult:
    """A cell that ended without predictions; a row like any other."""
    return CellResult(
        key=key,
        state="failed",
        reason=reason,
        seconds=seconds,
        host=platform.node(),
        device=device,
    )
