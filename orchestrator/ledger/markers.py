"""The marker of finished work: the digests of its files, and the cell and experiment it belongs to."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.hashing import digest
from orchestrator.ledger.files import json_bytes, json_object


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


def sealed(content: bytes) -> dict[str, object]:
    """A file's entry in a marker."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def marker_bytes(marker: Marker) -> bytes:
    """A marker as a file, with a digest of itself."""
    content = {name: getattr(marker, name) for name in Marker.__dataclass_fields__}
    return json_bytes(content | {"digest": digest(content)})


def marker_in(content: bytes) -> Marker | None:
    """The marker in a file; None where a single byte is not what `marker_bytes` wrote."""
    stored = json_object(content) or {}
    fields = {name: value for name, value in stored.items() if name != "digest"}
    # Compared as bytes, too: another spelling of the same JSON was not written by us.
    if set(fields) != set(Marker.__dataclass_fields__) or json_bytes(stored) != content:
        return None
    marker = Marker(**fields)  # type: ignore[arg-type] # what it holds is checked by the digest
    return marker if digest(fields) == stored.get("digest") else None


def damages(marker: Marker, sizes: Mapping[str, int]) -> Iterator[str]:
    """The parts that are missing or of another size than committed."""
    for name, seal in marker.parts.items():
        if name not in sizes:
            yield f"{name} is missing"
        elif sizes[name] != seal["bytes"]:
            yield f"{name} has {sizes[name]} bytes instead of {seal['bytes']}"
