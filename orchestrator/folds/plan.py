"""The fold plan: which patients are evaluated in which fold of which repeat, and how the rest is cut inside.

A plan depends on the development patients, their labels and strata, and the `[folds]` settings, and on nothing
else; its digest seeds every draw. It is drawn once, written down, and shared by all inputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.errors import FoldsError
from mpi_model.vocabulary import Inputs
from orchestrator.experiment.settings import FoldSettings
from orchestrator.folds.dealing import deal
from orchestrator.folds.strata import OF_PROTOCOL, Stratum, strata_of
from orchestrator.hashing import derive_seed, digest

LEAST_PATIENTS = 2
"""Positive and negative patients of each tracer that every fold must hold: one pair has no spread."""
DRAWS = 50
"""Draws tried before a plan is refused; a plan of single-tracer patients needs one."""
HOLD_OUT_PARTS = 5
"""`inner_folds = 1` holds out one of five parts: 20 % of the patients."""
DEFAULT_STRATIFY = FoldSettings().stratify


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Which patients hold a positive and which a negative exam, for one inputs and tracer that has exams."""

    inputs: Inputs
    tracer: str
    positive: NDArray[np.bool_]
    negative: NDArray[np.bool_]

    def least(self, parts: NDArray[np.int64], part: int) -> int:
        """The smaller of the two classes' patients in a part."""
        inside = parts == part
        return min(int(np.count_nonzero(self.positive & inside)), int(np.count_nonzero(self.negative & inside)))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldPlan:
    """Repeated patient-stratified folds of the development patients."""

    patients: tuple[str, ...]
    """Sorted ids."""
    folds: NDArray[np.int64]
    """`[repeats, patients]`, the fold each patient is evaluated in."""
    strata: tuple[Stratum, ...]
    """The merged stratum of each patient."""
    memberships: tuple[Membership, ...]
    stratify: tuple[str, ...]
    """The columns that were used."""
    count: int
    """Folds of a repeat."""
    notices: tuple[str, ...]
    digest: str

    @property
    def repeats(self) -> int:
        """How often the patients are partitioned anew."""
        return len(self.folds)


def plan_folds(
    exams: pd.DataFrame,
    eligible: Mapping[Inputs, NDArray[np.bool_]],
    settings: FoldSettings,
    inner_folds: int,
) -> FoldPlan:
    """Draw the plan, or refuse it.

    Args:
        exams: All exams of the cohort, one row each.
        eligible: For each inputs, the exams it may use.
        settings: The `[folds]` section.
        inner_folds: Inner folds of each cell; 1 for one hold-out.

    Raises:
        FoldsError: A fold or an inner split would lack a class of some tracer; the message says which number of
            folds would work.
    """
    used = (exams["partition"] == "development").to_numpy() & np.logical_or.reduce(list(eligible.values()))
    if not used.any():
        raise FoldsError(
            "no development exam has the phases that `cohort.inputs` asks for; see the exclusions of `polarmap check`"
        )
    columns, notices = stratification(exams, settings)
    empty = _without_draws(exams[used], {key: mask[used] for key, mask in eligible.items()}, columns, notices, settings)
    folds = _draw(empty, settings.repeats)
    plan = None if folds is None else replace(empty, folds=folds)
    if plan is None or not _inner_work(plan, inner_folds):
        raise FoldsError(_refusal(empty, settings, inner_folds, folds is None))
    return plan


def stratification(exams: pd.DataFrame, settings: FoldSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns to stratify by, and a notice for each default one that the manifest lacks.

    Raises:
        FoldsError: A column that the experiment declares itself is not in the manifest.
    """
    missing = [column for column in settings.stratify if column not in OF_PROTOCOL and column not in exams]
    if missing and settings.stratify != DEFAULT_STRATIFY:
        raise FoldsError(
            f"`folds.stratify` names {missing}, which the manifest does not have; add the columns or drop the names"
        )
    kept = tuple(column for column in settings.stratify if column not in missing)
    return kept, tuple(f"the manifest has no column `{column}`: folds are not stratified by it" for column in missing)


def _without_draws(
    exams: pd.DataFrame,
    eligible: Mapping[Inputs, NDArray[np.bool_]],
    columns: tuple[str, ...],
    notices: tuple[str, ...],
    settings: FoldSettings,
) -> FoldPlan:
    patients, strata = strata_of(exams, columns, settings.folds)
    labels = exams.sort_values("exam_id")[["patient_id", "exam_id", "tracer", "label"]]
    identity = {
        "patients": patients,
        "exams": [[str(value) for value in row] for row in labels.itertuples(index=False, name=None)],
        "strata": [list(stratum) for stratum in strata],
        "folds": {
            "folds": settings.folds,
            "repeats": settings.repeats,
            "stratify": list(columns),
            "seed": settings.seed,
        },
    }
    return FoldPlan(
        patients=tuple(patients),
        folds=np.empty((0, len(patients)), dtype=np.int64),
        strata=tuple(strata),
        memberships=tuple(_memberships(exams, eligible, patients)),
        stratify=columns,
        count=settings.folds,
        notices=notices,
        digest=digest(identity),
    )


def _memberships(
    exams: pd.DataFrame, eligible: Mapping[Inputs, NDArray[np.bool_]], patients: Sequence[str]
) -> list[Membership]:
    order = pd.Index(patients)
    found = []
    for inputs, mask in eligible.items():
        for tracer, rows in exams[mask].groupby("tracer", sort=True):
            positive, negative = (order.isin(rows.loc[rows["label"] == label, "patient_id"]) for label in (1, 0))
            found.append(Membership(inputs=inputs, tracer=str(tracer), positive=positive, negative=negative))
    return found


def _draw(plan: FoldPlan, repeats: int) -> NDArray[np.int64] | None:
    """Deal every repeat, each again until every fold holds enough patients; None where that fails."""
    needed = range(plan.count)
    drawn = [
        _first_that(plan, range(len(plan.patients)), plan.count, needed, LEAST_PATIENTS, ("folds", repeat))
        for repeat in range(repeats)
    ]
    kept = [folds for folds in drawn if folds is not None]
    return np.stack(kept) if len(kept) == repeats else None


def _first_that(
    plan: FoldPlan,
    places: Sequence[int],
    parts: int,
    needed: Sequence[int],
    least: int,
    purpose: tuple[str | int | None, ...],
) -> NDArray[np.int64] | None:
    """Deal the patients at `places` until the parts `needed` hold `least` of either class; -1 for the others."""
    chosen = np.asarray(places, dtype=np.int64)
    strata = [plan.strata[place] for place in places]
    for attempt in range(DRAWS):
        dealt = np.full(len(plan.patients), -1, dtype=np.int64)
        dealt[chosen] = deal(strata, parts, derive_seed(plan.digest, *purpose, attempt))
        if all(member.least(dealt, part) >= least for member in plan.memberships for part in needed):
            return dealt
    return None


def inner_parts(plan: FoldPlan, repeat: int | None, fold: int | None, inner_folds: int) -> NDArray[np.int64] | None:
    """Cut a cell's training patients for its search.

    Args:
        plan: The fold plan.
        repeat: The cell's repeat; None for a final cell, which trains on all development patients.
        fold: The cell's fold, or None.
        inner_folds: Inner folds; 1 for a hold-out of 20 %.

    Returns:
        For each patient of the plan the inner fold it validates, or -1 where it is only trained on (in a
        hold-out) or belongs to the evaluated fold; None where no draw gives both classes of every tracer.
    """
    outside = np.flatnonzero(evaluated(plan, repeat, fold))
    places = np.setdiff1d(np.arange(len(plan.patients)), outside).tolist()
    parts = HOLD_OUT_PARTS if inner_folds == 1 else inner_folds
    needed = range(1) if inner_folds == 1 else range(inner_folds)
    dealt = _first_that(plan, places, parts, needed, 1, ("inner", inner_folds, repeat, fold))
    if inner_folds > 1 or dealt is None:
        return dealt
    training = np.where(np.isin(np.arange(len(dealt)), places) & (dealt != 0), 0, -1)
    if any(member.least(training, 0) < 1 for member in plan.memberships):
        return None
    return np.where(dealt == 0, 0, -1)


def evaluated(plan: FoldPlan, repeat: int | None, fold: int | None) -> NDArray[np.bool_]:
    """`[patients]`, those evaluated in a fold; nobody for a final cell."""
    if repeat is None or fold is None:
        return np.zeros(len(plan.patients), dtype=np.bool_)
    chosen: NDArray[np.bool_] = plan.folds[repeat] == fold
    return chosen


def _inner_work(plan: FoldPlan, inner_folds: int) -> bool:
    cells = [(repeat, fold) for repeat in range(plan.repeats) for fold in range(plan.count)]
    return all(inner_parts(plan, repeat, fold, inner_folds) is not None for repeat, fold in [*cells, (None, None)])


def _refusal(plan: FoldPlan, settings: FoldSettings, inner_folds: int, outer: bool) -> str:
    everyone = np.zeros(len(plan.patients), dtype=np.int64)
    scarce = min(plan.memberships, key=lambda member: member.least(everyone, 0))
    place = (
        f"`folds.folds` = {settings.folds}"
        if outer
        else f"`search.inner_folds` = {inner_folds} within {settings.folds} folds"
    )
    return (
        f"{place} cannot give every part both classes of every tracer: {scarce.tracer} has "
        f"{int(scarce.positive.sum())} positive and {int(scarce.negative.sum())} negative patients for {scarce.inputs} "
        f"inputs (a fold needs {LEAST_PATIENTS} of each); {_remedy(plan, settings, inner_folds)}"
    )


def _remedy(plan: FoldPlan, settings: FoldSettings, inner_folds: int) -> str:
    everyone = np.zeros(len(plan.patients), dtype=np.int64)
    most = min(member.least(everyone, 0) for member in plan.memberships) // LEAST_PATIENTS
    for inner in range(inner_folds, 0, -1):
        for count in range(min(settings.folds, most), 1, -1):
            candidate = replace(plan, count=count)
            folds = _draw(candidate, settings.repeats)
            if folds is not None and _inner_work(replace(candidate, folds=folds), inner):
                inside = "" if inner == inner_folds else f" with inner_folds = {inner}"
                return f"folds = {count}{inside} would work"
    return "no number of folds would work: include more patients"
