"""Writes a simulated cohort: manifest, maps and truth."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mpi_model.errors import ExperimentError
from mpi_model.vocabulary import PHASES, TRACERS, Phase
from orchestrator.cohort.pseudonyms import Pseudonym, keep_id
from orchestrator.cohort.segments import SEGMENTS_17
from orchestrator.phantom.cohort import CHUNK, Exams, simulate
from orchestrator.phantom.colours import coloured
from orchestrator.phantom.disease import describe_defects
from orchestrator.phantom.parameters import SEXES, PhantomParameters

Format = Literal["png", "npy", "colour"]

_MANIFEST_COLUMNS: Final = (
    "patient_id", "exam_id", "tracer", "label", "stress", "rest", "partition", "sex", "age",
)  # fmt: skip
# Segment scores are 0 to 4, `extent` is in percent of the myocardium, `defects` is JSON text.
_TRUTH_COLUMNS: Final = (
    "exam_id", "tracer", "true_label", "recorded_label", "sss", "srs", "sds", "extent",
    *(f"stress_{segment.name}" for segment in SEGMENTS_17),
    *(f"rest_{segment.name}" for segment in SEGMENTS_17),
    "defects",
)  # fmt: skip


def write_cohort(
    folder: Path,
    *,
    patients: int | None = None,
    tracer_mix: Mapping[str, float] | None = None,
    seed: int = 0,
    size: int = 64,
    format: Format = "png",
    progress: Callable[[int, int], None] | None = None,
    pseudonym: Pseudonym = keep_id,
    parameters: PhantomParameters | None = None,
) -> Path:
    """Write a synthetic cohort: `manifest.csv`, `truth.csv` and `maps/`.

    Args:
        folder: New or empty folder.
        patients: Number of patients; by default that of a cohort with the sizes of the reference study.
        tracer_mix: Shares of patients studied with one tracer alone; the remaining patients have both.
        seed: The same seed gives the same bytes; patient i does not depend on the number of patients.
        size: Pixels along an edge.
        format: `png` (16-bit counts), `npy` (16-bit counts) or `colour` (8-bit screenshots).
        progress: Called after each chunk with the number of patients done and their total.
        pseudonym: From a patient's id to the pseudonym, also in file names; rows are then sorted by pseudonym.
        parameters: All parameters of the phantom.

    Returns:
        The path of the manifest, which is written last: a folder without it is incomplete.

    Raises:
        ExperimentError: An argument is out of range, or the folder is not empty.
    """
    if format not in get_args(Format):
        raise ExperimentError(f"format must be one of {', '.join(get_args(Format))}, not {format!r}")
    parameters = parameters or PhantomParameters()
    chunks = simulate(patients=patients, tracer_mix=tracer_mix, seed=seed, size=size, parameters=parameters)
    total = parameters.cohort.patients if patients is None else patients
    _make_folder(folder)
    # The manifest gets its name last: whoever finds it finds a complete cohort.
    unfinished = folder / "manifest.csv.unfinished"
    with (
        unfinished.open("w", encoding="utf-8", newline="") as manifest_file,
        (folder / "truth.csv").open("w", encoding="utf-8", newline="") as truth_file,
    ):
        manifest = csv.writer(manifest_file, lineterminator="\n")
        truth = csv.writer(truth_file, lineterminator="\n")
        rows = []
        # Maps are written chunk by chunk, so that memory does not grow with them; rows are small.
        for number, exams in enumerate(chunks):
            for row in range(len(exams)):
                patient = pseudonym(_patient_id(exams, row))
                exam = _write_exam(folder, exams, row, format, patient)
                rows.append((exam, _truth_row(exams, row, parameters, patient)))
            if progress is not None:
                progress(min((number + 1) * CHUNK, total), total)
        # In the order of simulation the row number would reveal the patient.
        rows = rows if pseudonym is keep_id else sorted(rows)
        manifest.writerows([_MANIFEST_COLUMNS, *(exam for exam, _ in rows)])
        truth.writerows([_TRUTH_COLUMNS, *(exam_truth for _, exam_truth in rows)])
    return unfinished.rename(folder / "manifest.csv")


def _make_folder(folder: Path) -> None:
    """Make the folder; an existing one has to be empty."""
    if folder.exists() and not folder.is_dir():
        raise ExperimentError(f"the cohort's folder must be a folder, but {folder} is a file; name another")
    if folder.is_dir() and any(folder.iterdir()):
        raise ExperimentError(
            f"the cohort's folder must be new or empty, but {folder} is not; nothing was written, name another"
        )
    try:
        (folder / "maps").mkdir(parents=True)
    except OSError as error:
        raise ExperimentError(f"the cohort's folder {folder} cannot be made: {error.strerror}") from error


def _exam_id(exams: Exams, row: int, patient: str) -> str:
    """The id of an exam: patient and the tracer's element."""
    return f"{patient}-{TRACERS[exams.tracer[row]][:2]}"


def _patient_id(exams: Exams, row: int) -> str:
    """The id of a patient: the number with a fixed width, so that ids sort as numbers."""
    return f"P{int(exams.patient[row]):07d}"


def _write_exam(folder: Path, exams: Exams, row: int, format: Format, patient: str) -> tuple[str | int, ...]:
    """Write the maps of an exam, and return its row of the manifest."""
    paths = {phase: _write_map(folder, exams, row, phase, format, patient) for phase in PHASES}
    return (
        patient,
        _exam_id(exams, row, patient),
        TRACERS[exams.tracer[row]],
        int(exams.recorded_label[row]),
        paths["stress"],
        paths["rest"],
        "test" if exams.test[row] else "development",
        SEXES[exams.sex[row]],
        int(exams.age[row]),
    )


def _write_map(folder: Path, exams: Exams, row: int, phase: Phase, format: Format, patient: str) -> str:
    """Write one map, and return its path relative to the folder; an empty string if it was not acquired."""
    counts, acquired = (exams.stress, exams.has_stress) if phase == "stress" else (exams.rest, exams.has_rest)
    if not acquired[row]:
        return ""
    name = f"maps/{_exam_id(exams, row, patient)}_{phase}.{'npy' if format == 'npy' else 'png'}"
    _save(folder / name, counts[row], format)
    return name


def _save(file: Path, counts: NDArray[np.uint16], format: Format) -> None:
    if format == "npy":
        np.save(file, counts, allow_pickle=False)
    elif format == "colour":
        Image.fromarray(coloured(counts)).save(file)
    else:
        # Level 3 takes about two thirds of the default level's time, for a tenth more bytes.
        Image.fromarray(counts).save(file, compress_level=3)


def _truth_row(exams: Exams, row: int, parameters: PhantomParameters, patient: str) -> tuple[str | int, ...]:
    scores = exams.scores
    return (
        _exam_id(exams, row, patient),
        TRACERS[exams.tracer[row]],
        int(scores.label[row]),
        int(exams.recorded_label[row]),
        int(scores.summed_stress[row]),
        int(scores.summed_rest[row]),
        int(scores.summed_difference[row]),
        f"{100.0 * exams.extent[row]:.1f}",  # percent
        *(int(score) for score in scores.stress[row]),
        *(int(score) for score in scores.rest[row]),
        json.dumps(describe_defects(exams.disease, row, parameters.disease)),
    )
