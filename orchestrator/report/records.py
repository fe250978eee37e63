"""What a report is made from, and what it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal

import pandas as pd

from orchestrator.cells.records import NETWORK, SEGMENTS

Partition = Literal["development", "test"]
EVERYONE: Final = "all"
"""The subgroup of all exams."""
HELD_OUT_SITE: Final = "held-out site="
"""Begins the subgroup of a site that was held out as a fold."""
BASELINES: Final[Mapping[str, str]] = MappingProxyType(
    {SEGMENTS: "logistic regression on the 17 segment means of the same maps"}
)
"""What a network is compared with, in words, by its `model`."""

ESTIMANDS: Final = MappingProxyType(
    {
        "final network": "for the one network that was trained on all development patients, judged on all such "
        "patients as those of the test partition",
        "frozen network": "for the run's final network, judged on all such patients as those of that cohort",
        "these networks": "for the mean over the networks that this cross-validation trained, judged on all such "
        "patients; for these networks, not for the procedure that trained them",
        "procedure": "for the mean over the networks that this cross-validation trained, judged on all such patients; "
        "repeats agree, so they serve for what the procedure gives on average as well",
    }
)
"""What the intervals of a row are for, in one sentence, by its `estimand`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTables:
    """The tables of a run that its summary is made from."""

    predictions: pd.DataFrame
    """The contract's columns; `repeat` and `fold` are null for the test partition; `of` takes one model's."""
    exams: pd.DataFrame
    """One row an exam: `exam_id`, `patient_id` and the manifest's columns, for subgroups."""
    folds: pd.DataFrame
    """`repeat, patient_id, fold`: which cells a finished cross-validation has."""
    cells: pd.DataFrame
    """The contract's columns; a cell that is neither complete nor here counts as failed."""
    inputs: tuple[str, ...]
    """The input configurations of the experiment, in order."""
    patients: Literal["common", "available"] = "common"
    """`available` runs judge each inputs on other exams, so their comparisons are refused."""
    epochs: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The contract's columns; empty for predictions made elsewhere. Tells how much the search flatters."""
    objective: str = "balanced_log_loss"
    """What the search chose by."""
    by: Literal["patient", "site"] = "patient"
    """What a fold is: drawn patients, or a site of the column `site` in `exams`."""
    calibrated: bool = False
    """Whether probabilities were recalibrated; net benefit is refused where they were not."""

    @property
    def models(self) -> tuple[str, ...]:
        """Who predicts: first the model that is judged (the network), then what it is compared with."""
        return tuple(dict.fromkeys(self.predictions["model"])) or (NETWORK,)

    def of(self, model: str) -> "RunTables":
        """The same tables with the predictions of one model; what is computed from predictions starts here."""
        return replace(self, predictions=self.predictions[self.predictions["model"] == model])


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a report prints: no patient, no path, no pixel."""

    name: str
    """The experiment's name."""
    summary: pd.DataFrame
    """From `summarise`, `evaluate_predictions` or `compare_runs`."""
    cells: pd.DataFrame = field(default_factory=pd.DataFrame)
    """For the chosen hyperparameters and the failures."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Of the experiment, as they are to be read: name and value."""
    exclusions: tuple[tuple[str, str, int], ...] = ()
    """Partition, reason, exams left out."""
    openings: int | None = None
    """How often this test partition was opened, over all experiments; None where there is none."""
    unstable: pd.DataFrame = field(default_factory=pd.DataFrame)
    """From `models.hardest_exams`: exams by manifest row."""
    figures: Mapping[str, str] = field(default_factory=dict)
    """Title and SVG text, for HTML."""
    lacking: tuple[str, ...] = ()
    """Inputs with cells that failed or have not run, unless a report over what there is was asked for."""
    notices: tuple[str, ...] = ()
    case_mix: pd.DataFrame = field(default_factory=pd.DataFrame)
    """From `case_mix.case_mix`: `tracer, endpoint, measure` and one column a cohort."""
    validations: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By cohort, how often it was used for a validation, and by how many different sets of frozen networks."""
