"""What an exam is compared with: the mean map of the development exams of its tracer that are labelled normal.

A black map would not do. Perfusion defects are dark, and attributions are products with the difference from the
reference: of a defect they would be nearly nothing, whatever the network reads there (Sturmfels, Lundberg & Lee 2020,
doi:10.23915/distill.00022).
"""

import hashlib
from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from mpi_model.errors import ExperimentError, RunDirectoryError
from mpi_model.maps import FULL_SCALE, LabelledExams, Maps
from mpi_model.vocabulary import TRACERS, Inputs
from orchestrator.ledger.files import table_bytes, table_from
from orchestrator.storage.base import Blob

ReferenceMaps = Mapping[int, Tensor]
"""By the tracer's number, `[P, C, H, W]`, float32 0..1."""

_FEWEST: Final = 10
"""Exams of a mean that is stored, at least: a mean of few maps shows each of them."""
_STORED: Final = pa.schema(
    [("tracer", pa.string()), ("shape", pa.list_(pa.int64())), ("values", pa.list_(pa.float32()))]
)


def reference_maps(maps: Maps, training: LabelledExams, inputs: Inputs) -> ReferenceMaps:
    """The mean normal map of every tracer that occurs.

    Args:
        maps: The exams.
        training: What the explained network has learned from: nothing of the exams that are explained.
        inputs: Which phases to show; every training exam has them.
    """
    found: dict[int, Tensor] = {}
    for tracer in np.unique(maps.tracer[training.rows]).tolist():
        normal = training.rows[(maps.tracer[training.rows] == tracer) & (training.labels == 0)]
        found[tracer] = torch.from_numpy(_mean(maps.pixels(inputs)[normal]))
    return found


def _mean(pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
    # Whole numbers are added up exactly, in whatever order a library adds them.
    mean: NDArray[np.float32] = (pixels.sum(axis=0, dtype=np.int64) / (len(pixels) * FULL_SCALE)).astype(np.float32)
    return mean


def write_reference_maps(blob: Blob, references: ReferenceMaps, exams: Mapping[int, int], made_from: str) -> None:
    """Keep the reference maps of final networks, so that new exams can be explained without the development maps.

    Args:
        blob: The file.
        references: The maps.
        exams: How many exams each is the mean of, by the tracer's number; a mean of fewer than ten is left out.
        made_from: The experiment's hash.
    """
    rows = [
        {"tracer": TRACERS[tracer], "shape": list(found.shape), "values": found.flatten().tolist()}
        for tracer, found in references.items()
        if exams[tracer] >= _FEWEST
    ]
    table = pa.Table.from_pylist(rows, schema=_STORED)
    blob.write_bytes(table_bytes(table, {"experiment": made_from, "digest": _digest(table)}))


def read_reference_maps(blob: Blob, made_from: str) -> ReferenceMaps:
    """The stored reference maps.

    Raises:
        ExperimentError: The run was not explained yet.
        RunDirectoryError: The file is damaged, or of another run.
    """
    if not blob.exists():
        raise ExperimentError(
            "the run keeps no reference maps to explain new exams by; `polarmap explain RUN` writes them"
        )
    table = table_from(blob.read_bytes())
    stored = {} if table is None else table.schema.metadata or {}
    written = {name.decode(): value.decode() for name, value in stored.items()}
    if table is None or written != {"experiment": made_from, "digest": _digest(table)}:
        raise RunDirectoryError(f"{blob} is damaged or of another run; delete it: `polarmap explain` writes it again")
    return {
        TRACERS.index(row["tracer"]): torch.tensor(row["values"], dtype=torch.float32).view(row["shape"])
        for row in table.to_pylist()
    }


def _digest(table: pa.Table) -> str:
    return hashlib.sha256(repr(table.to_pylist()).encode("utf-8")).hexdigest()
