"""What an experiment is: every setting of `experiment.toml` as frozen records, with its default.

The names of the records' fields are the keys of the file; `orchestrator.experiment.file` reads the file into
them and `orchestrator.experiment.rules` holds what the values must satisfy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from mpi_model.settings import NetworkSettings, TrainingSettings
from mpi_model.vocabulary import INPUTS, Inputs

Objective = Literal["balanced_log_loss", "auc"]
ThresholdRule = Literal["fixed", "balanced_accuracy"]
Baseline = Literal["segments", "none"]

DEFAULT_ENDPOINTS: Mapping[str, str] = MappingProxyType(
    {"Tc-99m": "abnormal perfusion", "Tl-201": "intermediate or high risk"}
)

DEFAULT_SUBGROUPS = ("sex",)

NAMING_COLUMNS = frozenset(
    {"patient_id", "exam_id", "stress", "rest", "exam_date", "manifest_row", "has_stress", "has_rest", "partition"}
)
"""Columns that name single exams or their place; they are neither strata nor subgroups."""

MOST_SUBGROUPS = 50
"""Different values of a column that can be reported apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortSettings:
    """The `[cohort]` section."""

    manifest: str
    """The cohort's manifest, relative to the experiment file."""
    patients: Literal["common", "available"] = "common"
    """`common`: every input configuration trains and is judged on the same exams; `available`: on what it can use."""
    exams: Literal["all", "first"] = "all"
    """`all` exams of a patient, or the `first` of each patient and tracer by `exam_date`."""
    inputs: tuple[Inputs, ...] = INPUTS
    """The input configurations to run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """The `[images]` section."""

    size: int = 64
    """Pixels of a side of the square every map is resampled to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldSettings:
    """The `[folds]` section."""

    by: Literal["patient", "site"] = "patient"
    """`patient`: folds are drawn; `site`: each value of the manifest's `site` is a fold, once (`repeats = 1`)."""
    folds: int = 5
    """Parts of one partition of the development patients; with `by = "site"` it becomes the number of sites."""
    repeats: int = 10
    """Partitions, each drawn anew."""
    stratify: tuple[str, ...] = ("tracer", "label", "sex")
    """What the folds balance; `tracer` and `label`, then columns of the manifest, least important last."""
    seed: int = 0
    """Changes every draw that the plan makes."""
    training_share: float = 1.0
    """The share of its training patients that each cell uses, in (0, 1]; below 1 for a point of a learning curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """The `[search]` section."""

    space: str = "learning_rates_and_freeze_depth"
    """A name from `search_spaces`, or the path of a space file relative to the experiment file."""
    candidates: int = 20
    """Settings tried in each cell."""
    scheme: Literal["nested", "flat"] = "nested"
    """`nested`: every cell searches by itself. `flat`: candidates are drawn beforehand, and the cells of a repeat share
    their trainings. Each cell chooses by networks that have seen none of its evaluated patients."""
    inner_folds: int = 3
    """Inner folds a candidate is scored on; 1 means one 20 % hold-out."""
    strategy: Literal["race", "all_folds"] = "race"
    """`race`: all candidates are trained on the first inner fold, the better half on the second, the better quarter on
    the third, never fewer than `winners`. `all_folds`: each on every inner fold before the next one. With one inner
    fold they are the same; a flat search has none."""
    objective: Objective = "balanced_log_loss"
    """What a candidate is chosen by; training always minimises the balanced log loss."""
    winners: int = 3
    """Best candidates that the members are refits of, in turn; with one member, of the best one only."""
    prune: bool = True
    """Stop a candidate early that does worse than the median of earlier ones at the same epoch."""

    @property
    def races(self) -> bool:
        """Whether candidates race; over one inner fold, and in a flat search, there is nothing to race over."""
        return self.strategy == "race" and self.scheme == "nested" and self.inner_folds > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionSettings:
    """The `[decision]` section."""

    threshold: ThresholdRule = "fixed"
    """`fixed`: 0.5 of the balanced probability; `balanced_accuracy`: best on inner out-of-fold scores."""
    calibration: Literal["none", "platt"] = "platt"
    """`platt`: a monotone logistic recalibration per tracer, from out-of-fold scores of the winners, trained again in
    a fresh inner cross-validation (members × inner folds more trainings a cell); `none`: balanced probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noninferiority:
    """The question of a tracer's primary hypothesis: is the first input configuration not worse than the second?"""

    pair: str
    """Two input configurations, such as `stress-dual`; the first is the one that may be enough."""
    margin: float
    """The loss of AUC that would still be accepted, in (0, 0.5); declared before any training."""

    @property
    def sides(self) -> tuple[str, str]:
        """The two input configurations."""
        first, _, second = self.pair.partition("-")
        return first, second


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsSettings:
    """The `[statistics]` section: fixed before any training, part of the experiment's hash."""

    level: float = 0.95
    """Confidence level of every interval."""
    equivalence: float = 0.02
    """Half-width of the region of practical equivalence for AUC differences."""
    subgroups: tuple[str, ...] = DEFAULT_SUBGROUPS
    """Manifest columns whose values are reported apart."""
    specificity: float = 0.8
    """The specificity at which sensitivity is reported."""
    baseline: Baseline = "segments"
    """What each network is compared with: logistic regression on the 17 segment means of the same maps, or nothing."""
    noninferiority: Noninferiority | None = None
    """The primary hypothesis of every tracer; None where none was declared."""
    comparisons: tuple[str, ...] = ()
    """The secondary hypotheses: pairs of input configurations; all pairs where the list is empty."""
    prevalence: float | None = None
    """The prevalence at which predictive values are reported; None for none."""
    endpoints: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_ENDPOINTS))
    """What label 1 means, per tracer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSettings:
    """The `[resources]` section: what a cell may use; never part of the experiment's hash."""

    gpus_per_cell: float | Literal["auto"] = "auto"
    """GPUs a cell reserves, fractions allowed; `auto` is 0 without a GPU, else what a first candidate needs."""
    cpus_per_cell: float = 1
    """Processor cores a cell reserves, and so how many run at a time; each computes on one thread, whatever it is."""
    attempts: int = 3
    """Times a cell is tried when its worker dies; lost nodes are not counted."""
    candidate_deadline: float | Literal["auto"] = "auto"
    """Seconds without a result after which a worker counts as hung and is ended; `auto` measures it, generously."""
    wait_for_nodes: float = 3600.0
    """Seconds that a run on a cluster waits while no node can do a cell, at its beginning or later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """The `[storage]` section."""

    runs: str = "runs"
    """Where run directories are made: a folder, relative to the experiment file, or `s3://bucket/prefix`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Everything one `experiment.toml` asks for."""

    name: str
    """The run directory's name."""
    cohort: CohortSettings
    images: ImageSettings = ImageSettings()
    network: NetworkSettings = field(default_factory=NetworkSettings)
    folds: FoldSettings = FoldSettings()
    search: SearchSettings = SearchSettings()
    training: TrainingSettings = field(default_factory=TrainingSettings)
    decision: DecisionSettings = DecisionSettings()
    statistics: StatisticsSettings = field(default_factory=StatisticsSettings)
    resources: ResourceSettings = ResourceSettings()
    storage: StorageSettings = StorageSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedExperiment:
    """An experiment with the folder its relative paths start from."""

    experiment: Experiment
    folder: Path

    @property
    def manifest(self) -> Path:
        """The cohort's manifest."""
        return self.folder / self.experiment.cohort.manifest

    @property
    def run_directory(self) -> str:
        """Where the run's results live: a local path, or a URL."""
        return self._in_runs(self.experiment.name)

    @property
    def test_openings(self) -> str:
        """Where openings of test partitions are written down, shared by all experiments of the folder."""
        return self._in_runs("test_openings")

    def _in_runs(self, name: str) -> str:
        runs = self.experiment.storage.runs
        return f"{runs.rstrip('/')}/{name}" if "://" in runs else str(self.folder / runs / name)
