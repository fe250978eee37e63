"""Several imports as one cohort: other scanners, other centres.

Every exam gets the `site` its part was given. Ids of different parts name different patients, so they are prefixed
by the site. They are not where the user says that ids are shared, or all parts were pseudonymised with one key: then
one pseudonym is one patient, wherever imaged. Equal maps under two patients are refused, nearly equal ones reported.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from mpi_model.errors import CohortError, ExperimentError
from mpi_model.regular_files import read_regular
from mpi_model.vocabulary import PHASES, Phase
from orchestrator.cohort.duplicates import ReadImage, duplicate_images, near_duplicates
from orchestrator.cohort.identifiers import canonical, refusal
from orchestrator.cohort.images import read_channels, read_map
from orchestrator.cohort.problems import Problem
from orchestrator.cohort.spellings import tracer_of
from orchestrator.cohort.table import read_table
from orchestrator.importers.exams import GroupedExams, ImportedExam, PatientNames
from orchestrator.importers.found_maps import FoundMap, ReadMap
from orchestrator.importers.written_cohort import (
    Advance,
    ImportRecord,
    WrittenCohort,
    check_new_folder,
    write_cohort,
)

_COMPARED_SIZE: Final = 32
"""Pixels of a side at which maps are compared between parts."""
_OWN: Final = frozenset({"patient_id", "exam_id", "tracer", "label", "exam_date", "site", *PHASES})
_REPORTED: Final = ("polarmap", "importer", "source", "settings", "decisions", "label_rules", "patients")

_MOST_BYTES: Final = 64 * 2**20
"""Of an `import.json`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergePart:
    """One import and the site it came from."""

    site: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A part with what its `import.json` and manifest say."""

    part: MergePart
    record: Mapping[str, Any]
    rows: tuple[tuple[int, Mapping[str, str]], ...]


def parts_of(texts: Sequence[str]) -> tuple[MergePart, ...]:
    """Read arguments of the form `SITE=FOLDER`.

    Raises:
        ExperimentError: An argument is of another form, or a site is named twice.
    """
    parts = []
    for text in texts:
        site, equals, folder = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9_-]{1,16}", site) or not folder:
            raise ExperimentError(f"a part is SITE=FOLDER with a site of 1 to 16 letters and digits, not {text!r}")
        parts.append(MergePart(site=site, folder=Path(folder)))
    if len({part.site for part in parts}) < len(parts):
        raise ExperimentError("two parts have one site; name every site once")
    return tuple(parts)


def merge_imports(
    folder: Path, parts: Sequence[MergePart], *, same_ids: bool = False, progress: Advance | None = None
) -> WrittenCohort:
    """Write one cohort of several imports.

    Args:
        folder: New or empty.
        parts: Imports as `polarmap import` wrote them; their manifests may have been completed since.
        same_ids: One id is one patient in all parts.
        progress: Called after each map, read for comparison and then written.

    Raises:
        CohortError: A part's manifest or map is unusable, or one map is in two exams.
        ExperimentError: A part is no import, or the folder cannot be used.
    """
    check_new_folder(folder)
    opened = [_opened(part) for part in parts]
    keys = {part.record.get("key_check") for part in opened}
    # One key gives one patient one pseudonym at every site; the key itself is never stored.
    shared = same_ids or (len(keys) == 1 and None not in keys)
    exams, problems = _exams(opened, shared)
    paths = {
        (found.file, phase): opened[found.part].part.folder / found.exam
        for exam in exams
        for phase, found in exam.maps.items()
    }
    images = _images(exams, paths)
    # The same map under two patients would stand in training and evaluation sets at once.
    problems += duplicate_images(images)
    rules = {tuple(part.record.get("label_rules", ())) for part in opened}
    notices = [*near_duplicates(images), *(["parts have different label rules"] if len(rules) > 1 else [])]
    record = ImportRecord(
        importer="merge",
        source={"kind": "imports", "parts": len(parts)},
        settings={
            "shared_ids": shared,
            "parts": [
                {"site": each.part.site, **{name: each.record.get(name) for name in _REPORTED}} for each in opened
            ],
        },
        names=PatientNames(naming="keyed", key_check=str(keys.pop()))
        if shared and not same_ids
        else PatientNames(naming="kept"),
        unit="manifest row",
    )
    grouped = GroupedExams(exams=tuple(exams), problems=(), notices=tuple(notices))
    read = _reader(paths)
    return write_cohort(folder, grouped, read, record, problems=problems, progress=progress)


def _opened(part: MergePart) -> _Opened:
    try:
        record = json.loads(read_regular(part.folder / "import.json", _MOST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise ExperimentError(f"{part.folder} is no import: it has no readable import.json") from error
    if not isinstance(record, dict) or not _is_usable(record):
        raise ExperimentError(f"{part.folder} is no import: its import.json is of another kind")
    table = read_table(part.folder / "manifest.csv", called=f"manifest of {part.site}")
    missing = {"patient_id", "tracer", "label"} - set(table.columns)
    if missing:
        raise CohortError(f"the manifest of {part.site} has no column {min(missing)!r}; add it")
    return _Opened(part=part, record=record, rows=table.rows)


def _is_usable(record: Mapping[str, object]) -> bool:
    """Whether what decides about the merged cohort is of its kind."""
    rules, check = record.get("label_rules", []), record.get("key_check")
    return isinstance(rules, list) and all(isinstance(rule, str) for rule in rules) and isinstance(check, str | None)


def _exams(opened: Sequence[_Opened], shared: bool) -> tuple[list[ImportedExam], list[Problem]]:
    exams: list[ImportedExam] = []
    problems: list[Problem] = []
    for index, part in enumerate(opened):
        for number, cells in part.rows:
            wrong = _row_problems(part, cells)
            problems += [
                Problem(
                    kind=f"row of {part.part.site}", line=f"row {number} of the manifest of {part.part.site}: {why}"
                )
                for why in wrong
            ]
            if not wrong:
                exams.append(_exam(part.part.site, index, len(exams) + 1, cells, shared))
    return _with_ids(_without_days(exams)), problems


def _row_problems(part: _Opened, cells: Mapping[str, str]) -> list[str]:
    wrong = [] if cells["patient_id"] else ["patient_id is blank"]
    why = refusal(cells["patient_id"])
    wrong += [f"patient_id {why}"] if why else []
    wrong += [] if tracer_of(cells["tracer"]) else ["tracer is not understood"]
    wrong += [] if cells["label"] in {"", "0", "1"} else ["label must be 0, 1 or blank"]
    paths = [cells[phase] for phase in PHASES if cells.get(phase)]
    wrong += [] if paths else ["it names no map"]
    root = os.path.realpath(part.part.folder)
    # A manifest may have been edited since: a path out of the folder would copy a private file.
    outside = [path for path in paths if not Path(os.path.realpath(os.path.join(root, path))).is_relative_to(root)]
    return wrong + (["a map lies outside the import's folder"] if outside else [])


def _exam(site: str, part: int, row: int, cells: Mapping[str, str], shared: bool) -> ImportedExam:
    tracer = tracer_of(cells["tracer"]) or "Tc-99m"
    own = canonical(cells["patient_id"])
    patient = own if shared else f"{site}-{own}"
    day = re.fullmatch(r"day ([0-9]{1,5})", cells.get("exam_date", ""))
    # `exam` holds the map's path inside its part, `file` the row of the new manifest.
    maps: dict[Phase, FoundMap] = {
        phase: FoundMap(file=row, part=part, patient=patient, tracer=tracer, phase=phase, exam=cells[phase])
        for phase in PHASES
        if cells.get(phase)
    }
    inner = cells.get("site", "")
    return ImportedExam(
        patient=patient,
        exam_id="",
        tracer=tracer,
        day=int(day[1]) if day else None,
        label=cells["label"],
        maps=maps,
        columns={name: text for name, text in cells.items() if name not in _OWN}
        | {"site": f"{site}-{inner}" if inner else site},
    )


def _without_days(exams: Sequence[ImportedExam]) -> list[ImportedExam]:
    """Days since a patient's first exam count from another day in every part: blank where parts share a patient."""
    sites: dict[str, set[int]] = {}
    for exam in exams:
        sites.setdefault(exam.patient, set()).update(found.part for found in exam.maps.values())
    return [replace(exam, day=None) if len(sites[exam.patient]) > 1 else exam for exam in exams]


def _with_ids(exams: Sequence[ImportedExam]) -> list[ImportedExam]:
    places: dict[tuple[str, str], list[int]] = {}
    for place, exam in enumerate(exams):
        places.setdefault((exam.patient, exam.tracer), []).append(place)
    numbers = {place: (number, len(same)) for same in places.values() for number, place in enumerate(same, start=1)}
    return [
        replace(
            exam, exam_id=f"{exam.patient}-{exam.tracer[:2]}" + (f"-{numbers[at][0]}" if numbers[at][1] > 1 else "")
        )
        for at, exam in enumerate(exams)
    ]


def _images(exams: Sequence[ImportedExam], paths: Mapping[tuple[int, Phase], Path]) -> list[ReadImage]:
    images: list[ReadImage] = []
    # Maps painted from a reader's few scores may be equal by right.
    for exam in (exam for exam in exams if exam.columns.get("map_source") != "scores"):
        for phase, found in exam.maps.items():
            try:
                pixels = read_map(paths[found.file, phase], size=_COMPARED_SIZE)
            except CohortError:
                continue  # reported when it is read to be written
            images.append(ReadImage.of(pixels, row=found.file, patient_id=exam.patient, phase=phase))
    return images


def _reader(paths: Mapping[tuple[int, Phase], Path]) -> Callable[[FoundMap], ReadMap]:
    def read(found: FoundMap) -> ReadMap:
        channels = read_channels(paths[found.file, found.phase])
        pixels = channels[0] if len(channels) == 1 else np.moveaxis(channels, 0, 2)
        return ReadMap(pixels=np.ascontiguousarray(pixels))

    return read
