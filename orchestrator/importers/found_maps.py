"""What an importer finds in a source, before and after it reads the pixels."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from mpi_model.vocabulary import Phase, Tracer


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundMap:
    """One map of a source: whose it is and where it lies. Nothing of it is written before it went through `exams`."""

    file: int
    """The file's number."""
    part: int = 0
    """Which map of the file: a frame and crop, or a row."""
    patient: str
    """The patient's id in the source."""
    tracer: Tracer
    phase: Phase
    exam: str = ""
    """The exam's id in the source; empty where exams are distinguished by date."""
    date: datetime.date | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    """What the allow-list carries into the manifest, as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadMap:
    """The pixels of a map, and what a person should see of how it was made."""

    pixels: NDArray[Any]
    """`[H, W]` or `[H, W, 3]`; 8 bits are percent (255 for 100), everything else counts."""
    measured: Mapping[str, float | str | bool] = field(default_factory=dict)
    """Limits and residuals, for `import.json` and the sheet."""
    caption: str = ""
    """One line for the sheet."""
    drawing: str = ""
    """SVG for the sheet beside the map: where it was taken from."""
