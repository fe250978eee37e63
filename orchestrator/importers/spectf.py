"""The UCI SPECTF heart data as a cohort of polar maps: 267 real patients, thallium-201, stress and rest.

Source: Kurgan et al., Artif Intell Med 2001;23:149, doi:10.1016/S0933-3657(01)00082-3; UCI Machine Learning
Repository, doi:10.24432/C5N015. A line is the label (1 abnormal), then for the regions F1..F22 the count at
rest and at stress, in percent of the maximum of the region's slice over both. "Rest" is the redistribution
image. `spectf_painting` says what is inferred to make maps of them.

The maps are 8-bit grey, 255 for 100 percent, because the level of a phase's counts below the slice's maximum over both
phases is part of the data. A map divided by its own maximum, as the loader divides 16-bit counts, would lose a fifth of
what the stress maps say beyond chance. AUC of standardised logistic regression, ten repeats of stratified ten-fold
cross-validation over all 267 patients, scores pooled over folds:

    =====================================  ==================  ==================
    features                               stress C=.01, C=1   rest C=.01, C=1
    =====================================  ==================  ==================
    the 22 counts                          .858, .849          .745, .733
    the 15 segments                        .859, .848          .741, .754
    the maps, averaged to 8 × 8 pixels     .851, .844          .753, .752
    the same, divided by their own maxima  .784, .787          .744, .749
    =====================================  ==================  ==================
"""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mpi_model.errors import CohortError, ExperimentError
from mpi_model.regular_files import read_regular
from orchestrator.cohort.problems import Problem, lines_of
from orchestrator.cohort.pseudonyms import Pseudonym, keep_id
from orchestrator.cohort.segments import SEGMENTS_15
from orchestrator.importers.painting import check_size, painted, painting_basis
from orchestrator.importers.spectf_painting import segment_values

_REGIONS: Final = 22
"""Regions of interest a patient and phase."""

_MOST_BYTES: Final = 16 * 2**20
"""Of a file; the largest of the two has 28 kB."""

_COLUMNS: Final = ("patient_id", "tracer", "label", "partition", "stress", "rest")


@dataclass(frozen=True, slots=True, kw_only=True)
class _SpectfPatients:
    """The rows of one SPECTF file."""

    labels: NDArray[np.int8]
    """`[n]`, 1 for abnormal."""
    stress: NDArray[np.float64]
    """`[n, 22]`, percent of the slice's maximum."""
    rest: NDArray[np.float64]
    """`[n, 22]`, as `stress`."""


def import_spectf(
    train: Path,
    test: Path,
    folder: Path,
    *,
    size: int = 32,
    all_development: bool = False,
    progress: Callable[[int, int], None] | None = None,
    pseudonym: Pseudonym = keep_id,
) -> Path:
    """Write a manifest and two polar maps a patient.

    Patients are numbered P001, P002, … in file order, the training file first.

    Args:
        train: `SPECTF.train`; its patients are the development partition.
        test: `SPECTF.test`; its patients are the test partition.
        folder: Where to write; it must not exist or be empty.
        size: Side of a map in pixels.
        all_development: Put the test file's patients into the development partition too.
        progress: Called after each patient with the patients written and the patients in all.
        pseudonym: What a patient's number is replaced by, in file names too; rows are then in the pseudonyms' order.

    Returns:
        The manifest's path.

    Raises:
        CohortError: A file is missing or a line is not 45 whole numbers of the right range.
        ExperimentError: The folder holds something already.
    """
    if train.exists() and test.exists() and train.samefile(test):
        raise CohortError(f"{train} was given twice; its patients would be in development and in test")
    check_size(size)
    sides = [("development", _read_spectf(train)), ("test", _read_spectf(test))]
    (_, first), (_, second) = sides
    if np.array_equal(first.stress, second.stress) and np.array_equal(first.rest, second.rest):
        raise CohortError(f"{train} and {test} hold the same patients, who would be in development and in test")
    # Both files are read first: a wrong one leaves no folder behind.
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExperimentError(f"{folder} is not an empty folder; nothing is overwritten, name a new one")
    (folder / "images").mkdir(parents=True, exist_ok=True)
    partitions = ["development" if all_development else name for name, side in sides for _ in side.labels]
    patients = _joined([side for _, side in sides])
    basis = painting_basis(size, SEGMENTS_15)
    rows = []
    for index, (label, partition) in enumerate(zip(patients.labels, partitions, strict=True)):
        patient = pseudonym(f"P{index + 1:03d}")
        stress, rest = f"images/{patient}_stress.png", f"images/{patient}_rest.png"
        Image.fromarray(painted(segment_values(patients.stress[index]), basis)).save(folder / stress)
        Image.fromarray(painted(segment_values(patients.rest[index]), basis)).save(folder / rest)
        rows.append((patient, "Tl-201", int(label), partition, stress, rest))
        if progress is not None:
            progress(index + 1, len(partitions))
    # In file order a row's place would say whose pseudonym it is.
    return _write_manifest(folder / "manifest.csv", rows if pseudonym is keep_id else sorted(rows))


def _joined(sides: Sequence[_SpectfPatients]) -> _SpectfPatients:
    return _SpectfPatients(
        labels=np.concatenate([side.labels for side in sides]),
        stress=np.concatenate([side.stress for side in sides]),
        rest=np.concatenate([side.rest for side in sides]),
    )


def _read_spectf(path: Path) -> _SpectfPatients:
    """Read one SPECTF file, checking every number.

    Args:
        path: `SPECTF.train` or `SPECTF.test`: comma-separated, no header.

    Returns:
        Its patients in file order.

    Raises:
        CohortError: No such file, no patients, or lines that are not a label and 44 counts of 0 to 100.
    """
    try:
        text = read_regular(path, _MOST_BYTES).decode("ascii")
    except OSError as error:
        raise CohortError(
            f"cannot read the file {path} ({error.strerror}); name SPECTF.train and SPECTF.test"
        ) from error
    except UnicodeDecodeError as error:
        raise CohortError(f"{path.name} cannot be read as text; download it again") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    problems = [problem for number, line in lines for problem in _line_problems(path.name, number, line)]
    if problems or not lines:
        raise CohortError(*(lines_of(problems) or (f"{path.name} holds no patients; download it again",)))
    table = np.array([[int(cell) for cell in line.split(",")] for _, line in lines])
    return _SpectfPatients(
        labels=table[:, 0].astype(np.int8),
        # Columns alternate: rest, then stress, of each region.
        rest=table[:, 1::2].astype(np.float64),
        stress=table[:, 2::2].astype(np.float64),
    )


def _line_problems(name: str, number: int, line: str) -> list[Problem]:
    cells = [cell.strip() for cell in line.split(",")]
    place = f"{name} line {number}"
    if len(cells) != 1 + 2 * _REGIONS:
        return [Problem(kind="columns", line=f"{place}: {len(cells)} columns, not 45; download the file again")]
    wrong = [place + 1 for place, cell in enumerate(cells) if not re.fullmatch(r"[0-9]{1,3}", cell) or int(cell) > 100]
    if wrong:
        what = f"column {wrong[0]} is not a whole number from 0 to 100"
        return [Problem(kind="counts", line=f"{place}: {what}; download the file again")]
    if cells[0] not in {"0", "1"}:
        what = "the label in column 1 is not 0 or 1"
        return [Problem(kind="labels", line=f"{place}: {what}; download the file again")]
    return []


def _write_manifest(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(rows)
    return path
