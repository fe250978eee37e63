"""The phantom as short-axis volumes, imported again: does a reader of segments read as well?

    python -m validation.phantom_through_dicom [PATIENTS]

Every map of the phantom is laid onto a ventricle, blurred, averaged onto voxels, stored as DICOM and imported. A
logistic regression on the means of the 17 segments is cross-validated on the direct and on the imported stress
maps, tracer by tracer, with the same folds.
"""

import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mpi_model.vocabulary import TRACERS
from orchestrator.cohort.images import read_map
from orchestrator.importers.dicom_sa import import_dicom_sa
from orchestrator.importers.import_request import ImportRequest
from orchestrator.importers.short_axis import Sampling, Volume
from orchestrator.phantom.cohort import simulate
from validation.phantom import segment_means
from validation.short_axis_dicom import short_axis_file

Floats = NDArray[np.float64]
VOXEL: Final = 6.4
SHAPE: Final = (20, 26, 26)
RADIUS, LENGTH, WALL = 25.0, 78.0, 10.0
FWHM: Final = 5.0
"""Millimetres; the phantom's maps are blurred by a camera already."""
REPEATS: Final = 5


class Ventricle:
    """A wall whose uptake is a polar map."""

    def __init__(self) -> None:
        axes = [(np.arange(2 * count) - count + 0.5) * (VOXEL / 2) for count in SHAPE]
        along, down, right = np.meshgrid(*axes, indexing="ij")
        along = along + 0.5 * LENGTH
        across, cap = np.hypot(down, right), np.maximum(RADIUS - along, 0.0)
        distance = np.hypot(across, cap) - RADIUS
        self.wall = np.clip(0.5 * WALL - np.abs(distance) + 0.5, 0, 1) * (along <= LENGTH)
        arc = np.pi / 2 * RADIUS
        way = np.where(along < RADIUS, RADIUS * np.arctan2(across, cap), arc + along - RADIUS)
        place = np.minimum(way / (arc + LENGTH - RADIUS), 0.97)
        turn = np.arctan2(-down, right)
        self.up, self.right = place * np.sin(turn), place * np.cos(turn)

    def volume(self, image: NDArray[np.generic]) -> Volume:
        """A map `[size, size]` as a camera would see it on this wall."""
        size = len(image)
        places = [(1 - self.up) * size / 2 - 0.5, (1 + self.right) * size / 2 - 0.5]
        uptake = self.wall * map_coordinates(image.astype(np.float64), places, order=1, mode="nearest")
        seen = gaussian_filter(uptake, FWHM / 2.355 / (VOXEL / 2), truncate=3)
        blocks = seen.reshape(SHAPE[0], 2, SHAPE[1], 2, SHAPE[2], 2).mean(axis=(1, 3, 5))
        return Volume(counts=np.rint(blocks * (4000 / blocks.max())), spacing=(VOXEL,) * 3)


def auc(features: Floats, labels: NDArray[np.int8]) -> float:
    """Mean AUC of repeated ten-fold cross-validation, scores pooled over folds."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    found = []
    for seed in range(REPEATS):
        folds = StratifiedKFold(10, shuffle=True, random_state=seed)
        scores = cross_val_predict(model, features, labels, cv=folds, method="decision_function")
        found.append(roc_auc_score(labels, scores))
    return float(np.mean(found))


def _percent_of_highest(segments: Floats) -> Floats:
    """Segments `[n, 17]` over their exam's highest: the noise of one pixel, a map's maximum, would scale them all."""
    return np.asarray(segments / segments.max(axis=1, keepdims=True))


def compare(patients: int, seed: int = 0) -> dict[str, tuple[int, float, float]]:
    """Exams, AUC of the direct maps and AUC of the imported maps, by tracer."""
    ventricle = Ventricle()
    direct: list[NDArray[np.uint16]] = []
    labels: list[int] = []
    tracers: list[int] = []
    with tempfile.TemporaryDirectory() as work:
        source, folder = Path(work) / "in", Path(work) / "out"
        source.mkdir()
        for exams in simulate(patients=patients, seed=seed):
            for image, label, tracer in zip(exams.stress, exams.scores.label, exams.tracer, strict=True):
                name = f"{len(direct):05d}"
                content = short_axis_file(ventricle.volume(image), patient=name, tracer=TRACERS[tracer])
                (source / f"{name}.dcm").write_bytes(content)
                direct.append(image)
                labels.append(int(label))
                tracers.append(int(tracer))
        import_dicom_sa(ImportRequest(source=source, folder=folder), sampling=Sampling())
        imported = [read_map(path, size=64)[0] for path in sorted((folder / "maps").iterdir())]
    first, second = (_percent_of_highest(segment_means(np.stack(maps))) for maps in (direct, imported))
    truth, which = np.array(labels, dtype=np.int8), np.array(tracers)
    return {
        name: (int(mine.sum()), auc(first[mine], truth[mine]), auc(second[mine], truth[mine]))
        for number, name in enumerate(TRACERS)
        for mine in [which == number]
    }


def main() -> None:
    """Print the comparison."""
    patients = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    for tracer, (exams, before, after) in compare(patients).items():
        print(f"{tracer}: {exams} exams, AUC {before:.3f} direct, {after:.3f} imported, {after - before:+.3f}")


if __name__ == "__main__":
    main()
