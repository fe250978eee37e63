"""Participants: from the manifest to the folds, with every exclusion (TRIPOD+AI items 20a and 21, CLAIM item 35)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.vocabulary import Inputs
from orchestrator.cohort.eligibility import eligible_exams
from orchestrator.cohort.records import PARTITIONS, Exclusion
from orchestrator.experiment.settings import Experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many there are."""

    patients: int
    exams: int
    events: int | None = None
    """Exams with label 1; None where labels are not to be seen, or endpoints would be mixed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldSizes:
    """Patients of a tracer in the smallest and the largest fold, and those of them with an event."""

    patients: tuple[int, int]
    events: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """The eligible exams of one tracer in one partition."""

    tracer: str
    endpoint: str
    count: Count
    by_inputs: tuple[tuple[str, Count], ...]
    """What each input configuration uses, where they differ; otherwise empty."""
    folds: FoldSizes | None
    """Of the cross-validation; None in the test partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One partition."""

    partition: str
    count: Count
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Participants:
    """The flow of patients and exams through a study."""

    manifest: Count
    exclusions: tuple[Exclusion, ...]
    """Every reason with its exams; where `shared` is false, exams that other input configurations do use are among
    them."""
    unused: Count
    """Exams that no input configuration uses; `manifest` is this and `eligible` together, in exams."""
    eligible: Count
    sides: tuple[Side, ...]
    shared: bool
    """Whether all input configurations use the same exams."""
    folds: str
    """What the cross-validation is, such as `5 folds × 10 repeats`."""


def used_exams(exams: pd.DataFrame, settings: Experiment) -> NDArray[np.bool_]:
    """`[N]`, the exams that some input configuration uses; exams as in `Cohort.exams`."""
    masks, _ = eligible_exams(exams, settings.cohort.inputs, settings.cohort.patients, settings.cohort.exams)
    used: NDArray[np.bool_] = np.any(list(masks.values()), axis=0)
    return used


def participants(exams: pd.DataFrame, folds: pd.DataFrame, settings: Experiment, *, test_labels: bool) -> Participants:
    """The flow of a run's or a planned experiment's exams.

    Args:
        exams: All exams of the manifest, as in `Cohort.exams`.
        folds: `repeat, patient_id, fold`.
        settings: Of the experiment.
        test_labels: Whether events of the test partition may be counted: after it was opened.
    """
    cohort = settings.cohort
    masks, exclusions = eligible_exams(exams, cohort.inputs, cohort.patients, cohort.exams)
    used = np.any(list(masks.values()), axis=0)
    by_site = settings.folds.by == "site"
    repeats = folds["repeat"].nunique()
    names = f"{folds['fold'].nunique()} {'sites, each held out once' if by_site else 'folds'}"
    return Participants(
        manifest=_count(exams, events=False),
        exclusions=exclusions,
        unused=_count(exams[~used], events=False),
        eligible=_count(exams[used], events=False),
        sides=tuple(_sides(exams, masks, folds, settings, test_labels)),
        shared=all(np.array_equal(mask, used) for mask in masks.values()),
        folds=names if by_site else f"{names} × {repeats} repeat{'s' if repeats > 1 else ''}",
    )


def _sides(
    exams: pd.DataFrame,
    masks: Mapping[Inputs, NDArray[np.bool_]],
    folds: pd.DataFrame,
    settings: Experiment,
    test_labels: bool,
) -> Iterator[Side]:
    used = np.any(list(masks.values()), axis=0)
    for partition in PARTITIONS:
        inside = used & (exams["partition"] == partition).to_numpy()
        if not inside.any():
            continue
        arms = []
        for tracer in sorted(exams.loc[inside, "tracer"].unique()):
            mine = inside & (exams["tracer"] == tracer).to_numpy()
            events = test_labels or partition != "test"
            counts = [(inputs, _count(exams[mine & mask], events=events)) for inputs, mask in masks.items()]
            count = _count(exams[mine], events=events)
            arms.append(
                Arm(
                    tracer=str(tracer),
                    endpoint=settings.statistics.endpoints.get(str(tracer), "label 1"),
                    count=count,
                    by_inputs=tuple(counts) if any(other != count for _, other in counts) else (),
                    folds=None if partition == "test" else _fold_sizes(exams[mine], folds),
                )
            )
        # Of both tracers together no events are counted: their endpoints differ.
        yield Side(partition=partition, count=_count(exams[inside], events=False), arms=tuple(arms))


def _count(exams: pd.DataFrame, *, events: bool) -> Count:
    return Count(
        patients=int(exams["patient_id"].nunique()),
        exams=len(exams),
        events=int(exams["label"].sum()) if events else None,
    )


def _fold_sizes(exams: pd.DataFrame, folds: pd.DataFrame) -> FoldSizes | None:
    """Smallest and largest over the folds of all repeats; None where no patient is in a fold."""
    patients = exams.groupby("patient_id")["label"].max().rename("event")
    joined = folds.merge(patients, left_on="patient_id", right_index=True)
    if joined.empty:
        return None
    sizes = joined.groupby(["repeat", "fold"])["event"].agg(["size", "sum"])
    return FoldSizes(
        patients=(int(sizes["size"].min()), int(sizes["size"].max())),
        events=(int(sizes["sum"].min()), int(sizes["sum"].max())),
    )
