"""A run's report around a summary that is there already: nothing is computed, so nothing heavy is imported."""

import hashlib
import json
from typing import Final

import pandas as pd

from orchestrator.hashing import digest
from orchestrator.ledger.compaction import Compaction, read_compaction
from orchestrator.ledger.description import RunDescription
from orchestrator.ledger.openings import hash_of_test_exams, read_openings
from orchestrator.ledger.reading import Run
from orchestrator.ledger.seals import opened
from orchestrator.ledger.state import RunState
from orchestrator.report.records import BASELINES, FLAT_SEARCH, Report
from orchestrator.storage.base import read_many
from orchestrator.storage.locations import beside, open_storage

_NO_LOG: Final = (
    "the log of test openings (the folder `test_openings` beside the run directory) is not there, or empty; only this "
    "run's own opening is counted"
)


def stored_report(run: Run) -> Report:
    """The report of a run from the summary that it has written, without figures and single exams."""
    return report_around(run, run.summary, run.cells, run.cohort)


def is_current(state: RunState, experiment: str) -> bool:
    """Whether tables and report are what was written, of the very cells that the ledger holds.

    Args:
        state: What the ledger holds.
        experiment: The experiment's hash.
    """
    paths, record = state.paths, read_compaction(state.paths, experiment)
    if record is None or not record.is_of(state):
        return False
    found = paths.storage.find(paths.summary.name)
    summary = opened(found.content, experiment, paths.summary.name) if found else None
    if summary is None or summary[1].get("tables") != made_of(record):
        return False
    tables = {paths.table(name): sha for name, sha in record.tables.items()}
    files = {paths.report(name): sha for name, sha in json.loads(summary[1].get("files", "{}")).items()}
    seals = {**tables, **files}
    # A file that is gone makes the report no less true, but it is due.
    if any(blob.name not in state.sizes for blob in seals):
        return False
    contents = read_many(iter(seals))
    return all(
        hashlib.sha256(content).hexdigest() == sha for content, sha in zip(contents, seals.values(), strict=True)
    )


def made_of(record: Compaction | None) -> str:
    """The digest of the tables that decide a summary; times do not, and differ between equal runs."""
    tables = {} if record is None else {name: sha for name, sha in record.tables.items() if name != "timings"}
    return digest(tables)


def report_around(run: Run, summary: pd.DataFrame, cells: pd.DataFrame, exams: pd.DataFrame) -> Report:
    """A report of a run's summary, with what `experiment.json` and the tables say beside it."""
    description = run.description
    openings, is_judged = _openings_of(run, exams), _is_test_judged(summary)
    return Report(
        name=description.name,
        summary=summary,
        cells=cells,
        facts=stored_facts(description, cells),
        exclusions=tuple((item.partition, item.reason, item.count) for item in description.exclusions),
        # What was judged was opened, though a run that is copied alone leaves the log behind.
        openings=1 if is_judged and not openings else openings,
        notices=(*description.notices, *([_NO_LOG] if is_judged and not openings else [])),
        statistics=description.settings.statistics,
    )


def _is_test_judged(summary: pd.DataFrame) -> bool:
    return bool(((summary["partition"] == "test") & (summary["state"] == "ok")).any())


def _openings_of(run: Run, exams: pd.DataFrame) -> int | None:
    """How often the run's test partition was opened by experiments of this folder; None where it has none."""
    if not (exams["partition"] == "test").any():
        return None
    return len(read_openings(open_storage(beside(run.paths.root, "test_openings")), hash_of_test_exams(exams)))


def stored_facts(description: RunDescription, cells: pd.DataFrame) -> dict[str, str]:
    """The experiment's settings and software as a report prints them."""
    settings, facts = description.settings, description.facts
    inner = settings.search.inner_folds
    by_site = settings.folds.by == "site"
    chosen_on = "one 20 % hold-out" if inner == 1 else f"{inner} inner folds"
    whose = "a cell"
    if settings.search.scheme == "flat":
        chosen_on, whose = "the folds next to the judged one", f"for all cells ({FLAT_SEARCH})"
    repeats = settings.folds.repeats
    parts = (
        "sites, each held out once" if by_site else f"folds × {repeats} repeat{'s' if repeats > 1 else ''}, by patient"
    )
    return {
        "network": f"{settings.network.backbone}, {settings.network.weights} weights, "
        f"{settings.network.heads} heads, {settings.images.size} px",
        "cross-validation": f"{settings.folds.folds} {parts}; candidates chosen on {chosen_on}",
        "search": f"{settings.search.space}, {settings.search.candidates} candidates {whose}",
        "cells": ", ".join(f"{count} {state}" for state, count in cells["state"].value_counts().items()),
        "threshold": settings.decision.threshold,
        "calibration": settings.decision.calibration,
        "baseline": BASELINES.get(settings.statistics.baseline, "none"),
        # Twelve hexadecimal digits identify a run in a report; the whole hash is in `experiment.json`.
        "experiment": description.hash[:12],
        "fold plan": description.plan[:12],
        "software": ", ".join(
            f"{library} {facts[f'versions.{library}']}" for library in ("polarmap-tune", "torch", "optuna")
        ),
        "device": facts["device"],
    }
