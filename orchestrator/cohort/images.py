"""Reads one polar map from one file: decode, scale to 0..1, resample to a square of a given size.

Scale: a map with 8 bits a pixel was scaled for display when it was exported and is divided by 255. Every other map
(16-bit, 32-bit, floating point) contains counts and is divided by its own maximum (percent of peak, the usual
convention). Neither depends on another phase, exam or patient.

Shape: a map that is not exactly square is centred on a square of zeros. A side ratio above 5:4 is refused: such an
image is probably a page with several maps, or a grid of rings and angles.

Resampling: area averaging to fewer pixels, linear interpolation to more. Weights and pixels are integers (2**24 levels
a pixel), so that every sum is exact in float64, and no processor, library or order of summation changes a stored pixel.
"""

import math
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mpi_model.errors import CohortError
from mpi_model.maps import FULL_SCALE
from mpi_model.regular_files import open_regular

# Steps between 0 and 1 during resampling. With at most 4096 pixels along an edge, sums stay below 2**53, up to which
# float64 represents every integer.
_LEVELS: Final = 2**24
MAX_SIDE: Final = 4096
_MOST_BYTES: Final = 256 * 2**20
"""Of a file; the largest map, colour in float32, has 192 MiB."""
_MIN_SIDE: Final = 8  # fewer pixels cannot show an apical ring

# Pillow's modes: 8-bit grey and single-channel counts; everything else is colour.
_GREY_8_BIT: Final = frozenset({"1", "L", "LA", "La"})
_PHOTOMETRIC: Final = 262
_ORIENTATION: Final = 274
"""Tags of TIFF and Exif."""
_COUNTS: Final = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


def read_map(path: Path, *, size: int) -> NDArray[np.uint16]:
    """Read one polar map.

    Args:
        path: A PNG, JPEG or TIFF image, whatever its suffix, or an NPY/NPZ array.
        size: Pixels along an edge of the result.

    Returns:
        `[C, size, size]`, integers 0..FULL_SCALE for 0..1; C is 1 for grey (also grey stored as colour), else 3.

    Raises:
        CohortError: The file is missing, unreadable or not one map of finite counts. The message does not name the
            file, which may identify a patient; the caller adds the manifest row.
    """
    return _resampled(_squared(_in_levels(read_channels(path))), size)


def read_channels(path: Path) -> NDArray[Any]:
    """One usable map of a file, `[C, H, W]` with C 1 or 3, values as they are stored.

    Raises:
        CohortError: As `read_map`.
    """
    try:
        file = open_regular(path, _MOST_BYTES)
    except FileNotFoundError as error:
        raise CohortError("there is no such file; paths are relative to the manifest's folder") from error
    except OSError as error:
        raise CohortError(f"the file cannot be opened ({error.strerror}); name one map a file") from error
    with file:
        return checked_channels(decoded(file, array=path.suffix.lower() in {".npy", ".npz"}))


def decoded(source: BinaryIO, *, array: bool) -> NDArray[Any]:
    """The pixels of an image (PNG, JPEG, TIFF) or an array (NPY, NPZ), in type and shape as they are stored.

    Raises:
        CohortError: They cannot be read; the message does not name the file.
    """
    return _decode_array(source) if array else _decode_image(source)


def checked_channels(pixels: NDArray[Any]) -> NDArray[Any]:
    """One usable map, `[C, H, W]` with C 1 or 3, values as they are stored.

    Raises:
        CohortError: Not one map of finite counts.
    """
    channels = _channels_first(pixels)
    _refuse_unusable(channels)
    return channels


def _decode_array(source: BinaryIO) -> NDArray[Any]:
    try:
        if not zipfile.is_zipfile(source):
            source.seek(0)
            return _array_in(source)
        with zipfile.ZipFile(source) as archive:
            members = archive.namelist()
            if len(members) != 1:
                raise CohortError(f"the NPZ file holds {len(members)} arrays, not one; save one map a file")
            with archive.open(members[0]) as member:
                return _array_in(member)
    except (CohortError, MemoryError):
        raise
    except Exception as error:  # a damaged header or archive raises nearly anything
        kind = type(error).__name__
        raise CohortError(f"the array cannot be read ({kind}); save it with numpy.save, without objects") from error


def _array_in(stream: IO[bytes]) -> NDArray[Any]:
    """An array, once its header says that it is one map: a small file can declare, and unpack to, a huge one."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    # Version 3.0 is for names of fields that are not ASCII, which a map has not.
    shape, by_column, kind = readers[version](stream)
    _check_declared(shape)
    if kind.kind not in "buif" or kind.itemsize > 16:
        raise CohortError("a map holds real numbers, this array holds something else; save counts")
    count = math.prod(shape)
    content = stream.read(count * kind.itemsize)
    values = np.frombuffer(content, dtype=kind, count=count)
    return values.reshape(shape, order="F" if by_column else "C")


def _check_declared(shape: Sequence[int]) -> None:
    """Refuse what is no map by its declared sizes alone, before it is unpacked."""
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)):
        sizes = " × ".join(str(length) for length in shape) or "a single number"
        raise CohortError(f"a map is height × width or height × width × 3, this array is {sizes[:60]}")
    height, width = shape[:2]
    shorter, longer = sorted((height, width))
    if shorter < _MIN_SIDE or longer > MAX_SIDE:
        raise CohortError(f"a side must be {_MIN_SIDE} to {MAX_SIDE} pixels, this map is {width} × {height}")


def _decode_image(source: BinaryIO) -> NDArray[Any]:
    try:
        with warnings.catch_warnings():
            # A small file can declare a huge image; Pillow only warns about it.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source, formats=("PNG", "JPEG", "TIFF")) as image:
                # Only the header has been read so far.
                _check_declared((image.height, image.width))
                frames = getattr(image, "n_frames", 1)
                if frames != 1:
                    raise CohortError(f"the image has {frames} frames, not one; save one map a file")
                loses_depth = _loses_depth(image)
                misread = _misread(image)
                pixels = np.array(_grey_or_rgb(image))
    except (CohortError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        kind = type(error).__name__
        raise CohortError(f"the image cannot be read as PNG, JPEG or TIFF ({kind}); export it again") from error
    if loses_depth:
        raise CohortError(
            "a 16-bit image in colour or with transparency would lose half its depth; save counts as plain grey"
        )
    if misread:
        raise CohortError(misread)
    return pixels


def _loses_depth(image: Image.Image) -> bool:
    """Whether Pillow would reduce 16 bits a channel to 8 without a warning: it keeps those of plain grey alone."""
    return image.mode not in _COUNTS and any(";16" in str(tile) for tile in getattr(image, "tile", ()))


def _misread(image: Image.Image) -> str:
    """Why the pixels as Pillow reads them are not what a person sees; empty where they are."""
    if image.format == "TIFF":
        # Of 8 bits and less Pillow turns the scale itself; it turns every TIFF upright, too.
        upside_down = image.mode in _COUNTS and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
        return "white is zero in this TIFF, so its counts are upside down; save it with black as zero" * upside_down
    turned = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
    return "the image says that it is to be shown turned or mirrored; save it upright, without that mark" * turned


def _grey_or_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _COUNTS:
        return image
    return image.convert("L" if image.mode in _GREY_8_BIT else "RGB")


def _channels_first(pixels: NDArray[Any]) -> NDArray[Any]:
    """`[H, W]` or `[H, W, 3]` as `[C, H, W]`; three equal channels become one."""
    _check_declared(pixels.shape)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim == 2:
        return pixels[np.newaxis]
    grey = bool((pixels[:, :, :1] == pixels[:, :, 1:]).all())
    return np.moveaxis(pixels, 2, 0)[: 1 if grey else 3]


def _refuse_unusable(channels: NDArray[Any]) -> None:
    height, width = channels.shape[1:]
    shorter, longer = sorted((height, width))
    if 4 * longer > 5 * shorter:
        raise CohortError(f"a map is about square, this image is {width} × {height}; cut out one map a file")
    if channels.dtype.kind not in "buif":
        raise CohortError("a map holds real numbers, this array holds something else; save counts")
    if channels.dtype.itemsize > 8:
        # Counts are scaled in double precision, which ends at 1e308.
        raise CohortError("the map holds numbers of more than 64 bits; save counts as float64")
    if not np.isfinite(channels).all():
        raise CohortError("the map holds NaN or infinite values; export it again")
    if (channels < 0).any():
        raise CohortError("the map holds negative counts; save counts, not differences or z-scores")
    if (channels == channels[:, :1, :1]).all():
        raise CohortError("the map is empty: every pixel has one value; export it again")


def _in_levels(channels: NDArray[Any]) -> NDArray[np.float64]:
    """Scale `[C, H, W]` to 0..1 as the module says, and round to integer levels."""
    counts = channels.astype(np.float64)
    peak = 255.0 if channels.dtype == np.uint8 else float(counts.max())
    levels: NDArray[np.float64] = np.rint(counts / peak * _LEVELS)
    return levels


def _squared(channels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre `[C, H, W]` on a square of zeros; an odd pixel is added at the bottom or the right."""
    _, height, width = channels.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return np.pad(channels, ((0, 0), (top, side - height - top), (left, side - width - left)))


def _resampled(channels: NDArray[np.float64], size: int) -> NDArray[np.uint16]:
    side = channels.shape[1]
    weights = area_weights(side, size) if size <= side else _linear_weights(side, size)
    total = float(weights[0].sum())
    # Division comes last: up to here every number is an integer, and exact.
    sums = weights @ channels @ weights.T
    stored: NDArray[np.uint16] = np.rint(sums / (total * total * _LEVELS) * FULL_SCALE).astype(np.uint16)
    return stored


def area_weights(source: int, target: int) -> NDArray[np.float64]:
    """Overlaps of `target` equal intervals with `source` equal intervals of the same length.

    Args:
        source: Pixels before.
        target: Pixels after, at most `source`.

    Returns:
        `[target, source]` integers as floats; every row sums to `source`.
    """
    after = np.arange(target)[:, np.newaxis]
    before = np.arange(source)[np.newaxis, :]
    start = np.maximum(after * source, before * target)
    end = np.minimum((after + 1) * source, (before + 1) * target)
    overlaps: NDArray[np.float64] = np.maximum(end - start, 0).astype(np.float64)
    return overlaps


def _linear_weights(source: int, target: int) -> NDArray[np.float64]:
    """Linear interpolation between pixel centres; beyond the edge the outermost pixel is repeated.

    Args:
        source: Pixels before.
        target: Pixels after, at least `source`.

    Returns:
        `[target, source]` integers as floats; every row sums to `2 * target`.
    """
    after = np.arange(target)
    # The centre of a new pixel, in old pixels times 2 * target, which makes it an integer.
    position = (2 * after + 1) * source - target
    left = position // (2 * target)
    fraction = position - left * 2 * target
    weights = np.zeros((target, source))
    np.add.at(weights, (after, np.clip(left, 0, source - 1)), 2 * target - fraction)
    np.add.at(weights, (after, np.clip(left + 1, 0, source - 1)), fraction)
    return weights
