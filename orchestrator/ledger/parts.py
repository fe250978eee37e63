"""Parts of finished work: a candidate at a time, then the whole cell, the commit marker last."""

import json
from dataclasses import asdict
from typing import Any

from orchestrator.cells.records import CandidateResult, CellKey, CellResult, EpochRecord, Prediction
from orchestrator.ledger.files import read_json, read_table, write_bytes, write_json, write_rows
from orchestrator.ledger.paths import RunPaths
from orchestrator.ledger.schemas import (
    CANDIDATE_PART,
    CANDIDATES,
    CELLS,
    EPOCHS,
    ROW_PREDICTIONS,
    TIMINGS,
    rows_of_cell,
)

PARTS = {
    "cells": CELLS,
    "candidates": CANDIDATES,
    "epochs": EPOCHS,
    "predictions": ROW_PREDICTIONS,
    "timings": TIMINGS,
}


def write_candidate(paths: RunPaths, key: CellKey, result: CandidateResult) -> None:
    """Keep a finished candidate of a cell under way."""
    row = asdict(result) | {"values": json.dumps(result.values)}
    write_rows(paths.candidate(key, result.number), [row], CANDIDATE_PART)


def read_candidates(paths: RunPaths, key: CellKey) -> tuple[CandidateResult, ...]:
    """The finished candidates of a cell under way, in order, up to the first that is missing."""
    results: list[CandidateResult] = []
    while (path := paths.candidate(key, len(results))).exists():
        results.append(_candidate(read_table(path).to_pylist()[0]))
    return tuple(results)


def _candidate(row: dict[str, Any]) -> CandidateResult:
    for name in ("best_steps", "inner_scores", "reported"):
        row[name] = tuple(row[name])
    row["epochs"] = tuple(EpochRecord(**epoch) for epoch in row["epochs"])
    return CandidateResult(**{**row, "values": json.loads(row["values"])})


def commit_cell(paths: RunPaths, result: CellResult, attempt: int, experiment: str) -> None:
    """Write a finished cell's parts and models, mark it committed, drop its candidate files.

    Args:
        paths: The run directory.
        result: The cell.
        attempt: The try that finished it, 1 for the first.
        experiment: The experiment's hash, written into the marker.
    """
    candidates = list(read_candidates(paths, result.key))
    for name, rows in rows_of_cell(result, candidates, attempt).items():
        write_rows(paths.part(result.key, name), rows, PARTS[name])
    for model in result.models:
        write_bytes(paths.model(result.key, model.member, "safetensors"), model.weights)
        write_bytes(paths.model(result.key, model.member, "json"), model.description.encode("utf-8"))
    write_json(paths.commit(result.key), {"attempt": attempt, "experiment": experiment, "state": result.state})
    for candidate in candidates:
        paths.candidate(result.key, candidate.number).unlink(missing_ok=True)


def committed_state(paths: RunPaths, key: CellKey) -> str | None:
    """`complete` or `failed` for a committed cell, None for one still to do."""
    path = paths.commit(key)
    return str(read_json(path)["state"]) if path.exists() else None


def forget_report(paths: RunPaths) -> None:
    """Mark tables and report as out of date, before anything changes that they were made from."""
    paths.summary.unlink(missing_ok=True)


def set_aside(paths: RunPaths, key: CellKey) -> None:
    """Move a failed cell's directory out of the ledger, to do the cell again; nothing is deleted."""
    number = 1
    while (target := paths.cells / f"{key.name}.failed-{number}").exists():
        number += 1
    paths.cell(key).rename(target)


def write_test_predictions(paths: RunPaths, key: CellKey, predictions: list[Prediction]) -> None:
    """Keep a final cell's word on the test exams; one whole file, so it is its own marker."""
    cell = {"inputs": key.inputs, "partition": "test", "repeat": None, "fold": None}
    write_rows(paths.test_predictions(key), [{**cell, **asdict(item)} for item in predictions], ROW_PREDICTIONS)
