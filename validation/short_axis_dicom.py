"""Short-axis volumes as DICOM nuclear medicine files, in the many ways in which one heart can be stored."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from orchestrator.importers.short_axis import Volume

SYNTAXES: Final = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
}
_STATES: Final = {"stress": ("F-05019", "SRT", "Cardiac Stress State"), "rest": ("F-01604", "SRT", "Resting State")}
_NUCLIDES: Final = {
    "Tc-99m": ("C-163A8", "99SDM", "Technetium", 126.45, 154.55),
    "Tl-201": ("C-138A9", "99SDM", "Thallium", 59.0, 87.0),
}
_UID: Final = "1.2.826.0.1.3680043.8.498.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """How a heart is stored; the default is the plainest way."""

    syntax: str = "explicit"
    base_first: bool = False
    spacing_sign: int = 1
    shuffled: bool = False
    """Frames in another order than slices, as their vector says."""
    slots: int = 0
    """Time slots of a gated volume; 0 for none. Their counts add up to the ungated ones."""
    bits: int = 16
    signed: bool = False
    direction: bool = True
    """Whether Slice Progression Direction is there."""


def code(value: str, scheme: str, meaning: str) -> Sequence:
    """A code sequence of one item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return Sequence([item])


def short_axis_dataset(
    volume: Volume,
    storage: Storage | None = None,
    *,
    patient: str = "MRN-1",
    tracer: str = "Tc-99m",
    phase: str = "stress",
    date: str = "20240501",
    more: Mapping[str, Any] | None = None,
) -> Dataset:
    """A volume as the data set that a workstation would export.

    Args:
        volume: In the one form of the importer.
        storage: How it is stored.
        patient: Patient ID.
        tracer: `Tc-99m` or `Tl-201`.
        phase: `stress` or `rest`.
        date: Acquisition date.
        more: Elements to set or, with None, to delete, by keyword.
    """
    storage = storage or Storage()
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.20", f"{_UID}.9"
    data.StudyInstanceUID, data.SeriesInstanceUID = f"{_UID}.1", f"{_UID}.2"
    data.Modality, data.PatientID, data.PatientSex, data.PatientAge = "NM", patient, "F", "061Y"
    data.AcquisitionDate = date
    kind = "RECON GATED TOMO" if storage.slots else "RECON TOMO"
    data.ImageType = ["DERIVED", "PRIMARY", kind, "EMISSION"]
    data.ViewCodeSequence = code("G-A186", "SRT", "Short Axis")
    context = Dataset()
    context.ConceptNameCodeSequence = code("109054", "DCM", "Patient State")
    context.ConceptCodeSequence = code(*_STATES[phase])
    data.AcquisitionContextSequence = Sequence([context])
    *nuclide, low, high = _NUCLIDES[tracer]
    agent, window, limits = Dataset(), Dataset(), Dataset()
    agent.RadionuclideCodeSequence = code(*map(str, nuclide))
    data.RadiopharmaceuticalInformationSequence = Sequence([agent])
    limits.EnergyWindowLowerLimit, limits.EnergyWindowUpperLimit = low, high
    window.EnergyWindowRangeSequence = Sequence([limits])
    data.EnergyWindowInformationSequence = Sequence([window])
    _add_frames(data, volume, storage)
    for name, value in (more or {}).items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    return data


def _add_frames(data: Dataset, volume: Volume, storage: Storage) -> None:
    counts = np.rint(volume.counts).astype(np.int64)
    ordered = counts[::-1] if storage.base_first else counts
    number = len(ordered)
    slots = _in_slots(ordered, storage.slots) if storage.slots else ordered[np.newaxis]
    frames = slots.reshape(-1, *ordered.shape[1:])
    slices = np.tile(np.arange(1, number + 1), len(slots))
    times = np.repeat(np.arange(1, len(slots) + 1), number)
    if storage.shuffled:
        order = np.random.default_rng(5).permutation(len(frames))
        frames, slices, times = frames[order], slices[order], times[order]
    data.FrameIncrementPointer = [0x00540070, 0x00540080] if storage.slots else [0x00540080]
    data.SliceVector = slices.tolist()
    data.NumberOfSlices = number
    if storage.slots:
        data.TimeSlotVector, data.NumberOfTimeSlots = times.tolist(), storage.slots
    if storage.direction:
        data.SliceProgressionDirection = "BASE_TO_APEX" if storage.base_first else "APEX_TO_BASE"
    data.SpacingBetweenSlices = storage.spacing_sign * volume.spacing[0]
    data.PixelSpacing = [volume.spacing[1], volume.spacing[2]]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.NumberOfFrames, data.Rows, data.Columns = len(frames), frames.shape[1], frames.shape[2]
    data.BitsAllocated = data.BitsStored = storage.bits
    data.HighBit, data.PixelRepresentation = storage.bits - 1, int(storage.signed)
    endian = ">" if storage.syntax == "big endian" else "<"
    kind = np.dtype(f"{endian}{'i' if storage.signed else 'u'}{storage.bits // 8}")
    data.PixelData = frames.astype(kind).tobytes()
    data["PixelData"].VR = "OW"


def _in_slots(counts: NDArray[np.int64], slots: int) -> NDArray[np.int64]:
    """Whole counts divided over time slots so that they add up."""
    shares = [counts // slots + (counts % slots > slot) for slot in range(slots)]
    return np.stack(shares)


def dicom_bytes(data: Dataset, syntax: str = "explicit", change: Callable[[Dataset], None] | None = None) -> bytes:
    """A data set as the content of a file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    meta.TransferSyntaxUID = SYNTAXES[syntax]
    data.file_meta = meta
    if change is not None:
        change(data)
    buffer = io.BytesIO()
    dcmwrite(buffer, data, enforce_file_format=True)
    return buffer.getvalue()


def short_axis_file(volume: Volume, storage: Storage | None = None, **words: Any) -> bytes:  # noqa: ANN401 - see `short_axis_dataset`
    """A volume as the content of a file."""
    storage = storage or Storage()
    return dicom_bytes(short_axis_dataset(volume, storage, **words), storage.syntax)
