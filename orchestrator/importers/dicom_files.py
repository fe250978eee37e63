"""Bytes as DICOM data, or the reason why not. Nothing that pydicom would say of a value is passed on."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from mpi_model.errors import CohortError, PolarmapError

_LOGGER: Final = logging.getLogger("pydicom")
LARGEST_SIDE: Final = 4096
MOST_VALUES: Final = 2**27
"""Pixels times frames times samples: what a file may claim."""
PLAIN_SYNTAXES: Final = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)


@contextmanager
def reading_tags() -> Iterator[None]:
    """Where tags are read: pydicom converts a value when it is first asked for, and warns by quoting it.

    Raises:
        CohortError: A value cannot be converted.
    """
    level = _LOGGER.level
    _LOGGER.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    except PolarmapError:
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
        CohortError: The file is damaged.
    """
    with reading_tags():
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
    if syntax not in PLAIN_SYNTAXES:
        raise CohortError("the pixels are compressed or packed; export the file uncompressed (explicit little endian)")
    if "PixelData" not in data:
        raise CohortError("there are no pixel data; export the image, not its report")
    rows, columns = number_of(data, "Rows"), number_of(data, "Columns")
    frames, bits = number_of(data, "NumberOfFrames", 1), number_of(data, "BitsAllocated")
    if not (1 <= rows <= LARGEST_SIDE and 1 <= columns <= LARGEST_SIDE and 1 <= frames <= MOST_VALUES):
        raise CohortError(f"the header claims {frames} frames of {columns} × {rows} pixels; export the file again")
    if rows * columns * frames > MOST_VALUES:
        raise CohortError(f"the header claims more than {MOST_VALUES} pixels; export the file again")
    if number_of(data, "SamplesPerPixel", 1) != 1 or bits not in {8, 16, 32}:
        raise CohortError("the pixels are not counts of 8, 16 or 32 bits; export the original volume")
    signed = number_of(data, "PixelRepresentation") == 1
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    kind = np.dtype(f"{order}{'i' if signed else 'u'}{bits // 8}")
    content = bytes(data.PixelData)
    needed = rows * columns * frames * kind.itemsize
    if not needed <= len(content) <= needed + 1:
        raise CohortError(f"the pixel data have {len(content)} bytes, not the {needed} of the header; export again")
    return np.frombuffer(content[:needed], dtype=kind).reshape(frames, rows, columns)
