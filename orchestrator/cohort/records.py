"""A loaded cohort: exams and their maps."""

import hashlib
import json
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from mpi_model.maps import Maps

PARTITIONS: Final = ("development", "test")
"""The partitions of a cohort; the first is the default."""

# Part of every experiment's identity: another order or column would orphan all stored runs.
_DIGEST_COLUMNS: Final = ("patient_id", "exam_id", "tracer", "label", "partition", "has_stress", "has_rest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """A number of exams of the manifest that are not used, for the flow of participants (TRIPOD+AI item 20a)."""

    reason: str
    """The text in a flow diagram."""
    partition: str
    """`development` or `test`."""
    count: int
    """Exams, not patients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """All exams of a study; row i of `exams` and of `maps` are the same exam."""

    exams: pd.DataFrame
    """One row an exam, sorted by patient_id and exam_id, indexed 0..N-1.

    Columns: `manifest_row` (1-based data row), `patient_id`, `exam_id`, `tracer`, `label` (int8),
    `partition`, `has_stress`, `has_rest`, then the manifest's optional columns as text.
    """
    maps: Maps
    """The polar maps, `[N, C, size, size]` a phase."""
    notices: tuple[str, ...] = ()
    """Findings that need a decision of the user, but do not prevent loading."""
    digest: str
    """sha256, hexadecimal, of ids, tracers, labels, partitions, phases and pixels (see `digest_of`)."""

    def __len__(self) -> int:
        return len(self.exams)


def digest_of(exams: pd.DataFrame, maps: Maps) -> str:
    """Hash everything of a cohort that determines the results.

    Row order, file format and paths do not change the digest. Neither do optional columns such as `sex`: the
    fold plan hashes the strata.

    Args:
        exams: The exams in canonical order, N rows.
        maps: Their maps.

    Returns:
        The sha256, 64 hexadecimal digits.
    """
    # Lists as JSON, not joined text: no value can run into the next one.
    columns = [exams[name].tolist() for name in _DIGEST_COLUMNS]
    identity = json.dumps([list(row) for row in zip(*columns, strict=True)], separators=(",", ":"))
    sha = hashlib.sha256(identity.encode("ascii"))
    for phase in (maps.stress, maps.rest):
        sha.update(repr(phase.shape).encode("ascii"))
        # Little-endian on every machine.
        sha.update(np.ascontiguousarray(phase, dtype="<u2").tobytes())
    return sha.hexdigest()
