"""External validation: the frozen networks and thresholds of a run on labelled exams of another centre.

Everything that could be chosen was chosen before: networks, thresholds and statistics are those of the run. A cohort
that shares patients or maps with the run's own is refused. Every use is written down before anything is predicted.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from mpi_model.determinism import single_threaded
from mpi_model.errors import CohortError, ExperimentError, RunDirectoryError, StatisticsError
from mpi_model.vocabulary import PHASES, PHASES_OF, Inputs
from orchestrator.cohort.eligibility import eligible_exams
from orchestrator.cohort.identifiers import rows_alike
from orchestrator.cohort.loading import load_cohort
from orchestrator.cohort.problems import MAX_LISTED, rows_text
from orchestrator.cohort.records import Cohort
from orchestrator.driver.development_maps import DevelopmentMaps
from orchestrator.driver.map_facts import facts_of_maps, segment_columns
from orchestrator.driver.open_test import final_networks
from orchestrator.driver.predict import predict_rows
from orchestrator.ledger.openings import frozen_hash, hash_of_exams, record_validation
from orchestrator.ledger.reading import Run
from orchestrator.monitoring.progress import Progress, shown
from orchestrator.report.validation import Validation
from orchestrator.statistics.map_distances import MapDistances, map_distances
from orchestrator.storage.locations import beside, open_storage

# Relative difference of segment means. Two exports of one SPECTF map in other sizes differ by at most 1.0 %, the most
# alike maps of two of its patients by 2.3 %.
_NEAR: Final = 0.015


def validate_cohorts(run: Run, manifests: Sequence[Path], progress: Progress) -> tuple[Validation, ...]:
    """Predict labelled cohorts of other centres with a run's final networks; every cohort's use is logged.

    Args:
        run: A run with its final networks.
        manifests: Labelled exams, a centre each; `partition` is not read.
        progress: Shows which cohort is read.

    Returns:
        One validation a manifest.

    Raises:
        IncompleteRunError: The run has no final networks.
        RunDirectoryError: A network is not the one that was trained, or the run keeps nothing of its maps.
        CohortError: A manifest or an image is unusable, or the cohort shares patients or maps with the run's.
        ExperimentError: Two cohorts have one name.
    """
    names = _names(manifests)
    description = run.description
    # All is read, refused or verified before the first use is logged.
    cohorts = [_unseen_cohort(run, manifest, progress) for manifest in manifests]
    for inputs in description.settings.cohort.inputs:
        # Read only to verify them: damaged networks are found before the use is logged.
        final_networks(run.paths, inputs, description.settings)
    frozen = frozen_hash(run.paths, description.hash)
    log = open_storage(beside(run.paths.root, "validations"))
    found = []
    for name, (cohort, notices) in zip(names, cohorts, strict=True):
        uses = record_validation(log, hash_of_exams(cohort.exams), description.name, frozen)
        networks = len({use["frozen"] for use in uses})
        found.append(replace(_validated(run, cohort, name), uses=len(uses), networks=networks, notices=notices))
    return tuple(found)


def _names(manifests: Sequence[Path]) -> list[str]:
    """What each cohort is called: its file, or the folder of a file called `manifest`."""
    names = [Path(os.path.realpath(path)).parent.name if path.stem == "manifest" else path.stem for path in manifests]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ExperimentError(f"two cohorts are called {sorted(twice)[0]!r}; rename one of the manifests")
    return names


def _unseen_cohort(run: Run, manifest: Path, progress: Progress) -> tuple[Cohort, tuple[str, ...]]:
    """A labelled cohort that shares nothing with the run's, and what to know about it.

    Raises:
        CohortError: It is unusable, or shares patients or maps.
    """
    with shown(progress, f"reading {manifest.name}"):
        cohort = load_cohort(manifest, size=run.description.settings.images.size)
    known, facts = run.cohort, facts_of_maps(cohort.maps)
    if not run.paths.maps.exists():
        raise RunDirectoryError(
            f"{run.paths.name} was begun by an earlier version and keeps no fingerprints of its maps; "
            "`polarmap run` on its experiment file adds them, and trains nothing"
        )
    maps = run.maps
    rows = cohort.exams["manifest_row"]
    shared = {
        "the patient": rows[cohort.exams["patient_id"].isin(known["patient_id"])],
        "a map (equal pixels)": rows[_equal_maps(facts, maps)],
    }
    problems = [
        f"{rows_text(found)}: {what} is in the run's own cohort; networks are validated on patients that they have "
        "never met, and its test partition is opened by `polarmap run --open-test`: leave those rows out"
        for what, found in shared.items()
        if len(found)
    ]
    if problems:
        raise CohortError(*problems)
    same = replace(cohort, exams=cohort.exams.assign(partition="test"))
    return same, (*cohort.notices, *_alike(cohort, known), *_nearly_equal(facts, maps, rows))


def _alike(cohort: Cohort, known: pd.DataFrame) -> list[str]:
    """Exams whose patient id may be another spelling of one of the run's: one notice."""
    ids = zip(cohort.exams["manifest_row"].tolist(), cohort.exams["patient_id"], strict=True)
    rows = rows_alike(ids, known["patient_id"])
    if not rows:
        return []
    return [
        f"{rows_text(rows)}: a patient id looks like one of the run's cohort (case, leading zeros, `.0`, spaces, or "
        "letters of another alphabet); check whether it is the same patient"
    ]


def _equal_maps(facts: pd.DataFrame, known: pd.DataFrame) -> "pd.Series[bool]":
    """Which exams have a map that is among the known ones, of either phase."""
    # Of both phases together: a map that was stress there and is rest here is still the same map.
    prints = {value for phase in PHASES for value in known[f"{phase}_sha256"].dropna()}
    return facts["stress_sha256"].isin(prints) | facts["rest_sha256"].isin(prints)


def _nearly_equal(facts: pd.DataFrame, known: pd.DataFrame, rows: "pd.Series[int]") -> list[str]:
    """Exams with a map that differs from a known one of its phase by less than two patients' do: one notice."""
    near: set[int] = set()
    for phase in PHASES:
        columns = segment_columns(phase)
        mine, theirs = (frame[columns].dropna().to_numpy(np.float64) for frame in (facts, known))
        present = rows[facts[columns[0]].notna()].to_numpy()
        # Divided by their mean, because exports differ in scale and not in pattern.
        mine, theirs = (means / means.mean(axis=1, keepdims=True) for means in (mine, theirs))
        for row, means in zip(present.tolist(), mine, strict=True):
            if len(theirs) and np.sqrt(((theirs - means) ** 2).mean(axis=1)).min() < _NEAR:
                near.add(row)
    if not near:
        return []
    listed = rows_text(sorted(near)[:MAX_LISTED])
    more = f" and {len(near) - MAX_LISTED} more" if len(near) > MAX_LISTED else ""
    return [
        f"{listed}{more}: a map's segments differ by less than {_NEAR:.1%} from those of a map of the run's cohort; "
        "check whether it is the same patient under another id"
    ]


def _validated(run: Run, cohort: Cohort, name: str) -> Validation:
    """Predict a cohort; each input configuration is judged on all exams that have its maps."""
    settings = run.description.settings
    # All available exams, also where the run itself compared patients with every phase.
    masks, left_out = eligible_exams(cohort.exams, settings.cohort.inputs, "available", settings.cohort.exams)
    used = {inputs: mask for inputs, mask in masks.items() if mask.any()}
    with single_threaded():
        tables = [predict_rows(run, cohort, inputs, np.flatnonzero(mask)) for inputs, mask in used.items()]
    references: dict[tuple[str, str], MapDistances | str] = {}
    for table, (inputs, mask) in zip(tables, used.items(), strict=True):
        table["label"] = cohort.exams.loc[mask, "label"].to_numpy(np.int64)
        table["distance"] = np.nan
        for tracer in table["tracer"].unique():
            chosen = (table["tracer"] == tracer).to_numpy()
            found = _distances(run, cohort, inputs, str(tracer), np.flatnonzero(mask)[chosen])
            references[inputs, str(tracer)] = found
            if isinstance(found, MapDistances):
                table.loc[chosen, "distance"] = found.new
    return Validation(
        name=name,
        exams=cohort.exams[np.logical_or.reduce(list(used.values()))],
        predictions=pd.concat(tables, ignore_index=True),
        references=references,
        inputs=tuple(used),
        common=len({mask.tobytes() for mask in used.values()}) == 1,
        exclusions=left_out,
    )


def _distances(run: Run, cohort: Cohort, inputs: Inputs, tracer: str, rows: np.ndarray) -> MapDistances | str:
    """Distances of some exams from the run's development exams of their tracer, or why there are none."""
    columns = [column for phase in PHASES_OF[inputs] for column in segment_columns(phase)]
    development = DevelopmentMaps.of(run, inputs, tracer)
    new = facts_of_maps(cohort.maps)[columns].iloc[rows]
    try:
        return map_distances(development.means, development.patients, new.to_numpy())
    except StatisticsError as error:
        return "; ".join(error.problems)
