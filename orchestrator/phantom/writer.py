"""A simulated cohort as files: manifest, maps, truth."""

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
from orchestrator.cohort.pseudonyms import Pseudonym, as_it_is
from orchestrator.phantom.cohort import CHUNK, Exams, simulate
from orchestrator.phantom.colours import coloured
from orchestrator.phantom.disease import describe_defects
from orchestrator.phantom.geometry import SEGMENTS
from orchestrator.phantom.parameters import SEXES, PhantomParameters

Format = Literal["png", "npy", "colour"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

MANIFEST_COLUMNS: Final = (
    "patient_id", "exam_id", "tracer", "label", "stress", "rest", "partition", "sex", "age",
)  # fmt: skip
TRUTH_COLUMNS: Final = (
    "exam_id", "tracer", "true_label", "recorded_label", "sss", "srs", "sds", "extent",
    *(f"stress_{segment}" for segment in range(1, SEGMENTS + 1)),
    *(f"rest_{segment}" for segment in range(1, SEGMENTS + 1)),
    "defects",
)  # fmt: skip
"""`stress_1` … `rest_17` are segment scores 0 to 4, `extent` is percent of the myocardium, `defects` JSON text."""


def write_cohort(
    folder: Path,
    *,
    patients: int | None = None,
    tracer_mix: Mapping[str, float] | None = None,
    seed: int = 0,
    size: int = 64,
    format: Format = "png",
    progress: Callable[[int, int], None] | None = None,
    pseudonym: Pseudonym = as_it_is,
    parameters: PhantomParameters | None = None,
) -> Path:
    """Write a synthetic cohort: `manifest.csv`, `truth.csv` and `maps/`.

    Args:
        folder: New or empty folder.
        patients: Number of patients; by default as many as give the sizes of the reference study.
        tracer_mix: Share of patients studied with one tracer alone; what is left to one had both.
        seed: The same seed gives the same bytes; patient i does not depend on the number of patients.
        size: Pixels along an edge.
        format: `png` (16-bit counts), `npy` (16-bit counts) or `colour` (8-bit screenshots).
        progress: Called with patients done and patients in all, after each chunk.
        pseudonym: What a patient's id is replaced by, in file names too; rows are then in the pseudonyms' order.
        parameters: Every number of the phantom.

    Returns:
        The path of the manifest. It appears last: a folder without it is unfinished.

    Raises:
        ExperimentError: An argument is out of its range, or the folder is not empty.
    """
    if format not in FORMATS:
        raise ExperimentError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")
    parameters = parameters or PhantomParameters()
    chunks = simulate(patients=patients, tracer_mix=tracer_mix, seed=seed, size=size, parameters=parameters)
    total = parameters.cohort.patients if patients is None else patients
    _claim(folder)
    unfinished = folder / "manifest.csv.unfinished"
    with (
        unfinished.open("w", encoding="utf-8", newline="") as manifest_file,
        (folder / "truth.csv").open("w", encoding="utf-8", newline="") as truth_file,
    ):
        manifest = csv.writer(manifest_file, lineterminator="\n")
        truth = csv.writer(truth_file, lineterminator="\n")
        manifest.writerow(MANIFEST_COLUMNS)
        truth.writerow(TRUTH_COLUMNS)
        rows = []
        for number, exams in enumerate(chunks):
            for row in range(len(exams)):
                patient = pseudonym(patient_id(exams, row))
                rows.append(
                    (_write_exam(folder, exams, row, format, patient), _truth_row(exams, row, parameters, patient))
                )
            if progress is not None:
                progress(min((number + 1) * CHUNK, total), total)
        # In the order of simulation a row's place would say whose pseudonym it is.
        for exam, its_truth in rows if pseudonym is as_it_is else sorted(rows):
            manifest.writerow(exam)
            truth.writerow(its_truth)
    return unfinished.rename(folder / "manifest.csv")


def _claim(folder: Path) -> None:
    """Make the folder, or refuse one that holds anything."""
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


def exam_id(exams: Exams, row: int, patient: str) -> str:
    """The id of an exam: patient and tracer."""
    return f"{patient}-{TRACERS[exams.tracer[row]][:2]}"


def patient_id(exams: Exams, row: int) -> str:
    """The id of a patient: the number, written with a fixed width."""
    return f"P{int(exams.patient[row]):07d}"


def _write_exam(folder: Path, exams: Exams, row: int, format: Format, patient: str) -> tuple[str | int, ...]:
    """Write the maps of an exam; returns its row of the manifest."""
    paths = {phase: _write_map(folder, exams, row, phase, format, patient) for phase in PHASES}
    return (
        patient,
        exam_id(exams, row, patient),
        TRACERS[exams.tracer[row]],
        int(exams.recorded_label[row]),
        paths["stress"],
        paths["rest"],
        "test" if exams.test[row] else "development",
        SEXES[exams.sex[row]],
        int(exams.age[row]),
    )


def _write_map(folder: Path, exams: Exams, row: int, phase: Phase, format: Format, patient: str) -> str:
    """Write one map, if it was acquired; returns its path relative to the folder, or nothing."""
    counts, acquired = (exams.stress, exams.has_stress) if phase == "stress" else (exams.rest, exams.has_rest)
    if not acquired[row]:
        return ""
    name = f"maps/{exam_id(exams, row, patient)}_{phase}.{'npy' if format == 'npy' else 'png'}"
    _save(folder / name, counts[row], format)
    return name


def _save(file: Path, counts: NDArray[np.uint16], format: Format) -> None:
    if format == "npy":
        np.save(file, counts, allow_pickle=False)
    elif format == "colour":
        Image.fromarray(coloured(counts)).save(file)
    else:
        Image.fromarray(counts).save(file, compress_level=3)


def _truth_row(exams: Exams, row: int, parameters: PhantomParameters, patient: str) -> tuple[str | int, ...]:
    scores = exams.scores
    return (
        exam_id(exams, row, patient),
        TRACERS[exams.tracer[row]],
        int(scores.label[row]),
        int(exams.recorded_label[row]),
        int(scores.summed_stress[row]),
        int(scores.summed_rest[row]),
        int(scores.summed_difference[row]),
        f"{100.0 * exams.extent[row]:.1f}",
        *(int(score) for score in scores.stress[row]),
        *(int(score) for score in scores.rest[row]),
        json.dumps(describe_defects(exams.disease, row, parameters.disease)),
    )
