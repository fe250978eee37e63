"""What `polarmap plan` and `polarmap.plan` answer: folds, work, precision and time to expect.

No torch and no Ray, unless a pilot is asked for.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.stages import backbone
from orchestrator.driver.cohort_check import CohortCheck, check_of, records
from orchestrator.driver.expected_precision import expected_power, expected_precision
from orchestrator.driver.prepare import Prepared, prepare
from orchestrator.experiment.bounds import check_number
from orchestrator.experiment.settings import Experiment, LoadedExperiment
from orchestrator.folds.draws import Membership
from orchestrator.ledger.paths import run_paths
from orchestrator.ledger.reading import Run
from orchestrator.monitoring.progress import Progress
from orchestrator.report.further_designs import further_designs

if TYPE_CHECKING:
    from orchestrator.driver.pilot import PilotForecast  # torch

_MOST_WORKERS: Final = 1_000_000
_CELL: Final = ["inputs", "partition", "repeat", "fold"]
_DECIDING_TIME: Final = ("images", "network", "search", "training", "decision")
_FOLD_COLUMNS: Final = (
    *("tracer", "inputs", "patients_min", "patients_max"),
    *("positive_min", "positive_max", "negative_min", "negative_max"),
)
_FURTHER_COLUMNS: Final = (
    *("tracer", "inputs", "repeats", "patients", "low", "high", "width", "level"),
    "worker_hours",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run would do, known before anything is trained."""

    check: CohortCheck
    """The cohort, as `polarmap.check` gives it."""
    repeats: int
    folds: int
    fold_sizes: pd.DataFrame
    """One row a tracer and group of input configurations: patients, and patients with a positive or a negative exam,
    in the smallest and the largest fold over all repeats."""
    cells: int
    """Cells of the experiment, final ones and the parts of a flat search included."""
    parts: int
    """Parts of a flat search, in which its candidates are trained; 0 for a nested one."""
    trainings: int
    """The most networks that will be trained."""
    epochs: int
    """The most epochs of a training."""
    backbone: str
    encoder: tuple[str, ...]
    """The encoder's stages by name, which the numbers of a search space count."""
    backbone_stages: int
    """Stages of the whole backbone."""
    encoder_searched: bool
    """Whether the search decides where the encoder ends."""
    precision: pd.DataFrame
    """The interval to expect at an AUC of .85: `partition, tracer, inputs, positive, negative` (patients), `auc, low,
    high, width, level, method`."""
    power: pd.DataFrame
    """The power of the primary hypothesis, empty where none was declared: `partition, tracer, first, second, margin,
    power, positive, negative, patients` (of each class, and in all), `patients_needed` (for a power of .8), `auc,
    correlation` (supposed)."""
    timed_cells: int
    """Finished cells of an earlier, equal run that tell how long a cell takes."""
    seconds_per_cell: float | None
    """Their mean; None where there are none."""
    further: pd.DataFrame
    """What more repeats or patients would still buy, after a finished run: `tracer, inputs, repeats, patients` (a
    multiple), `low, high, width, level, worker_hours`; the first row of a model is the run's own. Else empty."""
    pilot: "PilotForecast | None" = None
    """What a pilot forecasts; None where none was asked for."""

    @property
    def worker_hours(self) -> float | None:
        """Hours of all cells one after the other; None where no cell has run yet."""
        return None if self.seconds_per_cell is None else self.seconds_per_cell * self.cells / 3600

    def to_dict(self) -> dict[str, object]:
        """The keys of `polarmap plan --json`: those of `check --json` and what a run would do."""
        return {
            **self.check.to_dict(),
            "repeats": self.repeats,
            "folds": self.folds,
            "fold_sizes": [_listed(row) for row in records(self.fold_sizes)],
            "cells": self.cells,
            "parts": self.parts,
            "trainings": self.trainings,
            "epochs": self.epochs,
            "backbone": self.backbone,
            "encoder": list(self.encoder),
            "backbone_stages": self.backbone_stages,
            "encoder_searched": self.encoder_searched,
            "precision": [_listed(row) for row in records(self.precision)],
            "power": records(self.power),
            "timed_cells": self.timed_cells,
            "seconds_per_cell": self.seconds_per_cell,
            "worker_hours": self.worker_hours,
            "further": records(self.further),
            "pilot": None if self.pilot is None else self.pilot.to_dict(),
        }

    def _repr_html_(self) -> str:
        """The tables of cohort, folds and precision, in a notebook."""
        tables = (self.check.cohort, self.fold_sizes, self.precision)
        return "".join(table.to_html(index=False, border=0) for table in tables)


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotRequest:
    """A pilot that is asked for: trainings are timed here, for seconds to two minutes."""

    workers: int | None = None
    """Cells side by side; None for as many as this machine runs."""
    cluster: Path | None = None
    """A Ray cluster file, whose node types are to be priced."""

    def __post_init__(self) -> None:
        if self.workers is not None:
            check_number("--workers", self.workers, 1, _MOST_WORKERS, "leave it out for what this machine runs")


def plan_experiment(loaded: LoadedExperiment, progress: Progress, pilot: PilotRequest | None = None) -> RunPlan:
    """What a run of an experiment would do; an earlier run of its name tells how long a cell takes.

    Args:
        loaded: The experiment.
        progress: Shows how many maps are read, and how long a pilot has been going.
        pilot: Where trainings are to be timed now.

    Raises:
        PolarmapError: See `orchestrator.driver.prepare.prepare`.
    """
    paths = run_paths(loaded.run_directory)
    prepared = prepare(loaded, progress)
    plan = _plan_of(prepared, Run(paths) if paths.experiment.exists() else None)
    if pilot is None:
        return plan
    from orchestrator.driver.pilot import pilot_forecast  # noqa: PLC0415 - torch; a plan alone does without it

    return replace(plan, pilot=pilot_forecast(prepared, pilot.workers, pilot.cluster, progress))


def _plan_of(prepared: Prepared, earlier: Run | None = None) -> RunPlan:
    """What a run of the prepared experiment would do.

    Args:
        prepared: The experiment with its cohort and fold plan.
        earlier: A run of that name, begun or finished, whose cells tell how long one takes.
    """
    experiment, plan = prepared.loaded.experiment, prepared.plan
    network = experiment.network
    # Plus one: the final cell of each input configuration.
    judged = len(experiment.cohort.inputs) * (plan.repeats * plan.count + 1)
    # A flat search is a part more for every cell but the final ones.
    parts = judged - len(experiment.cohort.inputs) if experiment.search.scheme == "flat" else 0
    seconds = _seconds_of_cells(prepared, earlier)
    return RunPlan(
        check=check_of(prepared),
        repeats=plan.repeats,
        folds=plan.count,
        fold_sizes=_fold_sizes(prepared),
        cells=judged + parts,
        parts=parts,
        # Pruning and early stopping make it fewer; how many is not known before.
        trainings=judged * _trainings_of_cell(experiment) + parts * experiment.search.candidates,
        epochs=experiment.training.epochs,
        backbone=network.backbone,
        encoder=backbone(network.backbone, network.encoder_stages).stage_names,
        backbone_stages=backbone(network.backbone).stage_count,
        encoder_searched=any(parameter.name == "encoder_stages" for parameter in prepared.space.parameters),
        precision=expected_precision(prepared),
        power=expected_power(prepared),
        timed_cells=len(seconds),
        seconds_per_cell=float(seconds.mean()) if len(seconds) else None,
        further=_further(earlier, seconds),
    )


def _further(earlier: Run | None, seconds: pd.Series) -> pd.DataFrame:
    """The widths of the finished run and of other designs, in worker-hours; empty where no run has told its times."""
    if earlier is None or not len(seconds) or not earlier.paths.summary.exists():
        return pd.DataFrame(columns=list(_FURTHER_COLUMNS))
    found, settings = further_designs(earlier.summary, earlier.folds), earlier.description.settings
    cells = len(settings.cohort.inputs) * (settings.folds.repeats * int(earlier.folds["fold"].nunique()) + 1)
    hours = found["effort"] * cells * float(seconds.mean()) / 3600
    return found.assign(worker_hours=hours)[list(_FURTHER_COLUMNS)]


def _trainings_of_cell(experiment: Experiment) -> int:
    """The most networks that a cell trains: its own candidates, members, and members once more to calibrate them."""
    search, members = experiment.search, experiment.training.members
    again = 0 if experiment.decision.calibration == "none" else members * search.inner_folds
    own = 0 if search.scheme == "flat" else search.candidates * search.inner_folds
    return own + members + again


def _listed(row: dict[str, object]) -> dict[str, object]:
    return {**row, "inputs": str(row["inputs"]).split(", ")}


def _fold_sizes(prepared: Prepared) -> pd.DataFrame:
    """Class balance: for each tracer the smallest and largest fold over all repeats."""
    plan = prepared.plan
    rows = []
    for members in _alike(plan.memberships):
        first = members[0]
        masks = (first.positive | first.negative, first.positive, first.negative)
        inputs = ", ".join(member.inputs for member in members)
        rows.append((first.tracer, inputs, *(size for mask in masks for size in _range(plan.folds, plan.count, mask))))
    return pd.DataFrame(rows, columns=list(_FOLD_COLUMNS))


def _alike(memberships: tuple[Membership, ...]) -> list[list[Membership]]:
    """Memberships gathered that hold the same patients."""
    gathered: dict[tuple[str, bytes, bytes], list[Membership]] = {}
    for member in memberships:
        key = (member.tracer, member.positive.tobytes(), member.negative.tobytes())
        gathered.setdefault(key, []).append(member)
    return list(gathered.values())


def _range(folds: NDArray[np.int64], count: int, mask: NDArray[np.bool_]) -> tuple[int, int]:
    sizes = [int((row[mask] == fold).sum()) for row in folds for fold in range(count)]
    return min(sizes), max(sizes)


def _seconds_of_cells(prepared: Prepared, earlier: Run | None) -> pd.Series:
    """Seconds of the cells that an earlier run has finished, if a cell of it did what one of this run will do."""
    none = pd.Series(dtype="float64")
    if earlier is None:
        return none
    stored, mine = earlier.description.settings, prepared.loaded.experiment
    # Times of an experiment with other work would mislead more than no times.
    other_share = stored.folds.training_share != mine.folds.training_share
    if other_share or any(getattr(stored, section) != getattr(mine, section) for section in _DECIDING_TIME):
        return none
    cells, timings = earlier.tables("cells", "timings")
    done = cells.loc[cells["state"] == "complete", _CELL]
    # The row without a candidate is the whole cell's.
    found: pd.Series = timings[timings["candidate"].isna()].merge(done, on=_CELL)["seconds"]
    return found
