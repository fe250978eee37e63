"""How map files are stored, from their headers: cohorts in which that differs give a network something to learn.

A hospital that exports colour screenshots and one that exports counts differ in every pixel; where they differ in
prevalence as well, a network can read the export.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from mpi_model.vocabulary import PHASES
from orchestrator.cohort.manifest import interpret
from orchestrator.cohort.table import read_table

_DEPTHS: Final[Mapping[str, str]] = {"1": "8-bit grey", "L": "8-bit grey", "LA": "8-bit grey", "La": "8-bit grey"}
_COUNTS: Final = ("I", "F")
_ARRAYS: Final = frozenset({".npy", ".npz"})


def encodings(manifest: Path) -> pd.DataFrame:
    """How the maps of a manifest are stored; no pixel is read.

    Args:
        manifest: One that `load_cohort` accepts.

    Returns:
        One row a map: `manifest_row, phase, stored_as` (such as `8-bit colour, 128 × 128 pixels`).
    """
    exams = interpret(read_table(manifest), manifest.parent).exams
    rows = [
        (exam.row, phase, _stored_as(exam.images[phase])) for exam in exams for phase in PHASES if phase in exam.images
    ]
    return pd.DataFrame(rows, columns=["manifest_row", "phase", "stored_as"])


def _stored_as(path: Path) -> str:
    if path.suffix.lower() in _ARRAYS:
        array = _first_array(path)
        colour = ", colour" if array.ndim == 3 and 3 in array.shape else ""
        height, width = array.shape[-3:-1] if array.ndim == 3 and array.shape[-1] in (1, 3) else array.shape[-2:]
        return f"array of {array.dtype.name}{colour}, {height} × {width} pixels"
    # Opening reads the header alone.
    with Image.open(path) as image:
        mode, (width, height) = image.mode, image.size
    kind = _DEPTHS.get(mode, "counts" if mode.startswith(_COUNTS) else "8-bit colour")
    return f"{kind}, {height} × {width} pixels"


def _first_array(path: Path) -> NDArray[np.generic]:
    stored = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix.lower() == ".npy" else None)
    if isinstance(stored, np.ndarray):
        return stored
    with stored:
        return np.asarray(stored[stored.files[0]])
