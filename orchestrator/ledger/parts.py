"""Parts of finished work: candidates as they come, then the whole cell in one file, its commit marker last.

The marker holds the digests of the files, and the cell and experiment they belong to.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import Final

import pyarrow as pa

from mpi_model.errors import RunDirectoryError
from orchestrator.cells.records import Attribution, CandidateResult, CellKey, CellResult, Prediction
from orchestrator.experiment.reading import read_record
from orchestrator.hashing import digest
from orchestrator.ledger.files import json_bytes, json_object, table_bytes
from orchestrator.ledger.paths import CellPart, RunPaths
from orchestrator.ledger.schemas import ATTRIBUTION_PART, PARTS, RESULTS, attribution_columns, rows_of_cell
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
    reason: str
    """Why a failed cell failed; empty for the others."""
    attempt: int
    """The try that finished the work, 1 for the first."""
    objectives: Sequence[float | None]
    """Of its candidates, in order: `polarmap status` counts and compares them without reading a part."""
    parts: Mapping[str, Mapping[str, object]]
    """Size and SHA-256 of every file, by its path in the run directory's folder of cells or of models."""

    def sha256(self, part: str) -> str:
        """A part's digest; empty where the marker does not name the part."""
        return str(self.parts.get(part, {}).get("sha256", ""))

    @property
    def fields(self) -> dict[str, object]:
        """Its fields as plain values."""
        return {name: getattr(self, name) for name in Marker.__dataclass_fields__}

    @property
    def digest(self) -> str:
        """The digest that its file carries."""
        return digest(self.fields)


def _sealed(content: bytes) -> dict[str, object]:
    """A file's entry in a marker."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _marker_bytes(marker: Marker) -> bytes:
    """A marker as a file, with a digest of itself."""
    return json_bytes(marker.fields | {"digest": marker.digest})


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
    texts = all(isinstance(fields[name], str) for name in ("cell", "experiment", "state", "reason"))
    parts, scores = fields["parts"], fields["objectives"]
    if not texts or type(fields["attempt"]) is not int or not isinstance(parts, dict) or not isinstance(scores, list):
        return False
    return all(score is None or type(score) is float for score in scores) and all(
        _PART.fullmatch(name)
        and isinstance(seal, dict)
        and set(seal) == {"bytes", "sha256"}
        and type(seal["bytes"]) is int
        and isinstance(seal["sha256"], str)
        for name, seal in parts.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Finished candidates of a cell under way, as they were written down together."""

    cell: str
    """The cell's name: a file that was copied is not another cell's."""
    number: int
    """Of the file, from 0 in each cell: nor is it a later one of its own."""
    experiment: str
    """The experiment's hash."""
    candidates: tuple[CandidateResult, ...]


def write_delivery(paths: RunPaths, delivery: Delivery) -> None:
    """Write candidates of a cell under way, with a digest and what tells them from any others."""
    # Not sorted: a candidate's values keep the order in which they were proposed.
    content = json.dumps(asdict(delivery)).encode("utf-8")
    # These files have no marker, so each begins with its own digest.
    digest_line = hashlib.sha256(content).hexdigest().encode("ascii") + b"\n"
    paths.candidates(delivery.cell, delivery.number).write_bytes(digest_line + content)


def delivery_in(content: bytes, cell: str, number: int) -> Delivery | None:
    """What was written down; None where it is damaged, or a copy of another file."""
    said, _, body = content.partition(b"\n")
    if said != hashlib.sha256(body).hexdigest().encode("ascii"):
        return None
    found = read_record(Delivery, json_object(body) or {}, "", [])
    return found if isinstance(found, Delivery) and (found.cell, found.number) == (cell, number) else None


def write_cell(
    paths: RunPaths, result: CellResult, candidates: Sequence[CandidateResult], attempt: int, experiment: str
) -> Marker:
    """Write a finished cell's results and models, and mark it committed.

    Args:
        paths: The run directory.
        result: The cell.
        candidates: Its candidates, in order.
        attempt: The try that finished it, 1 for the first.
        experiment: The experiment's hash, written into the marker.
    """
    rows = rows_of_cell(result, list(candidates), attempt)
    parts = [(paths.in_cell(result.key.name, CellPart.RESULTS.file), _rows_bytes([rows], RESULTS))]
    for model in result.models:
        parts += [
            (paths.model(result.key, model.member, "safetensors"), model.weights),
            (paths.model(result.key, model.member, "json"), model.description.encode("utf-8")),
        ]
    if result.baseline:
        parts.append((paths.baseline(result.key), result.baseline.encode("utf-8")))
    scores = [one.objective for one in candidates]
    return _commit(
        paths.in_cell(result.key.name, CellPart.RESULTS.marker),
        parts,
        Marker(
            cell=result.key.name,
            experiment=experiment,
            state=result.state,
            reason=result.reason,
            attempt=attempt,
            # NaN has no place in JSON.
            objectives=[score if score is not None and math.isfinite(score) else None for score in scores],
            parts={},
        ),
    )


def write_test_predictions(paths: RunPaths, key: CellKey, predictions: list[Prediction], experiment: str) -> Marker:
    """Keep a final cell's predictions of the test exams, with a marker of their own."""
    cell = {"inputs": key.inputs, "partition": "test", "repeat": None, "fold": None}
    content = _rows_bytes([{**cell, **asdict(item)} for item in predictions], PARTS["predictions"])
    return _commit_added(paths, key, CellPart.TEST_PREDICTIONS, content, experiment)


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
    return _commit_added(paths, key, CellPart.ATTRIBUTIONS, content, made_from)


def _commit_added(paths: RunPaths, key: CellKey, part: CellPart, content: bytes, experiment: str) -> Marker:
    """Add a part to a cell that is committed already."""
    marker = Marker(
        cell=key.name, experiment=experiment, state="complete", reason="", attempt=1, objectives=[], parts={}
    )
    return _commit(paths.in_cell(key.name, part.marker), [(paths.in_cell(key.name, part.file), content)], marker)


def _commit(blob: Blob, parts: list[tuple[Blob, bytes]], marker: Marker) -> Marker:
    """Write parts, then the marker: work without a marker is not finished, however much of it is there."""
    for part, content in parts:
        part.write_bytes(content)
    marker = replace(marker, parts={part.name: _sealed(content) for part, content in parts})
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
    names = (f"{name}.{why}-{number}" for number in count(1))
    # Both: on object storage a folder exists only by the names of its files.
    target = next(one for one in names if not paths.storage.exists(one) and not paths.storage.names(one))
    paths.storage.move(name, target)
    return target.rpartition("/")[2]


def _rows_bytes(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> bytes:
    """Rows as the bytes of a Parquet file."""
    return table_bytes(pa.Table.from_pylist(list(rows), schema=schema))
