"""Loads a cohort: reads the manifest and all images, then returns them or reports every problem at once."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.errors import CohortError
from mpi_model.maps import Maps
from mpi_model.vocabulary import PHASES, TRACERS, Phase
from orchestrator.cohort.duplicates import ReadImage, duplicate_images, near_duplicates
from orchestrator.cohort.images import read_map
from orchestrator.cohort.manifest import ManifestExam, interpret
from orchestrator.cohort.problems import Problem, lines_of, rows_text
from orchestrator.cohort.records import Cohort, digest_of
from orchestrator.cohort.table import read_table


def load_cohort(
    manifest: Path, *, size: int, labelled: bool = True, progress: Callable[[int, int], None] | None = None
) -> Cohort:
    """Read a manifest and its images.

    Args:
        manifest: A `.csv` or `.parquet` file, one row an exam.
        size: Pixels along an edge of every map.
        labelled: Whether to read labels; otherwise every exam gets the label 0, which must not be used.
        progress: Called after each image with the number of images read and their total.

    Returns:
        The cohort, the same whatever the order of the manifest's rows.

    Raises:
        CohortError: The table, an exam or an image is invalid; one error lists all problems.
    """
    interpreted = interpret(read_table(manifest), manifest.parent, labelled=labelled)
    # A canonical order makes the digest, and all results, independent of the order of the manifest.
    exams = sorted(interpreted.exams, key=lambda exam: (exam.patient_id, exam.exam_id))
    pixels = _Pixels(len(exams), size)
    images, unreadable = _read_images(exams, pixels, size, progress)
    scanned = _scanned(images, exams)
    problems = [*interpreted.problems, *unreadable, *duplicate_images(scanned)]
    if problems:
        raise CohortError(*lines_of(problems))
    frame, maps = _frame(exams, interpreted.carried), _maps(exams, pixels)
    notices = (*interpreted.notices, *_painted(images, scanned), *near_duplicates(scanned))
    return Cohort(exams=frame, maps=maps, notices=notices, digest=digest_of(frame, maps))


class _Pixels:
    """All maps of a cohort, each stored once where it will be used; grey until the first coloured map comes."""

    def __init__(self, exams: int, size: int) -> None:
        self.of: dict[Phase, NDArray[np.uint16]] = {
            phase: np.zeros((exams, 1, size, size), dtype=np.uint16) for phase in PHASES
        }

    def put(self, place: int, phase: Phase, pixels: NDArray[np.uint16]) -> None:
        """Store a map `[C, size, size]`."""
        if len(pixels) > self.of[phase].shape[1]:
            # One coloured map makes all of the cohort three channels deep, as the network needs them.
            self.of = {name: np.repeat(stack, len(pixels), axis=1) for name, stack in self.of.items()}
        self.of[phase][place] = pixels


def _scanned(images: Sequence[ReadImage], exams: Sequence[ManifestExam]) -> list[ReadImage]:
    """Maps of a camera. Maps painted from the few scores of a reader are often equal in different patients."""
    painted = {exam.row for exam in exams if exam.carried.get("map_source") == "scores"}
    return [image for image in images if image.row not in painted]


def _painted(images: Sequence[ReadImage], scanned: Sequence[ReadImage]) -> list[str]:
    count = len(images) - len(scanned)
    return [f"{count} maps are painted from scores: equal ones are not taken for one scan"] if count else []


def _read_images(
    exams: Sequence[ManifestExam], stored: _Pixels, size: int, progress: Callable[[int, int], None] | None
) -> tuple[list[ReadImage], list[Problem]]:
    """Read every map into its place; what is compared of each, and what could not be read."""
    named = [(place, exam, phase) for place, exam in enumerate(exams) for phase in PHASES if phase in exam.images]
    images: list[ReadImage] = []
    problems: list[tuple[int, Problem]] = []
    for done, (place, exam, phase) in enumerate(named, start=1):
        try:
            pixels = read_map(exam.images[phase], size=size)
            stored.put(place, phase, pixels)
            images.append(ReadImage.of(pixels, row=exam.row, patient_id=exam.patient_id, phase=phase))
        except CohortError as error:
            # The row instead of the path, which may contain a patient's name.
            line = f"{rows_text([exam.row])}, {phase} image: {error}"
            problems.append((exam.row, Problem(kind="unusable image", line=line)))
        if progress is not None:
            progress(done, len(named))
    # In the manifest's order, as a person looks them up.
    images.sort(key=lambda image: image.row)
    return images, [problem for _, problem in sorted(problems, key=lambda found: found[0])]


def _frame(exams: Sequence[ManifestExam], carried: Sequence[str]) -> pd.DataFrame:
    """One row an exam, with the columns that `Cohort.exams` documents."""
    frame = pd.DataFrame(
        {
            "manifest_row": np.array([exam.row for exam in exams], dtype=np.int64),
            "patient_id": [exam.patient_id for exam in exams],
            "exam_id": [exam.exam_id for exam in exams],
            "tracer": [exam.tracer for exam in exams],
            "label": np.array([exam.label for exam in exams], dtype=np.int8),
            "partition": [exam.partition for exam in exams],
            "has_stress": np.array(["stress" in exam.images for exam in exams]),
            "has_rest": np.array(["rest" in exam.images for exam in exams]),
        }
    )
    for name in carried:
        frame[name] = pd.Series([exam.carried[name] or None for exam in exams], dtype="str")
    return frame


def _maps(exams: Sequence[ManifestExam], pixels: _Pixels) -> Maps:
    tracers = [TRACERS.index(exam.tracer) for exam in exams if exam.tracer is not None]
    return Maps(
        stress=pixels.of["stress"],
        rest=pixels.of["rest"],
        has_stress=np.array(["stress" in exam.images for exam in exams]),
        has_rest=np.array(["rest" in exam.images for exam in exams]),
        tracer=np.array(tracers, dtype=np.int8),
    )
