"""A drawn fold plan, and the draws of folds and inner folds that give every part both classes of every tracer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mpi_model.vocabulary import Inputs
from orchestrator.folds.strata import Stratum, assign_folds
from orchestrator.hashing import derive_seed

# Positive and negative patients of each tracer in every fold. With one pair the variance of a fold's AUC is undefined.
MIN_PATIENTS: Final = 2
# A plan of patients with one tracer each needs one draw; patients with both tracers can make a draw fail.
_MAX_DRAWS: Final = 50
# `inner_folds = 1` holds out one of five parts, 20 % of the patients.
_HOLD_OUT_PARTS: Final = 5

Purpose = Literal["inner", "calibration"]
"""What a cell splits its training patients for: its search, or the scores that calibrate its winner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The patients of each class, for one input configuration and tracer."""

    inputs: Inputs
    tracer: str
    positive: NDArray[np.bool_]
    """`[patients]`, who has a positive exam."""
    negative: NDArray[np.bool_]
    """`[patients]`, who has a negative exam; a patient can have both."""

    def smaller_class(self, parts: NDArray[np.int64], part: int) -> int:
        """The number of patients of the smaller class in one of the parts `[patients]`."""
        inside = parts == part
        return min(int(np.count_nonzero(self.positive & inside)), int(np.count_nonzero(self.negative & inside)))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldPlan:
    """Repeated patient-stratified folds of the development patients."""

    patients: tuple[str, ...]
    """Sorted ids."""
    folds: NDArray[np.int64]
    """`[repeats, patients]`, the fold in which each patient is evaluated."""
    strata: tuple[Stratum, ...]
    """The merged stratum of each patient."""
    memberships: tuple[Membership, ...]
    stratify: tuple[str, ...]
    """The stratification columns in use."""
    count: int
    """The number of folds of a repeat."""
    notices: tuple[str, ...]
    digest: str
    """SHA-256, hexadecimal, of patients, labels, strata and settings."""
    training_share: float = 1.0
    """The share of its training patients that each cell uses; not in the digest, so that experiments with different
    shares are paired."""

    @property
    def repeats(self) -> int:
        """The number of repeats."""
        return len(self.folds)

    def columns(self) -> dict[str, object]:
        """The plan as `repeat, patient_id, fold`, one row a patient and repeat."""
        return {
            "repeat": np.repeat(np.arange(self.repeats, dtype=np.int64), len(self.patients)),
            "patient_id": list(self.patients) * self.repeats,
            "fold": self.folds.reshape(-1),
        }


def draw_folds(plan: FoldPlan, repeats: int) -> NDArray[np.int64] | None:
    """The fold of each patient in every repeat, `[repeats, patients]`; None if a repeat has no valid draw."""
    needed, drawn = range(plan.count), []
    for repeat in range(repeats):
        folds = _first_valid(plan, range(len(plan.patients)), plan.count, needed, MIN_PATIENTS, ("folds", repeat))
        # The plan is refused, so that the other repeats need no draws: a thousand of them would take minutes.
        if folds is None:
            return None
        drawn.append(folds)
    return np.stack(drawn)


def _first_valid(
    plan: FoldPlan,
    places: Sequence[int],
    parts: int,
    needed: Sequence[int],
    min_patients: int,
    purpose: tuple[str | int | None, ...],
) -> NDArray[np.int64] | None:
    """Assign the patients at `places` until the parts `needed` have `min_patients` of each class.

    Returns:
        `[patients]`, the part of each patient at `places`, -1 for the others; None if no draw is valid.
    """
    chosen = np.asarray(places, dtype=np.int64)
    strata = [plan.strata[place] for place in places]
    # Every attempt has its own seed, so that a plan is reproducible whatever attempt succeeded.
    for attempt in range(_MAX_DRAWS):
        assigned = np.full(len(plan.patients), -1, dtype=np.int64)
        assigned[chosen] = assign_folds(strata, parts, derive_seed(plan.digest, *purpose, attempt))
        if all(member.smaller_class(assigned, part) >= min_patients for member in plan.memberships for part in needed):
            return assigned
    return None


def inner_parts(
    plan: FoldPlan, repeat: int | None, fold: int | None, inner_folds: int, purpose: Purpose = "inner"
) -> NDArray[np.int64] | None:
    """Split a cell's training patients into inner folds.

    Args:
        plan: The fold plan.
        repeat: The cell's repeat; None for a final cell, which trains on all development patients.
        fold: The cell's fold, or None.
        inner_folds: Inner folds; 1 for a hold-out of 20 %.
        purpose: Another purpose is another draw.

    Returns:
        `[patients]`, the inner fold that each patient validates; -1 for patients the cell is not trained on and, in a
        hold-out, for those of the training part. None if no draw gives both classes of every tracer.
    """
    # Patients of the evaluated fold take no part in the search, so that no choice depends on them.
    return split_patients(
        plan, training_patients(plan, repeat, fold), inner_folds, (purpose, inner_folds, repeat, fold)
    )


def split_patients(
    plan: FoldPlan, chosen: NDArray[np.bool_], inner_folds: int, purpose: tuple[str | int | None, ...]
) -> NDArray[np.int64] | None:
    """As `inner_parts`, for the patients of a mask `[patients]`; the purpose seeds the draw."""
    places = np.flatnonzero(chosen).tolist()
    parts = _HOLD_OUT_PARTS if inner_folds == 1 else inner_folds
    needed = range(1) if inner_folds == 1 else range(inner_folds)
    assigned = _first_valid(plan, places, parts, needed, 1, purpose)
    if inner_folds > 1 or assigned is None:
        return assigned
    # A hold-out needs both classes in its training part as well: all patients neither evaluated nor held out.
    training = np.where(chosen & (assigned != 0), 0, -1)
    if any(member.smaller_class(training, 0) < 1 for member in plan.memberships):
        return None
    return np.where(assigned == 0, 0, -1)


def training_patients(plan: FoldPlan, repeat: int | None, fold: int | None) -> NDArray[np.bool_]:
    """Mask `[patients]` of those a cell is trained on: all it is not judged on, or the plan's share of them.

    Patients are put into one order, in which strata alternate, and the first of them are taken. A smaller share is part
    of every larger one, and a point of a learning curve differs from the next by added patients only.
    """
    outside = ~evaluated_patients(plan, repeat, fold)
    if plan.training_share == 1:
        return outside
    places = np.flatnonzero(outside)
    generator = np.random.default_rng(derive_seed(plan.digest, "training share", repeat, fold))
    strata = [plan.strata[place] for place in places]
    rank = np.empty(len(places))
    for stratum in sorted(set(strata)):
        mine = np.flatnonzero([one == stratum for one in strata])
        # Even steps from 0 to 1 with a random start: any first part of the order holds its share of every stratum.
        rank[generator.permutation(mine)] = (np.arange(len(mine)) + generator.random()) / len(mine)
    kept = places[np.argsort(rank, kind="stable")[: round(plan.training_share * len(places))]]
    chosen = np.zeros(len(plan.patients), dtype=np.bool_)
    chosen[kept] = True
    return chosen


def evaluated_patients(plan: FoldPlan, repeat: int | None, fold: int | None) -> NDArray[np.bool_]:
    """Mask `[patients]` of those evaluated in a fold; all false for a final cell."""
    if repeat is None or fold is None:
        return np.zeros(len(plan.patients), dtype=np.bool_)
    chosen: NDArray[np.bool_] = plan.folds[repeat] == fold
    return chosen
