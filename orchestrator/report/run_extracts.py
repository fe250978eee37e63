"""What the page tells of a run beyond summary and figures, without patients' ids."""

from collections.abc import Sequence

import pandas as pd

from orchestrator.report.further import FURTHER
from orchestrator.report.further_designs import further_designs
from orchestrator.report.hardest import hardest_over_inputs
from orchestrator.report.records import RunTables

_STATES = ("complete", "pruned", "failed")


def extracts_of(tables: RunTables, summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Small tables that the page's numbers are traced to, by their key in `summary.json`; empty ones are left out.

    Args:
        tables: Of the run, with whole repeats only where a report over them was asked for.
        summary: Of these tables.
    """
    judged = tables.of(tables.models[0])
    found = {
        "hardest_exams": hardest_over_inputs(judged, tables.maps),
        FURTHER: further_designs(summary, tables.folds),
        "candidate_counts": _candidate_counts(tables.candidates, tables.inputs),
    }
    return {name: frame for name, frame in found.items() if len(frame)}


def _candidate_counts(candidates: pd.DataFrame, inputs: Sequence[str]) -> pd.DataFrame:
    """How many candidates each search tried, over all cells: `inputs, cells, complete, pruned, failed`."""
    if candidates.empty:
        return pd.DataFrame()
    rows = []
    for name in inputs:
        mine = candidates[candidates["inputs"] == name]
        cells = len(mine[["repeat", "fold"]].drop_duplicates())
        rows.append((name, cells, *(int((mine["state"] == state).sum()) for state in _STATES)))
    return pd.DataFrame(rows, columns=["inputs", "cells", *_STATES])
