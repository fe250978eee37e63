"""What a report is made from, and what it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import pandas as pd

Partition = Literal["development", "test"]
EVERYONE: Final = "all"
"""The subgroup of all exams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTables:
    """The tables of a run that its summary is made from."""

    predictions: pd.DataFrame
    """The contract's columns; `repeat` and `fold` are null for the test partition."""
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
    calibrated: bool = False
    """Whether probabilities were recalibrated; net benefit is refused where they were not."""


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
