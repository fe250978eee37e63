"""What a report is made from, and what it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal

import pandas as pd

from orchestrator.cells.records import NETWORK, SEGMENTS
from orchestrator.experiment.settings import SearchSettings, StatisticsSettings
from orchestrator.report.traced import Phrase
from orchestrator.statistics.selection_bias import SelectionBias
from search_spaces.stored import StoredParameter

FLAT_SEARCH: Final = "flat search, bias-reduced"
"""What every estimate says that comes from a flat search."""
EVERYONE: Final = "all"
"""The subgroup of all exams."""
HELD_OUT_SITE: Final = "held-out site="
"""Begins the subgroup of a site that was held out as a fold."""
BASELINES: Final[Mapping[str, str]] = MappingProxyType(
    {SEGMENTS: "logistic regression on the 17 segment means of the same maps"}
)
"""What a network is compared with, described by its `model`."""

MEASURES: Final = MappingProxyType(
    {
        "auc": "AUC",
        "auc_of_new_site": "AUC to expect at a new site",
        "auc_tau2": "tau² over sites",
        "auc_i2": "I² over sites",
        "partial_auc": "partial AUC (standardised) at a specificity of at least",
        "auc_above_chance": "AUC against 0.5",
        "auc_expected": "to expect from these counts at AUC",
        "balanced_accuracy": "balanced accuracy",
        "sensitivity": "sensitivity",
        "specificity": "specificity",
        "likelihood_ratio_positive": "likelihood ratio of a positive result",
        "likelihood_ratio_negative": "likelihood ratio of a negative result",
        "positive_predictive_value": "positive predictive value at a prevalence of",
        "negative_predictive_value": "negative predictive value at a prevalence of",
        "brier": "Brier score",
        "calibration_intercept": "calibration in the large (perfect: 0)",
        "calibration_slope": "calibration slope (perfect: 1)",
        "recalibration_intercept": "recalibration refitted here, intercept",
        "recalibration_slope": "recalibration refitted here, slope",
        "brier_recalibrated": "Brier score, recalibrated here",
        "map_distance_ratio": "map distance (development: 1)",
        "maps_beyond_development": "maps beyond the development maps' quantile",
        "agreement": "agreement of two repeats",
        "auc_of_search": "AUC that the search saw",
        "auc_bias_corrected": "AUC by BBC-CV",
        "optimism": "optimism of the search",
        "fold_auc_variance": "SD of the fold AUCs, part due to",
        "exams_with_flipped_decision": "decision changes with the repeat",
        "probability_range": "range of probability over repeats",
        "prediction_instability": "mean absolute prediction error",
        "decision_instability": "share of samples that decide otherwise",
        "exams_with_unstable_decision": "exams decided otherwise in more than a share of",
        "patients_of_next_study": "patients for the next study",
    }
)
"""The names of measures by `metric`, in the order of the rows of a main table."""


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
    """`available` runs judge each input configuration on other exams, so their comparisons are refused."""
    epochs: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The contract's columns; empty for predictions made elsewhere. For the optimism of the search."""
    candidates: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The contract's columns; empty for predictions made elsewhere. For the figures of the search."""
    space: tuple[StoredParameter, ...] = ()
    """What the search drew."""
    maps: pd.DataFrame | None = None
    """Segment means of the maps in the order of `exams`; None where they are not known."""
    search: SearchSettings = field(default_factory=SearchSettings)
    """How candidates were chosen."""
    budget: str = "schedule"
    """Which epoch of a training counts: `best_epoch`, or the last one."""
    members: int = 1
    """Networks of a cell, whose mean score is judged."""
    searched: pd.DataFrame = field(default_factory=pd.DataFrame)
    """What the parts of a flat search predicted, `member` the candidate's number; empty without one."""
    selection_bias: Mapping[tuple[str, str], SelectionBias] = field(default_factory=dict)
    """What choosing does to the AUC after a flat search, by inputs and tracer."""
    by: Literal["patient", "site"] = "patient"
    """What a fold is: drawn patients, or a site of the column `site` in `exams`."""
    attributions: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The contract's columns; empty where the run was not explained."""
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
class ReportFigure:
    """A figure of the page and of a manuscript."""

    key: str
    """The name of its files in `figures/`."""
    section: str
    """The key of the section that shows it."""
    title: str
    description: str
    """For a reader who cannot see it."""
    caption: tuple[Phrase, ...]
    """Neighbours with the same caption are shown as the panels of one figure."""
    svg: str
    pdf: bytes
    csv: str
    """What is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a report prints: no patient, no path, no pixel."""

    name: str
    """The experiment's name."""
    summary: pd.DataFrame
    """From `summarise`, of a run or of predictions made elsewhere, or of the comparison of two runs."""
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
    statistics: StatisticsSettings = field(default_factory=StatisticsSettings)
    """The margin and the zone of equivalence that the answer is read by."""
    extracts: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Small tables beside the summary, by their key in `summary.json`: what the page's numbers are traced to."""
    figures: tuple[ReportFigure, ...] = ()
    """In the order of the page; empty where none were drawn."""
    sections: Mapping[str, object] = field(default_factory=dict)
    """What a section of the page has to say beyond summary and figures, by its key. It is the frozen record that its
    template prints, or, as a text, why there is nothing to say."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts for a manuscript beside `report.html`, by the file's name."""
    incomplete_inputs: tuple[str, ...] = ()
    """Inputs with cells that failed or have not run, unless a report over what there is was asked for."""
    notices: tuple[str, ...] = ()
    case_mix: pd.DataFrame = field(default_factory=pd.DataFrame)
    """`tracer, endpoint, measure` and one column a cohort."""
    validations: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By cohort, how often it was used for a validation, and by how many different sets of frozen networks."""


def is_of_flat_search(row: Mapping[str, object]) -> bool:
    """Whether a row of the summary is an estimate of a flat search's cross-validation."""
    return str(row["reason"]).startswith(FLAT_SEARCH)
