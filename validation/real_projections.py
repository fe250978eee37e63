"""A real stress acquisition, reconstructed by filtered back-projection, reoriented and imported.

    python -m validation.real_projections PROJECTIONS.dcm DIR

PROJECTIONS.dcm is an uncorrected technetium-99m acquisition: views of a rotation, as a camera stores them. Slices are
reconstructed one by one (ramp filter with a Hann window; no attenuation, scatter or resolution correction), turned
to short axes by angles that were read from the picture, written as a DICOM volume and imported. DIR/sheet.html shows
the result: a left ventricle one can look at, no diagnostic reconstruction.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from orchestrator.importers.dicom_sa import import_dicom_sa
from orchestrator.importers.import_request import ImportRequest
from orchestrator.importers.short_axis import Sampling, Volume
from validation.short_axis_dicom import short_axis_file

Floats = NDArray[np.float64]
CENTRE: Final = (33.0, 30.5, 41.4)
"""Voxel in the middle of the left ventricle, read from the picture: below it the gut is as hot."""
AZIMUTH, ELEVATION = 40.0, 8.0
SHAPE: Final = (24, 32, 32)
CUTOFF: Final = 0.6
"""Of the Nyquist frequency, where the Hann window ends."""


def reconstructed(views: Floats, degrees: Floats) -> Floats:
    """Filtered back-projection of a rotation of 180 degrees.

    Args:
        views: `[views, rows, bins]`, counts.
        degrees: `[views]`, the direction each view was taken from.

    Returns:
        `[rows, bins, bins]`: one transaxial slice a row.
    """
    bins = views.shape[2]
    padded = 2 * bins
    frequency = np.abs(np.fft.fftfreq(padded)) * 2  # 1 at the Nyquist frequency
    window = np.where(frequency < CUTOFF, 0.5 + 0.5 * np.cos(np.pi * frequency / CUTOFF), 0.0)
    filtered = np.fft.ifft(np.fft.fft(views, n=padded, axis=2) * frequency * window, axis=2).real[:, :, :bins]
    along = np.arange(bins) - 0.5 * (bins - 1)
    y, x = np.meshgrid(along, along, indexing="ij")
    slices = np.zeros((views.shape[1], bins, bins))
    for view, angle in zip(filtered, np.radians(degrees), strict=True):
        places = x * np.cos(angle) + y * np.sin(angle) + 0.5 * (bins - 1)
        for row, profile in enumerate(view):
            slices[row] += np.interp(places.ravel(), np.arange(bins), profile, left=0, right=0).reshape(bins, bins)
    return np.clip(slices, 0, None)


def short_axis(slices: Floats, voxel: float, azimuth: float, elevation: float) -> Volume:
    """Transaxial slices turned to short axes.

    Args:
        slices: `[from head to feet, from front to back, from the patient's right to left]`.
        voxel: Millimetres.
        azimuth: Degrees from straight ahead to the patient's left that the apex points to.
        elevation: Degrees that it points down.

    Returns:
        A volume around `CENTRE`, apex first, septum left, anterior up.
    """
    centre = np.array(CENTRE) * voxel
    turn, dip = np.radians(azimuth), np.radians(elevation)
    # Axes as (towards the feet, backwards, to the left): the order of the array.
    apex = np.array([np.sin(dip), -np.cos(dip) * np.cos(turn), np.cos(dip) * np.sin(turn)])
    base = -apex
    down = np.array([1.0, 0.0, 0.0]) - apex[0] * apex
    down /= np.linalg.norm(down)
    # Right-handed in (left, back, head): right × down points from apex to base when the septum is on the left.
    to_patient = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], dtype=np.float64)
    right = to_patient.T @ np.cross(to_patient @ down, to_patient @ base)
    steps = [(np.arange(count) - 0.5 * (count - 1)) * voxel for count in SHAPE]
    k, r, c = np.meshgrid(*steps, indexing="ij")
    places = centre[:, None] + np.outer(base, k.ravel()) + np.outer(down, r.ravel()) + np.outer(right, c.ravel())
    counts = map_coordinates(slices, places / voxel, order=1, mode="constant").reshape(SHAPE)
    return Volume(counts=np.rint(np.clip(counts, 0, None) * (2000 / counts.max())), spacing=(voxel,) * 3)


def main() -> None:
    """Reconstruct, reorient, import."""
    words = argparse.ArgumentParser()
    words.add_argument("projections", type=Path, metavar="PROJECTIONS.dcm")
    words.add_argument("folder", type=Path, metavar="DIR")
    words.add_argument("--azimuth", type=float, default=AZIMUTH, help="degrees to the left that the apex points to")
    words.add_argument("--elevation", type=float, default=ELEVATION, help="degrees down that the apex points to")
    arguments = words.parse_args()
    data = pydicom.dcmread(arguments.projections)
    views = data.pixel_array.astype(np.float64)
    cosines = [float(value) for value in data.DetectorInformationSequence[0].ImageOrientationPatient]
    step = float(data.RotationInformationSequence[0].AngularStep)
    # The direction of a view's rows turns by a step a view; the camera goes from the right over the front to the left.
    degrees = np.degrees(np.arctan2(cosines[1], cosines[0])) + step * np.arange(len(views))
    slices = reconstructed(views, degrees)
    volume = short_axis(slices, float(data.PixelSpacing[0]), arguments.azimuth, arguments.elevation)
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "short-axis.dcm").write_bytes(short_axis_file(volume))
        written = import_dicom_sa(ImportRequest(source=Path(work), folder=arguments.folder), sampling=Sampling())
    print(f"{written.manifest} written; open {arguments.folder / 'sheet.html'}")


if __name__ == "__main__":
    main()
