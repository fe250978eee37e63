"""DICOM files: bytes as data, frames of counts, and result pages stored as Secondary Capture.

pydicom's warnings and errors quote values of the file; none of them is passed on.
"""

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from mpi_model.errors import CohortError, PolarmapError
from orchestrator.importers.dicom_tags import TagFacts, tag_facts

_LOGGER: Final = logging.getLogger("pydicom")
_LARGEST_SIDE: Final = 4096
_MOST_VALUES: Final = 2**27
"""Pixels times frames times samples: what a file may claim."""
_PLAIN_SYNTAXES: Final = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_DEFLATED: Final = re.compile(rb"\x02\x00\x10\x00UI..1\.2\.840\.10008\.1\.2\.1\.99", re.DOTALL)
"""The transfer syntax (0002,0010) of a file that is one deflated stream."""
_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
"""The class; its multi-frame forms continue the number."""
# What pydicom decodes without a further library than Pillow.
_READABLE: Final = (*_PLAIN_SYNTAXES, JPEGBaseline8Bit, RLELossless)


@contextmanager
def reading_tags() -> Iterator[None]:
    """Where tags are read: pydicom converts a value when it is first asked for, and warns by quoting it.

    Raises:
        CohortError: A value cannot be converted.
    """
    level = _LOGGER.level
    # pydicom logs values that it cannot convert, and a value may be a patient's name.
    _LOGGER.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    except (PolarmapError, MemoryError):
        raise
    except Exception as error:  # pydicom raises nearly anything on a damaged value
        raise CohortError(f"the DICOM data are damaged ({type(error).__name__}); export the file again") from error
    finally:
        _LOGGER.setLevel(level)


def is_dicom(content: bytes) -> bool:
    """Whether the bytes begin as a DICOM file does (part 10: 128 bytes, then `DICM`)."""
    return content[128:132] == b"DICM"


def read_dicom(content: bytes, *, pixels: bool) -> Dataset:
    """Read a file's data set.

    Args:
        content: The whole file.
        pixels: Whether the pixel data are read, too.

    Raises:
        CohortError: The file is damaged, or deflated as a whole.
    """
    # pydicom unpacks all of it before it reads a tag, and a small file may hold any number of gigabytes.
    if _DEFLATED.search(content):
        raise CohortError("the file is deflated as a whole; export it uncompressed (explicit little endian)")
    with reading_tags():
        # Without `force`: what is no DICOM file has been sorted out by its first bytes.
        return pydicom.dcmread(io.BytesIO(content), stop_before_pixels=not pixels)


def number_of(data: Dataset, name: str, default: int = 0) -> int:
    """A whole number of a tag; the default where it is absent or no number."""
    try:
        return int(str(data.get(name, default)))
    except (ValueError, TypeError):
        return default


def plain_frames(data: Dataset) -> NDArray[Any]:
    """Uncompressed grey frames, `[frames, rows, columns]`, as they are stored.

    pydicom would read short pixel data with a warning, and a size from the header before it looks at the data; both are
    checked here first.

    Raises:
        CohortError: Compressed, not grey, of an unusable size, or not as many bytes as the header says.
    """
    syntax = getattr(getattr(data, "file_meta", None), "TransferSyntaxUID", None)
    if syntax not in _PLAIN_SYNTAXES:
        raise CohortError("the pixels are compressed or packed; export the file uncompressed (explicit little endian)")
    if "PixelData" not in data:
        raise CohortError("there are no pixel data; export the image, not its report")
    rows, columns = number_of(data, "Rows"), number_of(data, "Columns")
    frames, bits = number_of(data, "NumberOfFrames", 1), number_of(data, "BitsAllocated")
    if not (1 <= rows <= _LARGEST_SIDE and 1 <= columns <= _LARGEST_SIDE and 1 <= frames <= _MOST_VALUES):
        raise CohortError(f"the header claims {frames} frames of {columns} × {rows} pixels; export the file again")
    # Before any memory is reserved: a damaged header can claim terabytes.
    if rows * columns * frames > _MOST_VALUES:
        raise CohortError(f"the header claims more than {_MOST_VALUES} pixels; export the file again")
    if number_of(data, "SamplesPerPixel", 1) != 1 or bits not in {8, 16, 32}:
        raise CohortError("the pixels are not counts of 8, 16 or 32 bits; export the original volume")
    signed = number_of(data, "PixelRepresentation") == 1
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    kind = np.dtype(f"{order}{'i' if signed else 'u'}{bits // 8}")
    content = bytes(data.PixelData)
    needed = rows * columns * frames * kind.itemsize
    # DICOM pads an odd number of bytes by one.
    if not needed <= len(content) <= needed + 1:
        raise CohortError(f"the pixel data have {len(content)} bytes, not the {needed} of the header; export again")
    return np.frombuffer(content[:needed], dtype=kind).reshape(frames, rows, columns)


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
    sizes = max(rows, columns) <= _LARGEST_SIDE and rows * columns * frames * number_of(data, "SamplesPerPixel", 1)
    if not 0 < sizes <= _MOST_VALUES or number_of(data, "BitsAllocated") != 8:
        raise CohortError("the header claims no page of 8-bit colours; export it again")
    if frame > frames:
        raise CohortError(f"the page has {frames} frames, the layout asks for frame {frame}")
    pixels = pixel_array(data, index=frame - 1) if frames > 1 else pixel_array(data)
    if data.PhotometricInterpretation == "PALETTE COLOR":
        # Palettes are stored with 16 bits a colour.
        pixels = apply_color_lut(pixels, data) >> 8
    colours = np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
    return np.ascontiguousarray(colours[:, :, :3].astype(np.uint8))
