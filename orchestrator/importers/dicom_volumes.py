"""From a nuclear medicine file to a volume in one form, however the same heart was stored.

Frames mean what the vectors say that the Frame Increment Pointer names. They are slices of RECON TOMO, or R-R
intervals, time slots and slices of RECON GATED TOMO, summed over the first two. The order of slices comes from the
Slice Vector, their direction from Slice Progression Direction or from the user. The sign of Spacing Between Slices says
on which side of the first slice the others lie in patient coordinates. Vendors write it in both ways; only its size is
used.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from mpi_model.errors import CohortError
from orchestrator.importers.dicom_files import number_of, plain_frames
from orchestrator.importers.short_axis import Volume

_SLICES: Final = 0x00540080
_TIME_SLOTS: Final = 0x00540070
_INTERVALS: Final = 0x00540060
_VECTORS: Final = {_SLICES: "SliceVector", _TIME_SLOTS: "TimeSlotVector", _INTERVALS: "RRIntervalVector"}
_FEWEST_SLICES: Final = 6
_SPACINGS_MM: Final = (1.0, 15.0)
_SMALLEST_VIEW_MM: Final = 80.0
_MIRRORED: Final = 0.3
"""Direction cosine from which an orientation counts as saying something."""


def image_kind(data: Dataset) -> str:
    """`recon`, `gated` or empty, by modality and Image Type."""
    kinds = [str(part).strip().upper() for part in data.get("ImageType", []) or []]
    # The fourth value tells emission from transmission; some leave it out.
    if str(data.get("Modality", "") or "").strip().upper() != "NM" or "TRANSMISSION" in kinds:
        return ""
    return {"RECON TOMO": "recon", "RECON GATED TOMO": "gated"}.get(kinds[2] if len(kinds) > 2 else "", "")


def short_axis_volume(data: Dataset, direction: str, *, mirrored: bool | None = None) -> Volume:
    """The counts of a file as a volume.

    Args:
        data: With its pixels.
        direction: `apex-to-base` or `base-to-apex`: the order of slice numbers.
        mirrored: Whether the user says that the septum is on the right; None trusts the file's orientation.

    Raises:
        CohortError: The frames do not make one volume, or its geometry is unusable.
    """
    spacing = _spacing(data)
    frames = plain_frames(data)
    slices = _sum_by_slice(frames, _frame_slices(data, len(frames)))
    # After summing gates: the rescaling is linear, and whole counts add without rounding.
    slices = slices * _factor(data, "RescaleSlope", 1.0) + _factor(data, "RescaleIntercept", 0.0)
    if not np.isfinite(slices).all() or not slices.max() > 0:
        raise CohortError("the volume has no counts; export it again")
    # From here on every volume runs from apex to base, whatever its program's order.
    counts = slices if direction == "apex-to-base" else slices[::-1]
    if mirrored is None and _says_mirrored(data):
        raise CohortError(
            "Image Orientation says that anterior is not up or the septum not left; look at it and say `orientation` "
            "in --files: standard or mirrored"
        )
    return Volume(counts=np.ascontiguousarray(counts[:, :, ::-1] if mirrored else counts), spacing=spacing)


def _spacing(data: Dataset) -> tuple[float, float, float]:
    # Slice Thickness is a substitute: reconstructed slices of a volume touch one another.
    between = data.get("SpacingBetweenSlices") or data.get("SliceThickness")
    within = data.get("PixelSpacing") or []
    try:
        values = [abs(float(str(between))), *(float(str(value)) for value in within)]
    except ValueError:
        values = []
    low, high = _SPACINGS_MM
    if len(values) != 3 or not all(low <= value <= high for value in values):
        raise CohortError(f"Pixel Spacing and Spacing Between Slices must be {low:g} to {high:g} mm; export again")
    rows, columns = number_of(data, "Rows"), number_of(data, "Columns")
    if min(rows * values[1], columns * values[2]) < _SMALLEST_VIEW_MM:
        raise CohortError(f"the slices show less than {_SMALLEST_VIEW_MM:g} mm; export the whole short axis")
    return values[0], values[1], values[2]


def _frame_slices(data: Dataset, frames: int) -> NDArray[np.int64]:
    """The slice of each frame, from 0."""
    pointed = _listed(data.get("FrameIncrementPointer"))
    gated = image_kind(data) == "gated"
    expected = {_SLICES, _TIME_SLOTS} | ({_INTERVALS} & set(pointed)) if gated else {_SLICES}
    if set(pointed) != expected and (pointed or gated):
        raise CohortError("the frames are not slices (and time slots) alone; export one short-axis series a file")
    vectors = {tag: _vector(data, tag, frames) for tag in expected}
    if not pointed and vectors[_SLICES] is None:
        vectors[_SLICES] = np.arange(1, frames + 1)
    if any(vector is None for vector in vectors.values()):
        raise CohortError("a frame vector is missing or of another length than the frames; export the file again")
    slices = np.asarray(vectors[_SLICES])
    count = int(slices.max(initial=0))
    # Every combination of slice and time slot once, or counts would be added twice.
    combined = np.stack([np.asarray(vectors[tag]) for tag in sorted(expected)])
    parts = frames // max(count, 1)
    if (
        slices.min(initial=1) < 1
        or count * parts != frames
        or (np.bincount(slices, minlength=count + 1)[1:] != parts).any()
        or len(np.unique(combined, axis=1).T) != frames
    ):
        raise CohortError("slices are missing or there twice; export one whole short-axis series a file")
    if count < _FEWEST_SLICES:
        raise CohortError(f"{count} slices cannot show a left ventricle; export all of them")
    return slices - 1


def _listed(pointer: Any) -> list[int]:  # noqa: ANN401 - pydicom gives one tag or several
    if pointer is None:
        return []
    return [int(pointer)] if isinstance(pointer, int) else [int(tag) for tag in pointer]


def _vector(data: Dataset, tag: int, frames: int) -> NDArray[np.int64] | None:
    value = data.get(_VECTORS[tag])
    if value is None:
        return None
    numbers = np.atleast_1d(np.asarray(value))
    return numbers.astype(np.int64) if numbers.dtype.kind in "iu" and numbers.shape == (frames,) else None


def _sum_by_slice(frames: NDArray[np.generic], slices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counts are whole numbers, so that their sum does not depend on the order of frames."""
    summed = np.zeros((int(slices.max()) + 1, *frames.shape[1:]))
    np.add.at(summed, slices, frames.astype(np.float64))
    return summed


def _factor(data: Dataset, name: str, default: float) -> float:
    try:
        return float(str(data.get(name, default)))
    except ValueError:
        return float("nan")


def _says_mirrored(data: Dataset) -> bool:
    """Whether the stored orientation contradicts the usual view: right is the patient's left, down the feet."""
    detectors = data.get("DetectorInformationSequence") or []
    cosines = next((item.get("ImageOrientationPatient") for item in detectors), None) or []
    try:
        numbers = [float(str(value)) for value in cosines]
    except ValueError:
        return False
    if len(numbers) != 6 or not np.isfinite(numbers).all():
        return False
    # Row direction to the patient's right, or column direction towards the head.
    return numbers[0] < -_MIRRORED or numbers[5] > _MIRRORED
