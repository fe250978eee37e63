"""Loads a cohort: reads the manifest and all images, then returns them or reports every problem at once."""

from collections.abc import Callable, Mapping, Sequence
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
from orchestrator.cohort.records import PARTITIONS, Cohort, digest_of
from orchestrator.cohort.table import read_table

_Images = Mapping[tuple[int, Phase], ReadImage]


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
    table = read_table(manifest)
    interpreted = interpret(table, manifest.parent, labelled=labelled)
    images, unreadable = _read_images(interpreted.exams, size, progress)
    scanned = _scanned(images, interpreted.exams)
    problems = [*interpreted.problems, *unreadable, *duplicate_images(scanned)]
    if problems:
        raise CohortError(*lines_of(problems))
    # A canonical order makes the digest, and all results, independent of the order of the manifest.
    exams = sorted(interpreted.exams, key=lambda exam: (exam.patient_id, exam.exam_id))
    frame = _frame(exams, interpreted.carried)
    maps = _maps(exams, {(image.row, image.phase): image for image in images})
    notices = (*interpreted.notices, *_missing_phases(exams), *_painted(images, scanned), *near_duplicates(scanned))
    return Cohort(exams=frame, maps=maps, notices=notices, digest=digest_of(frame, maps))


def _scanned(images: Sequence[ReadImage], exams: Sequence[ManifestExam]) -> list[ReadImage]:
    """Maps of a camera. Maps painted from the few scores of a reader are often equal in different patients."""
    painted = {exam.row for exam in exams if exam.carried.get("map_source") == "scores"}
    return [image for image in images if image.row not in painted]


def _painted(images: Sequence[ReadImage], scanned: Sequence[ReadImage]) -> list[str]:
    count = len(images) - len(scanned)
    return [f"{count} maps are painted from scores: equal ones are not taken for one scan"] if count else []


def _read_images(
    exams: Sequence[ManifestExam], size: int, progress: Callable[[int, int], None] | None
) -> tuple[list[ReadImage], list[Problem]]:
    named = [(exam, phase) for exam in exams for phase in PHASES if phase in exam.images]
    images: list[ReadImage] = []
    problems: list[Problem] = []
    for done, (exam, phase) in enumerate(named, start=1):
        try:
            pixels = read_map(exam.images[phase], size=size)
            images.append(ReadImage(row=exam.row, patient_id=exam.patient_id, phase=phase, pixels=pixels))
        except CohortError as error:
            # The row instead of the path, which may contain a patient's name.
            line = f"{rows_text([exam.row])}, {phase} image: {error}"
            problems.append(Problem(kind="unusable image", line=line))
        if progress is not None:
            progress(done, len(named))
    return images, problems


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


def _maps(exams: Sequence[ManifestExam], images: _Images) -> Maps:
    tracers = [TRACERS.index(exam.tracer) for exam in exams if exam.tracer is not None]
    return Maps(
        stress=_stacked(exams, images, "stress"),
        rest=_stacked(exams, images, "rest"),
        has_stress=np.array(["stress" in exam.images for exam in exams]),
        has_rest=np.array(["rest" in exam.images for exam in exams]),
        tracer=np.array(tracers, dtype=np.int8),
    )


def _stacked(exams: Sequence[ManifestExam], images: _Images, phase: Phase) -> NDArray[np.uint16]:
    """All maps of a phase, `[N, C, size, size]`; C is 3 if any map of the cohort is coloured.

    A missing map is zeros, and `has_stress` or `has_rest` says so.
    """
    channels = max(image.pixels.shape[0] for image in images.values())
    shape = (channels, *next(iter(images.values())).pixels.shape[1:])
    stack = np.zeros((len(exams), *shape), dtype=np.uint16)
    for place, exam in enumerate(exams):
        if phase in exam.images:
            stack[place] = images[exam.row, phase].pixels
    return stack


def _missing_phases(exams: Sequence[ManifestExam]) -> list[str]:
    counts = {
        (phase, partition): sum(phase not in exam.images for exam in exams if exam.partition == partition)
        for phase in PHASES
        for partition in PARTITIONS
    }
    return [
        f"{count} {partition} exam{'s' if count > 1 else ''} without a {phase} map"
        for (phase, partition), count in counts.items()
        if count
    ]
