"""What the user says and the source does not: one CSV about files, one about exams.

`--files` has one row a file, known by `file`: its number or its path inside the source. `--exams` has one row a
patient, known by `patient_id` as in the source, or a patient and tracer, or a patient, tracer and exam. A cell that
is blank says nothing.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mpi_model.errors import CohortError
from mpi_model.vocabulary import PHASES, Phase, Tracer
from orchestrator.cohort.identifiers import canonical
from orchestrator.cohort.problems import Problem, lines_of
from orchestrator.cohort.spellings import tracer_of
from orchestrator.cohort.table import read_table
from orchestrator.importers.source_files import SourceFile

ALLOWED: Final = ("label", "partition", "sex", "age", "site")
"""Columns of `--exams` that enter a manifest without being named by `--carry`."""
OWN_COLUMNS: Final = frozenset({"patient_id", "exam_id", "tracer", "exam_date", "map_source", *PHASES})
"""Columns that an import makes itself, and no table can supply; in small letters."""
_VALUES: Final[Mapping[str, str]] = {
    "label": r"[01]?",
    "partition": r"development|test|",
    "sex": r"[FMO]?",
    "age": r"[0-9]{0,3}",
    "site": r"[A-Za-z0-9_-]{0,16}",
}
_CARRIED: Final = r"[A-Za-z0-9.+_-]{0,24}"
_FACTS_OF_FILES: Final = frozenset({"patient_id", "tracer", "phase", "exam_id", "date", "use"})

_PHASE_WORDS: Final[Mapping[str, Phase]] = {
    **{phase: phase for phase in PHASES},
    # Redistribution and reinjection images of thallium are what a reader calls its rest images.
    **dict.fromkeys(("redistribution", "reinjection", "delayed"), PHASES[1]),
    **dict.fromkeys(("str", "exercise"), PHASES[0]),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What `--files` says of one file."""

    row: int = 0
    """1-based data row of the table; 0 where there is none."""
    patient: str = ""
    tracer: Tracer | None = None
    phase: Phase | None = None
    exam: str = ""
    date: datetime.date | None = None
    skipped: bool = False
    more: Mapping[str, str] = field(default_factory=dict)
    """Columns that belong to one importer, such as limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppliedFiles:
    """The table of `--files`, by what its rows call a file."""

    rows: Mapping[str, FileFacts] = field(default_factory=dict)

    def of(self, file: SourceFile) -> FileFacts:
        """The facts that the table gives of a file; empty ones where it has no row."""
        # The path first: a file's own name may be a number, which then means the name.
        return self.rows.get(file.path) or self.rows.get(str(file.number)) or FileFacts()

    def unmatched(self, files: Sequence[SourceFile]) -> list[Problem]:
        """Rows that speak of no file of the source: most likely a misspelt path."""
        known = {file.path for file in files} | {str(file.number) for file in files}
        wrong = [facts.row for key, facts in self.rows.items() if key not in known]
        line = "row {} of the files table names no file of the source; give its path inside the source, or its number"
        return [Problem(kind="row of the files table without a file", line=line.format(row)) for row in wrong]


def phase_of(text: str) -> Phase | None:
    """Understand a phase's common spellings."""
    return _PHASE_WORDS.get(text.casefold())


def date_of(text: str) -> datetime.date | None:
    """`2024-05-01` or `20240501`; None for anything else."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


def read_files_table(path: Path | None, more: frozenset[str] = frozenset()) -> SuppliedFiles:
    """Read `--files`.

    Args:
        path: The CSV; None says nothing.
        more: Columns that the importer takes beside `_FACTS_OF_FILES`.

    Raises:
        CohortError: A column or a value is not understood; all of them at once, by row.
    """
    if path is None:
        return SuppliedFiles()
    table = read_table(path, called="files table")
    known = {"file"} | _FACTS_OF_FILES | more
    if "file" not in table.columns or (unknown := [name for name in table.columns if name not in known]):
        found = "no column 'file'" if "file" not in table.columns else f"the unknown column {unknown[0]!r}"
        raise CohortError(f"the files table has {found}; its columns are {', '.join(sorted(known))}")
    problems: list[Problem] = []
    rows: dict[str, FileFacts] = {}
    for row, cells in table.rows:
        wrong = [*_wrong_facts(cells), *(["file (named twice or not at all)"] if cells["file"] in {"", *rows} else [])]
        problems += [
            Problem(kind="cell of the files table", line=f"row {row} of the files table: {name} is not understood")
            for name in wrong
        ]
        rows[cells["file"]] = FileFacts(
            row=row,
            patient=cells.get("patient_id", ""),
            tracer=tracer_of(cells.get("tracer", "")),
            phase=phase_of(cells.get("phase", "")),
            exam=cells.get("exam_id", ""),
            date=date_of(cells.get("date", "")),
            skipped=cells.get("use", "").casefold() == "skip",
            more={name: cells[name] for name in more if cells.get(name)},
        )
    if problems:
        raise CohortError(*lines_of(problems))
    return SuppliedFiles(rows=rows)


def _wrong_facts(cells: Mapping[str, str]) -> list[str]:
    readers = {"tracer": tracer_of, "phase": phase_of, "date": date_of}
    wrong = [name for name, read in readers.items() if cells.get(name) and read(cells[name]) is None]
    return wrong + (["use (skip, or blank)"] if cells.get("use", "").casefold() not in {"", "skip"} else [])


def column_problem(name: str, text: str) -> bool:
    """Whether a cell of an allowed column holds what may not leave the source: free text, above all."""
    # Short codes only: free text may hold a name or a date.
    return re.fullmatch(_VALUES.get(name, _CARRIED), text) is None


ExamKey = tuple[str, str, str]
"""Patient, tracer and exam; the last two may be empty, for any."""


def read_exams_table(path: Path | None, carry: Sequence[str] = ()) -> Mapping[ExamKey, Mapping[str, str]]:
    """Read `--exams`.

    Args:
        path: The CSV; None says nothing.
        carry: Columns that the user lets through beside `ALLOWED`.

    Returns:
        The allowed columns of every row, by patient, tracer (or empty) and exam (or empty).

    Raises:
        CohortError: A column is missing or a value is not of its kind; all of them at once, by row.
    """
    if path is None:
        return {}
    table = read_table(path, called="exams table")
    missing = [name for name in ("patient_id", *carry) if name not in table.columns]
    if missing:
        raise CohortError(f"the exams table has no column {missing[0]!r}; its first line names the columns")
    taken = [name for name in (*ALLOWED, *carry) if name in table.columns]
    problems: list[Problem] = []
    rows: dict[ExamKey, Mapping[str, str]] = {}
    for row, cells in table.rows:
        tracer = tracer_of(cells.get("tracer", ""))
        key = (canonical(cells["patient_id"]), tracer or "", cells.get("exam_id", ""))
        wrong = [name for name in taken if column_problem(name, cells[name])]
        wrong += ["tracer"] if cells.get("tracer") and tracer is None else []
        wrong += ["patient_id (blank, or the same exam twice)"] if not key[0] or key in rows else []
        problems += [
            Problem(kind="cell of the exams table", line=f"row {row} of the exams table: {name} is not understood")
            for name in wrong
        ]
        rows[key] = {name: cells[name] for name in taken if cells[name]}
    if problems:
        raise CohortError(*lines_of(problems))
    return rows
