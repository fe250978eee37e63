"""Drawing the fold plan: the patients of every fold and repeat, with a refusal that names what would work.

A plan depends only on the development patients, their labels and strata, and the `[folds]` settings. Their digest
seeds every draw. The plan is drawn once, stored, and shared by all input configurations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.errors import FoldsError
from mpi_model.vocabulary import Inputs
from orchestrator.cohort.problems import rows_text
from orchestrator.experiment.settings import FoldSettings
from orchestrator.folds.draws import MIN_PATIENTS, FoldPlan, Membership, Purpose, draw_folds, inner_parts
from orchestrator.folds.strata import PROTOCOL_COLUMNS, strata_of
from orchestrator.hashing import digest

_DEFAULT_STRATIFY: Final = FoldSettings().stratify
_SEARCH_ONLY: Final[tuple[Purpose, ...]] = ("inner",)


def plan_folds(
    exams: pd.DataFrame,
    eligible: Mapping[Inputs, NDArray[np.bool_]],
    settings: FoldSettings,
    inner_folds: int,
    purposes: tuple[Purpose, ...] = _SEARCH_ONLY,
) -> FoldPlan:
    """Draw the fold plan.

    Args:
        exams: All exams of the cohort, one row each.
        eligible: For each input configuration a mask `[exams]` of the exams it uses.
        settings: The `[folds]` section.
        inner_folds: Inner folds of each cell; 1 for one hold-out.
        purposes: What a cell splits its training patients for.

    Returns:
        The plan, with every fold and inner fold checked.

    Raises:
        FoldsError: A fold or an inner fold would lack a class of some tracer; the message names a number of folds
            that works.
    """
    # Patients without a usable exam are not part of the plan.
    used = (exams["partition"] == "development").to_numpy() & np.logical_or.reduce(list(eligible.values()))
    if not used.any():
        raise FoldsError(
            "no development exam has the phases that `cohort.inputs` asks for; see the exclusions of `polarmap check`"
        )
    columns, notices = _stratification(exams, settings)
    if settings.by == "site":
        return _plan_of_sites(exams[used], {key: mask[used] for key, mask in eligible.items()}, columns, notices,
                              settings, inner_folds, purposes)  # fmt: skip
    # The digest is known before the draw, because it seeds the draw.
    empty = _without_draws(exams[used], {key: mask[used] for key, mask in eligible.items()}, columns, notices, settings)
    folds = draw_folds(empty, settings.repeats)
    plan = None if folds is None else replace(empty, folds=folds)
    if plan is None or not _inner_folds_work(plan, inner_folds, purposes):
        raise FoldsError(_refusal(empty, settings, inner_folds, purposes, folds is None))
    return plan


def _plan_of_sites(
    exams: pd.DataFrame,
    eligible: Mapping[Inputs, NDArray[np.bool_]],
    columns: tuple[str, ...],
    notices: tuple[str, ...],
    settings: FoldSettings,
    inner_folds: int,
    purposes: tuple[Purpose, ...],
) -> FoldPlan:
    """One repeat in which each site is a fold, in the order of the sites' names.

    A held-out site may lack a class: nothing is estimated from it then. What is left to train on may not.

    Raises:
        FoldsError: Sites are missing, blank or shared by a patient, or what is left without one cannot be trained on.
    """
    _check_sites(exams)
    sites = sorted(exams["site"].unique())
    empty = _without_draws(exams, eligible, columns, notices, replace(settings, folds=len(sites)))
    codes = np.searchsorted(np.asarray(sites, dtype=np.str_), _site_of_patients(exams, empty.patients))
    plan = replace(empty, folds=codes.astype(np.int64)[np.newaxis])
    for fold, site in enumerate(sites):
        # Refused before the run, not hours into it.
        if not _splits(plan, 0, fold, inner_folds, purposes):
            raise FoldsError(
                f"without site {site!r} the other sites do not give every inner fold both classes of every tracer; "
                "include more patients, or set `search.inner_folds` = 1"
            )
    if not _splits(plan, None, None, inner_folds, purposes):
        raise FoldsError(_refusal(empty, settings, inner_folds, purposes, outer=False))
    sizes = ", ".join(f"{site} ({int((codes == fold).sum())} patients)" for fold, site in enumerate(sites))
    return replace(plan, notices=(*notices, f"each site is held out once: {sizes}"))


def _stratification(exams: pd.DataFrame, settings: FoldSettings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns to stratify by, and a notice for each default column that the manifest lacks.

    Raises:
        FoldsError: The manifest lacks a column that the experiment file names.
    """
    missing = [column for column in settings.stratify if column not in PROTOCOL_COLUMNS and column not in exams]
    if missing and settings.stratify != _DEFAULT_STRATIFY:
        raise FoldsError(
            f"`folds.stratify` names {missing}, which the manifest does not have; add the columns or drop the names"
        )
    # A default column may be missing from a manifest; a column that the user named may not.
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
    # Sorted, so that the digest does not depend on the order of the manifest.
    labels = exams.sort_values("exam_id")[["patient_id", "exam_id", "tracer", "label"]]
    sites = {} if settings.by == "patient" else {"by": "site", "sites": _site_of_patients(exams, patients).tolist()}
    # Everything the plan depends on, and nothing else: not the inputs, the maps or the order of the manifest.
    identity = {
        "patients": patients,
        "exams": [[str(value) for value in row] for row in labels.itertuples(index=False, name=None)],
        "strata": [list(stratum) for stratum in strata],
        "folds": {
            "folds": settings.folds,
            "repeats": settings.repeats,
            "stratify": list(columns),
            "seed": settings.seed,
            **sites,
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
        training_share=settings.training_share,
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


def _inner_folds_work(plan: FoldPlan, inner_folds: int, purposes: tuple[Purpose, ...]) -> bool:
    """Whether every cell, final cells included, has valid inner folds: better refused now than hours into a run."""
    cells = [(repeat, fold) for repeat in range(plan.repeats) for fold in range(plan.count)]
    return all(_splits(plan, repeat, fold, inner_folds, purposes) for repeat, fold in [*cells, (None, None)])


def _splits(
    plan: FoldPlan, repeat: int | None, fold: int | None, inner_folds: int, purposes: tuple[Purpose, ...]
) -> bool:
    return all(inner_parts(plan, repeat, fold, inner_folds, purpose) is not None for purpose in purposes)


def _refusal(
    plan: FoldPlan, settings: FoldSettings, inner_folds: int, purposes: tuple[Purpose, ...], outer: bool
) -> str:
    everyone = np.zeros(len(plan.patients), dtype=np.int64)
    # The tracer and inputs with the smallest class set the limit for all others.
    scarce = min(plan.memberships, key=lambda member: member.smaller_class(everyone, 0))
    place = (
        f"`folds.folds` = {settings.folds}"
        if outer
        else f"`search.inner_folds` = {inner_folds} within {settings.folds} folds"
    )
    return (
        f"{place} cannot give every part both classes of every tracer: {scarce.tracer} has "
        f"{int(scarce.positive.sum())} positive and {int(scarce.negative.sum())} negative patients for {scarce.inputs} "
        f"inputs (a fold needs {MIN_PATIENTS} of each){_of_share(plan)}; "
        f"{_remedy(plan, settings, inner_folds, purposes)}"
    )


def _of_share(plan: FoldPlan) -> str:
    return "" if plan.training_share == 1 else f", of whom {plan.training_share:g} are trained on"


def _remedy(plan: FoldPlan, settings: FoldSettings, inner_folds: int, purposes: tuple[Purpose, ...]) -> str:
    everyone = np.zeros(len(plan.patients), dtype=np.int64)
    most = min(member.smaller_class(everyone, 0) for member in plan.memberships) // MIN_PATIENTS
    # Fewer folds are tried before fewer inner folds: the smallest change of the protocol that works.
    for inner in range(inner_folds, 0, -1):
        for count in range(min(settings.folds, most), 1, -1):
            candidate = replace(plan, count=count)
            folds = draw_folds(candidate, settings.repeats)
            if folds is not None and _inner_folds_work(replace(candidate, folds=folds), inner, purposes):
                inside = "" if inner == inner_folds else f" with inner_folds = {inner}"
                return f"folds = {count}{inside} would work"
    more = "include more patients"
    return f"no number of folds would work: {more if plan.training_share == 1 else f'raise the share, or {more}'}"


def _check_sites(exams: pd.DataFrame) -> None:
    """Refuse exams that cannot be divided by site.

    Raises:
        FoldsError: There is no column `site`, a site is blank, a patient has two, or there is only one.
    """
    if "site" not in exams:
        raise FoldsError('`folds.by` = "site" needs a column `site`, which the manifest does not have; add it')
    blank = exams.loc[exams["site"].isna() | (exams["site"] == ""), "manifest_row"]
    moved = exams[exams.groupby("patient_id")["site"].transform("nunique") > 1]["manifest_row"]
    problems = [
        f"{rows_text(rows)}: {rule}"
        for rows, rule in (
            (blank.tolist(), 'the site is blank; `folds.by` = "site" needs it for every development exam'),
            (moved.tolist(), "a patient has exams at two sites and would be trained on and judged; name one site"),
        )
        if rows
    ]
    if not problems and exams["site"].nunique() < 2:
        problems = ['`folds.by` = "site" needs two sites, but all development exams are of one; use "patient"']
    if problems:
        raise FoldsError(*problems)


def _site_of_patients(exams: pd.DataFrame, patients: Sequence[str]) -> NDArray[np.str_]:
    """The site of each patient, `[patients]`."""
    sites = exams.drop_duplicates("patient_id").set_index("patient_id")["site"]
    return sites.loc[list(patients)].to_numpy(dtype=np.str_)
