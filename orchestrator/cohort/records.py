"""What a loaded cohort is: exams, their maps, and what was left out."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.maps import Maps

PARTITIONS: Final = ("development", "test")
"""The two sides of a cohort; `development` is what an exam without a partition belongs to."""

_DIGEST_COLUMNS: Final = ("patient_id", "exam_id", "tracer", "label", "partition", "has_stress", "has_rest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Exams that are in the manifest and are not used, counted."""

    reason: str
    """Why, in words that a flow diagram can print."""
    partition: str
    """`development` or `test`."""
    count: int
    """Exams, not patients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """All exams of a study; row i of `exams` and row i of `maps` are the same exam."""

    exams: pd.DataFrame
    """One row an exam, sorted by patient_id and exam_id, indexed 0..N-1.

    Columns: `manifest_row` (1-based data row), `patient_id`, `exam_id`, `tracer`, `label` (int8),
    `partition`, `has_stress`, `has_rest`, then the manifest's optional columns as text.
    """
    maps: Maps
    """The polar maps, `[N, C, size, size]` a phase."""
    exclusions: tuple[Exclusion, ...] = ()
    """What was left out of a larger cohort to make this one."""
    notices: tuple[str, ...] = ()
    """What a person should know and decide about; nothing here stopped the loading."""
    digest: str
    """sha256, hexadecimal, of ids, tracers, labels, partitions, phases and pixels (see `digest_of`)."""

    def __len__(self) -> int:
        return len(self.exams)


def digest_of(exams: pd.DataFrame, maps: Maps) -> str:
    """Hash what the numbers of an experiment depend on.

    The manifest's row order, its file format and all paths leave the digest as it is; optional columns
    such as `sex` do too, because strata have a hash of their own.

    Args:
        exams: The exams in canonical order, N rows.
        maps: Their maps.

    Returns:
        The sha256, 64 hexadecimal digits.
    """
    columns = [exams[name].tolist() for name in _DIGEST_COLUMNS]
    identity = json.dumps([list(row) for row in zip(*columns, strict=True)], separators=(",", ":"))
    sha = hashlib.sha256(identity.encode("ascii"))
    for phase in (maps.stress, maps.rest):
        sha.update(repr(phase.shape).encode("ascii"))
        sha.update(np.ascontiguousarray(phase, dtype="<u2").tobytes())
    return sha.hexdigest()


def select(cohort: Cohort, mask: NDArray[np.bool_], exclusions: Sequence[Exclusion] = ()) -> Cohort:
    """Keep some exams of a cohort, in their order.

    Args:
        cohort: N exams.
        mask: `[N]`, which exams stay.
        exclusions: What the mask leaves out, to be added to the record.

    Returns:
        The smaller cohort with a digest of its own and the notices of the larger one.

    Raises:
        ValueError: The mask is not one truth value an exam.
    """
    if mask.shape != (len(cohort),) or mask.dtype != np.bool_:
        raise ValueError(f"a mask of shape {mask.shape} cannot select from {len(cohort)} exams")
    exams = cohort.exams.loc[mask].reset_index(drop=True)
    maps = Maps(
        stress=cohort.maps.stress[mask],
        rest=cohort.maps.rest[mask],
        has_stress=cohort.maps.has_stress[mask],
        has_rest=cohort.maps.has_rest[mask],
        tracer=cohort.maps.tracer[mask],
    )
    return Cohort(
        exams=exams,
        maps=maps,
        exclusions=(*cohort.exclusions, *exclusions),
        notices=cohort.notices,
        digest=digest_of(exams, maps),
    )
