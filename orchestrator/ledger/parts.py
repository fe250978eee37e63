"""Parts of finished work: a candidate at a time, then the whole cell, its commit marker last.

The marker holds the digests of the files, and the cell and experiment they belong to.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Final

import pyarrow as pa

from mpi_model.errors import RunDirectoryError
from orchestrator.cells.records import Attribution, CandidateResult, CellKey, CellResult, EpochRecord, Prediction
from orchestrator.hashing import digest
from orchestrator.ledger.files import json_bytes, json_object, table_bytes, table_from
from orchestrator.ledger.paths import RunPaths
from orchestrator.ledger.schemas import ATTRIBUTION_PART, CANDIDATE_PART, PARTS, attribution_columns, rows_of_cell
from orchestrator.storage.base import Blob

# Of a cell or of its networks; never a path that leads out of the run directory.
_PART: Final = re.compile(r"(cells/[\w-]+|models)/[\w-]+\.(parquet|safetensors|json)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """The content of a commit marker."""

    cell: str
    """The cell's name: a folder that was copied is not another cell."""
    experiment: str
    """The experiment's hash."""
    state: str
    attempt: int
    """The try that finished the work, 1 for the first."""
    parts: Mapping[str, Mapping[str, object]]
    """Size and SHA-256 of every file, by its path in the run directory's folder of cells or of models."""

    def sha256(self, part: str) -> str:
        """A part's digest; empty where the marker does not name the part."""
        return str(self.parts.get(part, {}).get("sha256", ""))


def _sealed(content: bytes) -> dict[str, object]:
    """A file's entry in a marker."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _marker_bytes(marker: Marker) -> bytes:
    """A marker as a file, with a digest of itself."""
    content = fields_of(marker)
    return json_bytes(content | {"digest": digest(content)})


def fields_of(marker: Marker) -> dict[str, object]:
    """A marker as plain values."""
    return {name: getattr(marker, name) for name in Marker.__dataclass_fields__}


def marker_in(content: bytes) -> Marker | None:
    """The marker in a file; None where a single byte is not what `_marker_bytes` wrote."""
    stored = json_object(content) or {}
    fields = {name: value for name, value in stored.items() if name != "digest"}
    # Compared as bytes, too: another spelling of the same JSON was not written by us.
    if set(fields) != set(Marker.__dataclass_fields__) or json_bytes(stored) != content:
        return None
    if digest(fields) != stored.get("digest") or not _is_marker(fields):
        return None
    return Marker(**fields)  # type: ignore[arg-type] # just looked at


def _is_marker(fields: Mapping[str, object]) -> bool:
    """Whether every field is of its kind, and every part a file of this run."""
    texts = all(isinstance(fields[name], str) for name in ("cell", "experiment", "state"))
    parts = fields["parts"]
    if not texts or type(fields["attempt"]) is not int or not isinstance(parts, dict):
        return False
    return all(
        _PART.fullmatch(name)
        and isinstance(seal, dict)
        and set(seal) == {"bytes", "sha256"}
        and type(seal["bytes"]) is int
        and isinstance(seal["sha256"], str)
        for name, seal in parts.items()
    )


@dataclass(frozen=True, slots=True)
class StoredCandidate:
    """A candidate as it was read back."""

    result: CandidateResult
    experiment: str
    """The hash of the experiment it was trained for, as its file says."""


def write_candidate(paths: RunPaths, key: CellKey, result: CandidateResult, experiment: str) -> None:
    """Keep a finished candidate of a cell under way, with what tells it from any other one.

    Args:
        paths: The run directory.
        key: The cell.
        result: The candidate.
        experiment: The experiment's hash.
    """
    # As JSON: hyperparameters are whole numbers, decimals, text or null, and a column has one type.
    row = asdict(result) | {"values": json.dumps(result.values)}
    table = pa.Table.from_pylist([row], schema=CANDIDATE_PART)
    # A candidate has no marker of its own, so its digest and origin travel in the file's metadata.
    origin = {"cell": key.name, "experiment": experiment, "digest": _row_digest(table.to_pylist()[0])}
    paths.candidate(key, result.number).write_bytes(table_bytes(table, origin))


def candidate_in(content: bytes, cell: str, number: int) -> StoredCandidate | None:
    """The candidate in a file; None where it is damaged, or belongs to another cell or number.

    Args:
        content: The file.
        cell: The cell's name.
        number: The candidate's number.
    """
    table = table_from(content)
    if table is None or table.num_rows != 1 or table.schema.names != CANDIDATE_PART.names:
        return None
    origin = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
    row = table.to_pylist()[0]
    due = {"cell": cell, "digest": _row_digest(row)}
    if row["number"] != number or not due.items() <= origin.items():
        return None
    return StoredCandidate(_candidate(row), origin.get("experiment", ""))


def _row_digest(row: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode("utf-8")).hexdigest()


def _candidate(row: dict[str, Any]) -> CandidateResult:
    # Arrow gives lists; records compare equal only with the tuples they were made of.
    for name in ("best_steps", "inner_scores", "reported"):
        row[name] = tuple(row[name])
    row["epochs"] = tuple(EpochRecord(**epoch) for epoch in row["epochs"])
    return CandidateResult(**{**row, "values": json.loads(row["values"])})


def write_cell(
    paths: RunPaths, result: CellResult, candidates: Sequence[CandidateResult], attempt: int, experiment: str
) -> Marker:
    """Write a finished cell's parts and models, mark it committed, delete its candidate files.

    Args:
        paths: The run directory.
        result: The cell.
        candidates: Its candidates, in order.
        attempt: The try that finished it, 1 for the first.
        experiment: The experiment's hash, written into the marker.
    """
    parts = [
        (paths.part(result.key, name), _rows_bytes(rows, PARTS[name]))
        for name, rows in rows_of_cell(result, list(candidates), attempt).items()
    ]
    for model in result.models:
        parts += [
            (paths.model(result.key, model.member, "safetensors"), model.weights),
            (paths.model(result.key, model.member, "json"), model.description.encode("utf-8")),
        ]
    if result.baseline:
        parts.append((paths.baseline(result.key), result.baseline.encode("utf-8")))
    marker = _commit(paths.commit(result.key), parts, result.key, experiment, result.state, attempt)
    # Only now: until the marker is there, the cell goes on from these.
    for candidate in candidates:
        paths.candidate(result.key, candidate.number).unlink()
    return marker


def write_test_predictions(paths: RunPaths, key: CellKey, predictions: list[Prediction], experiment: str) -> Marker:
    """Keep a final cell's predictions of the test exams, with a marker of their own."""
    cell = {"inputs": key.inputs, "partition": "test", "repeat": None, "fold": None}
    content = _rows_bytes([{**cell, **asdict(item)} for item in predictions], PARTS["predictions"])
    return _commit(paths.test_commit(key), [(paths.test_predictions(key), content)], key, experiment, "complete", 1)


def write_attributions(paths: RunPaths, key: CellKey, attributions: Sequence[Attribution], made_from: str) -> Marker:
    """Keep where the scores of a cell's exams come from, with a marker of their own.

    Args:
        paths: The run directory.
        key: The cell.
        attributions: Of its exams.
        made_from: Stands in the marker for the experiment's hash: it names the method, too.
    """
    cell = {"inputs": key.inputs, "partition": key.partition, "repeat": key.repeat, "fold": key.fold}
    content = _rows_bytes([{**cell, **attribution_columns(item)} for item in attributions], ATTRIBUTION_PART)
    blob = paths.attributions_commit(key)
    return _commit(blob, [(paths.attributions(key), content)], key, made_from, "complete", 1)


def _commit(
    blob: Blob, parts: list[tuple[Blob, bytes]], key: CellKey, experiment: str, state: str, attempt: int
) -> Marker:
    """Write parts, then the marker: work without a marker is not finished, however much of it is there."""
    for part, content in parts:
        part.write_bytes(content)
    seals = {part.name: _sealed(content) for part, content in parts}
    marker = Marker(cell=key.name, experiment=experiment, state=state, attempt=attempt, parts=seals)
    content = _marker_bytes(marker)
    # Created, not overwritten: on object storage the condition holds even for a driver that slept through its lock.
    if blob.storage.create(blob.name, content) is None and blob.read_bytes() != content:
        raise RunDirectoryError(
            f"{blob} was written by another driver; this one stops, and nothing of the other is overwritten"
        )
    return marker


def rename_unique(paths: RunPaths, name: str, why: str) -> str:
    """Rename a file or folder to a name that says why it is no longer read, and that is not taken.

    Args:
        paths: The run directory.
        name: The file, or the folder.
        why: `failed` or `damaged`.

    Returns:
        The new name, without its folder.
    """
    folder, _, own = name.rpartition("/")
    # Listed, not probed: on object storage a folder exists only by the names of its files.
    there = {found.removeprefix(f"{folder}/").partition("/")[0] for found in paths.storage.names(folder)}
    target = next(f"{own}.{why}-{number}" for number in count(1) if f"{own}.{why}-{number}" not in there)
    paths.storage.move(name, f"{folder}/{target}")
    return target


def _rows_bytes(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> bytes:
    """Rows as the bytes of a Parquet file."""
    return table_bytes(pa.Table.from_pylist(list(rows), schema=schema))
