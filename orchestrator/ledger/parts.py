"""Parts of finished work: a candidate at a time, then the whole cell, the commit marker last."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import count
from typing import Any, Final

import pyarrow as pa

from mpi_model.errors import RunDirectoryError
from orchestrator.cells.records import CandidateResult, CellKey, CellResult, EpochRecord, Prediction
from orchestrator.ledger.files import rows_bytes, table_bytes, table_from
from orchestrator.ledger.markers import Marker, marker_bytes, marker_in, sealed
from orchestrator.ledger.paths import CANDIDATE, COMMIT, RunPaths
from orchestrator.ledger.schemas import (
    CANDIDATE_PART,
    CANDIDATES,
    CELLS,
    EPOCHS,
    ROW_PREDICTIONS,
    TIMINGS,
    rows_of_cell,
)
from orchestrator.storage.base import Blob, read_many

PARTS: Final = {
    "cells": CELLS,
    "candidates": CANDIDATES,
    "epochs": EPOCHS,
    "predictions": ROW_PREDICTIONS,
    "timings": TIMINGS,
}

FilesOfCells = Mapping[str, Mapping[str, int]]
"""Sizes of files by cell and file name."""


def write_candidate(paths: RunPaths, key: CellKey, result: CandidateResult, experiment: str) -> None:
    """Keep a finished candidate of a cell under way, with what tells it from any other one.

    Args:
        paths: The run directory.
        key: The cell.
        result: The candidate.
        experiment: The experiment's hash.
    """
    row = asdict(result) | {"values": json.dumps(result.values)}
    table = pa.Table.from_pylist([row], schema=CANDIDATE_PART)
    origin = {"cell": key.name, "experiment": experiment, "digest": _row_digest(table.to_pylist()[0])}
    paths.candidate(key, result.number).write_bytes(table_bytes(table, origin))


def read_candidates(paths: RunPaths, key: CellKey) -> tuple[CandidateResult, ...]:
    """The finished candidates of a cell under way, in order, up to the first that is missing.

    Raises:
        RunDirectoryError: One is damaged.
    """
    files = {name.rpartition("/")[2] for name in paths.storage.names(paths.cell(key.name))}
    return candidates_among(paths, key, files)


def candidates_among(paths: RunPaths, key: CellKey, files: Iterable[str]) -> tuple[CandidateResult, ...]:
    """`read_candidates` where the names of the cell's files are known already."""
    numbers = {int(found[1]) for name in files if (found := CANDIDATE.fullmatch(name))}
    whole = next(number for number in count() if number not in numbers)
    blobs = [paths.candidate(key, number) for number in range(whole)]
    results = []
    for number, (blob, content) in enumerate(zip(blobs, read_many(iter(blobs)), strict=True)):
        result = candidate_in(content, key.name, number)
        if result is None:
            raise RunDirectoryError(f"{blob} is damaged; run again: it is set aside and made anew")
        results.append(result)
    return tuple(results)


def candidate_in(content: bytes, cell: str, number: int, experiment: str | None = None) -> CandidateResult | None:
    """The candidate in a file; None where it is damaged, or not the one it should be.

    Args:
        content: The file.
        cell: The cell's name.
        number: The candidate's number.
        experiment: The experiment's hash, where it is to be compared.
    """
    table = table_from(content)
    if table is None or table.num_rows != 1 or table.schema.names != CANDIDATE_PART.names:
        return None
    origin = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
    row = table.to_pylist()[0]
    due = {"cell": cell, "digest": _row_digest(row)} | ({"experiment": experiment} if experiment else {})
    return _candidate(row) if row["number"] == number and due.items() <= origin.items() else None


def _row_digest(row: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode("utf-8")).hexdigest()


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
    parts = [
        (paths.part(result.key, name), rows_bytes(rows, PARTS[name]))
        for name, rows in rows_of_cell(result, candidates, attempt).items()
    ]
    for model in result.models:
        parts += [
            (paths.model(result.key, model.member, "safetensors"), model.weights),
            (paths.model(result.key, model.member, "json"), model.description.encode("utf-8")),
        ]
    _commit(paths.commit(result.key), parts, result.key, experiment, result.state, attempt)
    for candidate in candidates:
        paths.candidate(result.key, candidate.number).unlink()


def write_test_predictions(paths: RunPaths, key: CellKey, predictions: list[Prediction], experiment: str) -> None:
    """Keep a final cell's word on the test exams, with a marker of its own."""
    cell = {"inputs": key.inputs, "partition": "test", "repeat": None, "fold": None}
    content = rows_bytes([{**cell, **asdict(item)} for item in predictions], ROW_PREDICTIONS)
    _commit(paths.test_commit(key), [(paths.test_predictions(key), content)], key, experiment, "complete", 1)


def _commit(
    marker: Blob, parts: list[tuple[Blob, bytes]], key: CellKey, experiment: str, state: str, attempt: int
) -> None:
    for blob, content in parts:
        blob.write_bytes(content)
    seals = {blob.name: sealed(content) for blob, content in parts}
    said = Marker(cell=key.name, experiment=experiment, state=state, attempt=attempt, parts=seals)
    marker.write_bytes(marker_bytes(said))


def committed_state(paths: RunPaths, key: CellKey) -> str | None:
    """`complete` or `failed` for a committed cell, None for one still to do."""
    blob = paths.commit(key)
    return read_marker(blob).state if blob.exists() else None


def committed_markers(paths: RunPaths, files: FilesOfCells) -> dict[str, Marker]:
    """The markers of all committed cells, by their names.

    Args:
        paths: The run directory.
        files: What `files_of_cells` has listed.
    """
    cells = [cell for cell in files if COMMIT in files[cell]]
    markers = read_many(paths.in_cell(cell, COMMIT) for cell in cells)
    found = zip(cells, map(marker_in, markers), strict=True)
    return {cell: marker for cell, marker in found if marker is not None}


def committed_states(paths: RunPaths) -> dict[str, str]:
    """The states of all committed cells, by their names; one listing, whatever their number."""
    return {cell: marker.state for cell, marker in committed_markers(paths, files_of_cells(paths)).items()}


def read_marker(blob: Blob) -> Marker:
    """A marker that has to be whole.

    Raises:
        RunDirectoryError: It is not.
    """
    marker = marker_in(blob.read_bytes())
    if marker is None:
        raise RunDirectoryError(f"{blob} is damaged; `polarmap run` sets its cell aside and does it again")
    return marker


def files_of_cells(paths: RunPaths) -> FilesOfCells:
    """The sizes of the files of every cell, by cell and file name; folders that were set aside are left out."""
    cells: dict[str, dict[str, int]] = {}
    for name, size in paths.storage.names("cells").items():
        _, cell, *file = name.split("/")
        if len(file) == 1 and "." not in cell:
            cells.setdefault(cell, {})[file[0]] = size
    return cells


def has_test_predictions(paths: RunPaths, key: CellKey) -> bool:
    """Whether a final cell has judged the test exams."""
    return paths.test_commit(key).exists()


def forget_report(paths: RunPaths) -> None:
    """Mark tables and report as out of date, before anything changes that they were made from."""
    paths.summary.unlink()


def set_aside(paths: RunPaths, cell: str, why: str) -> str:
    """Move a cell's folder out of the ledger, to do the cell again; nothing is deleted.

    Args:
        paths: The run directory.
        cell: The cell's name.
        why: `failed` or `damaged`.

    Returns:
        The folder's new name.
    """
    return put_by(paths, paths.cell(cell), why)


def put_by(paths: RunPaths, name: str, why: str) -> str:
    """Rename a file or folder to a name that says why it is no longer read, and that is not taken."""
    folder, _, own = name.rpartition("/")
    there = {found.removeprefix(f"{folder}/").partition("/")[0] for found in paths.storage.names(folder)}
    target = next(f"{own}.{why}-{number}" for number in count(1) if f"{own}.{why}-{number}" not in there)
    paths.storage.move(name, f"{folder}/{target}")
    return target
