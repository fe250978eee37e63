"""Result pages stored as DICOM Secondary Capture: their facts and their frames."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from mpi_model.errors import CohortError
from orchestrator.importers.dicom_files import (
    LARGEST_SIDE,
    MOST_VALUES,
    PLAIN_SYNTAXES,
    is_dicom,
    number_of,
    read_dicom,
    reading_tags,
)
from orchestrator.importers.dicom_tags import TagFacts, tag_facts

_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
"""The class; its multi-frame forms continue the number."""
_READABLE: Final = (*PLAIN_SYNTAXES, JPEGBaseline8Bit, RLELossless)


def page_facts(content: bytes) -> TagFacts | None:
    """What the tags say; None of anything that is no secondary capture.

    Raises:
        CohortError: The file is damaged.
    """
    if not is_dicom(content):
        return None
    with reading_tags():
        data = read_dicom(content, pixels=False)
        return tag_facts(data) if str(data.get("SOPClassUID", "")).startswith(_SECONDARY_CAPTURE) else None


def page_frame(content: bytes, frame: int) -> NDArray[np.uint8]:
    """One frame as colours, `[H, W, 3]`.

    Args:
        content: The file.
        frame: 1-based.

    Raises:
        CohortError: The pixels are of a form that is not read, damaged, or more than a page can have.
    """
    with reading_tags():
        return _frame(read_dicom(content, pixels=True), frame)


def _frame(data: Dataset, frame: int) -> NDArray[np.uint8]:
    rows, columns, frames = (number_of(data, name, 1) for name in ("Rows", "Columns", "NumberOfFrames"))
    if data.file_meta.get("TransferSyntaxUID") not in _READABLE or "PixelData" not in data:
        raise CohortError("the page's pixels are of a form that is not read; export it uncompressed, as JPEG or as PNG")
    sizes = max(rows, columns) <= LARGEST_SIDE and rows * columns * frames * number_of(data, "SamplesPerPixel", 1)
    if not 0 < sizes <= MOST_VALUES or number_of(data, "BitsAllocated") != 8:
        raise CohortError("the header claims no page of 8-bit colours; export it again")
    if frame > frames:
        raise CohortError(f"the page has {frames} frames, the layout asks for frame {frame}")
    pixels = pixel_array(data, index=frame - 1) if frames > 1 else pixel_array(data)
    if data.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, data) >> 8
    colours = np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
    return np.ascontiguousarray(colours[:, :, :3].astype(np.uint8))
