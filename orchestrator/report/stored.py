"""A run's report around a summary that is there already: nothing is computed, so nothing heavy is imported."""

import pandas as pd

from orchestrator.ledger.description import RunDescription
from orchestrator.ledger.openings import hash_of_test_exams, read_openings
from orchestrator.ledger.reading import Run
from orchestrator.report.records import BASELINES, Report
from orchestrator.storage.locations import beside, open_storage


def stored_report(run: Run) -> Report:
    """The report of a run from the summary that it has written, without figures and single exams."""
    return report_around(run, run.summary, run.cells, run.cohort)


def report_around(run: Run, summary: pd.DataFrame, cells: pd.DataFrame, exams: pd.DataFrame) -> Report:
    """A report of a run's summary, with what `experiment.json` and the tables say beside it."""
    description = run.description
    return Report(
        name=description.name,
        summary=summary,
        cells=cells,
        facts=stored_facts(description, cells),
        exclusions=tuple((item.partition, item.reason, item.count) for item in description.exclusions),
        openings=_openings_of(run, exams),
        notices=description.notices,
        statistics=description.settings.statistics,
    )


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
    parts = "sites, each held out once" if by_site else f"folds × {settings.folds.repeats} repeats, by patient"
    return {
        "network": f"{settings.network.backbone}, {settings.network.weights} weights, "
        f"{settings.network.heads} heads, {settings.images.size} px",
        "cross-validation": f"{settings.folds.folds} {parts}; candidates chosen on "
        f"{'one 20 % hold-out' if inner == 1 else f'{inner} inner folds'}",
        "search": f"{settings.search.space}, {settings.search.candidates} candidates a cell",
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
