"""What every importer writes: maps, `manifest.csv`, `import.json` and `sheet.html`, or nothing at all.

Everything is written into a folder beside the one that was named, which is renamed at the end: where an import is
refused or interrupted, nothing appears. Counts are written as 16-bit PNG, 65535 for the map's own maximum, or as they
are as NPY. Maps in percent are written as 8-bit PNG, 255 for 100 percent. A reader divides every other map by its own
maximum, and would lose the percent.
"""

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mpi_model.errors import CohortError, ExperimentError
from mpi_model.vocabulary import PHASES, Phase
from orchestrator.cohort.problems import Problem, lines_of
from orchestrator.importers.exams import GroupedExams, ImportedExam, PatientNames
from orchestrator.importers.found_maps import FoundMap, ReadMap
from orchestrator.importers.label_rules import LabelRule
from orchestrator.importers.sheet import exam_html, map_drawing, sheet_html
from orchestrator.output_files import new_folder

Format = Literal["png", "npy"]
Advance = Callable[[int, int], None]
"""Takes the maps that are done, and all that there are."""
_FIRST_COLUMNS: Final = ("patient_id", "exam_id", "tracer", "label", "stress", "rest", "partition", "exam_date")
_LONGEST_STEM: Final = 200
"""Bytes; file systems allow 255 with the rest of the name."""
_ALWAYS: Final = ("patient_id", "exam_id", "tracer", "label", "stress", "rest")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRecord:
    """What `import.json` says of an import beside its exams."""

    importer: str
    source: Mapping[str, Any]
    """What the source was, in numbers: no path."""
    settings: Mapping[str, Any]
    decisions: Mapping[str, int] = field(default_factory=dict)
    """What was left out or resolved, counted."""
    names: PatientNames
    rules: Sequence[LabelRule] = ()
    panels: int = 0
    """Square panels that a map's drawing takes beside the map."""
    unit: str = "file"
    """What the numbers of maps count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCohort:
    """What was written, for the command's last lines."""

    manifest: Path
    exams: int
    maps: int
    notices: tuple[str, ...]

    @property
    def counts(self) -> str:
        """Such as `3 exams, 1 map`."""
        return _exams_and_maps(self.exams, self.maps)


def check_new_folder(folder: Path) -> None:
    """Refuse a folder that holds anything, before long work.

    Raises:
        ExperimentError: The folder is not new or empty, or its parent is missing.
    """
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise ExperimentError(f"{folder} is not an empty folder; nothing is overwritten, name a new one")
    if not folder.absolute().parent.is_dir():
        raise ExperimentError(f"there is no folder {folder.absolute().parent}; make it first")


def write_cohort(
    folder: Path,
    grouped: GroupedExams,
    read: Callable[[FoundMap], ReadMap],
    record: ImportRecord,
    *,
    problems: Sequence[Problem] = (),
    format: Format = "png",
    progress: Advance | None = None,
) -> WrittenCohort:
    """Read the pixels of every map and write the cohort.

    Args:
        folder: New or empty.
        grouped: The exams.
        read: Gives a map's pixels, or raises `CohortError` without naming the file.
        record: For `import.json`.
        problems: What was found wrong before; the maps are read all the same, to report everything at once.
        format: How counts are written.
        progress: Called after each map with the maps done and the maps in all.

    Raises:
        CohortError: Anything is wrong with the source; all of it in one error, and nothing is written.
        ExperimentError: The folder cannot be used.
    """
    if not grouped.exams and not problems:
        raise CohortError("the source holds no map that this import can use" + _counted(record.decisions))
    check_new_folder(folder)
    with new_folder(folder) as work:
        (work / "maps").mkdir()
        (work / "sheet").mkdir()
        found = [*problems, *grouped.problems]
        total = sum(len(exam.maps) for exam in grouped.exams)
        rows, records, sections, done = [], [], [], 0
        for row, exam in enumerate(grouped.exams, start=1):
            paths: dict[Phase, str] = {}
            measured: dict[str, Any] = {}
            pictures: dict[str, tuple[str, str]] = {}
            for phase in (phase for phase in PHASES if phase in exam.maps):
                try:
                    content = read(exam.maps[phase])
                    paths[phase] = _write_map(work, exam, phase, content.pixels, format)
                    measured[phase] = {record.unit: exam.maps[phase].file, **content.measured}
                    pictures[phase] = _write_picture(work, row, exam.maps[phase], content, record)
                except CohortError as error:
                    # Reading goes on, so that one call reports every unusable map; nothing is kept of what it writes.
                    found += _map_problems(record.unit, exam.maps[phase].file, error)
                done += 1
                if progress is not None:
                    progress(done, total)
            rows.append(_row(exam, paths))
            records.append({"row": row, **measured})
            sections.append(exam_html(row, _facts(exam), pictures))
        if found:
            raise CohortError(*lines_of(found))
        # After all maps, when no problem is left that would refuse the cohort.
        _write_manifest(work / "manifest.csv", rows)
        _write_json(work / "import.json", record, records)
        notes = (*grouped.notices, *(f"{what}: {count}" for what, count in record.decisions.items()))
        title = f"{record.importer}: {_exams_and_maps(len(rows), total)}"
        (work / "sheet.html").write_text(sheet_html(title, notes, sections), encoding="utf-8")
    return WrittenCohort(manifest=folder / "manifest.csv", exams=len(rows), maps=total, notices=notes)


def _exams_and_maps(exams: int, maps: int) -> str:
    counts = {"exam": exams, "map": maps}
    return ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items())


def _map_problems(unit: str, number: int, error: CohortError) -> list[Problem]:
    return [Problem(kind="unusable map", line=f"{unit} {number}: {line}") for line in error.problems]


def _counted(decisions: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{what}: {count}' for what, count in decisions.items())})" if decisions else ""


def _write_map(work: Path, exam: ImportedExam, phase: Phase, pixels: NDArray[Any], format: Format) -> str:
    """Write one map; returns its path relative to the manifest."""
    in_percent = pixels.dtype == np.uint8
    # An id kept from the source may hold what a file name may not.
    stem = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in exam.exam_id)
    if len(stem.encode("utf-8")) > _LONGEST_STEM:
        raise CohortError(f"an id that is kept is a file's name, and this one has more than {_LONGEST_STEM} bytes")
    path = f"maps/{stem}_{phase}.{'npy' if format == 'npy' and not in_percent else 'png'}"
    if (work / path).exists():
        raise CohortError("two exams have ids that differ in special characters only; rename one patient")
    if path.endswith(".npy"):
        np.save(work / path, pixels, allow_pickle=False)
    else:
        Image.fromarray(pixels if in_percent else _counts_16_bit(pixels)).save(work / path, compress_level=3)
    return path


def _write_picture(work: Path, row: int, found: FoundMap, content: ReadMap, record: ImportRecord) -> tuple[str, str]:
    """Draw one map for the sheet; returns the picture's path and caption."""
    # The manifest row names the picture: an exam id kept from the source may identify the patient.
    path = f"sheet/{row:04d}-{found.phase}.svg"
    (work / path).write_text(map_drawing(content.pixels, content.drawing, record.panels), encoding="utf-8")
    return path, f"{record.unit} {found.file} · {content.caption}".removesuffix(" · ")


def _counts_16_bit(counts: NDArray[Any]) -> NDArray[np.uint16]:
    """Counts as 16-bit levels, 65535 for the map's maximum.

    Raises:
        CohortError: No counts, or several channels.
    """
    if counts.ndim != 2:
        raise CohortError("a colour map of more than 8 bits cannot be written as PNG; ask for --format npy")
    # In double precision, and divided first: half precision ends at 65504, and the inverse of a tiny peak is infinite.
    counts = counts.astype(np.float64)
    peak = float(counts.max())
    if not peak > 0:
        raise CohortError("the map is empty: no pixel has counts; export it again")
    levels: NDArray[np.uint16] = np.rint(np.clip(counts, 0, None) / peak * 65535.0).astype(np.uint16)
    return levels


def _row(exam: ImportedExam, paths: Mapping[Phase, str]) -> dict[str, str]:
    return {
        "patient_id": exam.patient,
        "exam_id": exam.exam_id,
        "tracer": exam.tracer,
        "label": exam.label,
        "stress": paths.get("stress", ""),
        "rest": paths.get("rest", ""),
        "exam_date": "" if exam.day is None else f"day {exam.day}",
        **exam.columns,
    }


def _facts(exam: ImportedExam) -> list[str]:
    return [exam.tracer, f"label {exam.label or 'not given'}", *(f"{key} {text}" for key, text in exam.columns.items())]


def _write_manifest(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Columns that are blank in every row are left out."""
    further = sorted({name for row in rows for name in row} - set(_FIRST_COLUMNS))
    columns = [
        name for name in (*_FIRST_COLUMNS, *further) if name in _ALWAYS or any(row.get(name) for row in rows)
    ]  # fmt: skip
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([row.get(name, "") for name in columns] for row in rows)


def _write_json(path: Path, record: ImportRecord, exams: Sequence[Mapping[str, Any]]) -> None:
    content = {
        "polarmap": version("polarmap-tune"),
        "importer": record.importer,
        "source": dict(record.source),
        "settings": dict(record.settings),
        "decisions": dict(record.decisions),
        "label_rules": [rule.text for rule in record.rules],
        "patients": record.names.naming,
        **({"key_check": record.names.key_check} if record.names.key_check else {}),
        "exams": list(exams),
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=True) + os.linesep.replace("\r\n", "\n"), "utf-8")
