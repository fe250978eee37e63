"""Turns the rows of a manifest into exams: spellings, defaults, and the problems of their text."""

import datetime
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mpi_model.vocabulary import PHASES, Phase, Tracer
from orchestrator.cohort.problems import Problem, rows_text
from orchestrator.cohort.records import PARTITIONS
from orchestrator.cohort.table import TextTable

_REQUIRED: Final = ("patient_id", "tracer", "label")
# Columns that become fields of an exam; `exam_date` is checked and also carried as it is.
_INTERPRETED: Final = (*_REQUIRED, *PHASES, "partition", "exam_id")
# Optional columns that are carried without a notice.
_EXPECTED: Final = frozenset({"exam_date", "sex", "age", "site", "map_source"})
# Imports write days since the first exam, because a date can identify a patient.
_DAY: Final = re.compile(r"day ([0-9]{1,5})")
# Columns that the cohort adds; a manifest's column of that name is not read.
_RESERVED: Final = frozenset({"manifest_row", "has_stress", "has_rest"})

# A message may quote a number or the short name of a nuclide. Other text may be a patient's name, or a path with one.
_QUOTABLE: Final = re.compile(r"[0-9.,+-]{1,8}|[A-Za-z]{1,3}-?[0-9]{1,3}[a-z]?")

# After removal of punctuation: any sequence of these parts that contains an element or an agent.
_TECHNETIUM: Final = re.compile(
    r"(?=.*(?:technetium|tc|mibi|tetrofosmin))(?:technetium|tc|99m|99|sesta|mibi|tetrofosmin)+"
)
_THALLIUM: Final = re.compile(r"(?=.*(?:tl|thall))(?:thallium|thallous|tl|201|chloride|cl)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestExam:
    """One row of a manifest; fields that cannot be interpreted are None."""

    row: int
    """1-based data row."""
    patient_id: str
    exam_id: str
    tracer: Tracer | None
    """None for an unknown spelling; the manifest is refused when all its problems are found."""
    label: int | None
    """0 or 1; None for any other text."""
    partition: str
    exam_date: str
    """ISO text, or empty."""
    images: Mapping[Phase, Path]
    """The phases that were acquired."""
    carried: Mapping[str, str]
    """Optional columns, as text; empty where missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The exams of a manifest, with the problems and notices of its text."""

    exams: tuple[ManifestExam, ...]
    carried: tuple[str, ...]
    problems: tuple[Problem, ...]
    notices: tuple[str, ...]


def interpret(table: TextTable, folder: Path, *, labelled: bool = True) -> Manifest:
    """Turn a manifest's text into exams.

    Args:
        table: The manifest.
        folder: The manifest's folder; image paths are relative to it.
        labelled: Whether to read labels; otherwise every exam gets the label 0, with or without a column.

    Returns:
        The exams and the problems found; no exams if a required column is missing.
    """
    table = _with_known_names(table if labelled else _without_labels(table))
    problems = _missing_columns(table)
    if problems:
        return Manifest(exams=(), carried=(), problems=tuple(problems), notices=())
    # Unknown columns are kept for strata and subgroups, which the experiment file may name.
    carried = tuple(name for name in table.columns if name not in {*_INTERPRETED, *_RESERVED})
    exams = tuple(_exam(row, cells, folder, carried) for row, cells in table.rows)
    patients = frozenset(exam.patient_id for exam in exams)
    problems = [problem for row, cells in table.rows for problem in _cell_problems(row, cells, patients)]
    return Manifest(
        exams=exams,
        carried=carried,
        problems=(*problems, *_duplicate_exams(exams), *_divided_patients(exams), *_mixed_dates(exams)),
        notices=(*_column_notices(table), *_spelling_notices(exams)),
    )


def _without_labels(table: TextTable) -> TextTable:
    """Replace every label by 0, or add the column: for exams that are only predicted."""
    columns = tuple(name for name in table.columns if name.casefold() != "label")
    rows = tuple((row, {name: cells[name] for name in columns} | {"label": "0"}) for row, cells in table.rows)
    return TextTable(columns=(*columns, "label"), rows=rows)


def tracer_of(text: str) -> Tracer | None:
    """Recognise the common spellings of a tracer.

    Args:
        text: For example `Tc-99m`, `99mTc`, `Tc-99m sestamibi`, `Tl201`, `thallium`.

    Returns:
        The tracer, or None for anything else.
    """
    # Without punctuation `Tc-99m`, `99mTc` and `Tc 99m` consist of the same parts.
    compact = re.sub(r"[\W_]", "", text.casefold())
    if _TECHNETIUM.fullmatch(compact):
        return "Tc-99m"
    return "Tl-201" if _THALLIUM.fullmatch(compact) else None


def _with_known_names(table: TextTable) -> TextTable:
    """Accept `Patient_ID` for `patient_id`, unless the manifest has both."""
    known = {*_INTERPRETED, *_EXPECTED}
    renamed = {
        name: name.casefold()
        for name in table.columns
        if name.casefold() in known and sum(other.casefold() == name.casefold() for other in table.columns) == 1
    }
    return TextTable(
        columns=tuple(renamed.get(name, name) for name in table.columns),
        rows=tuple((row, {renamed.get(name, name): cell for name, cell in cells.items()}) for row, cells in table.rows),
    )


def _missing_columns(table: TextTable) -> list[Problem]:
    missing = [f"column {name!r} is" for name in _REQUIRED if name not in table.columns]
    if not set(PHASES) & set(table.columns):
        missing.append("columns 'stress' and 'rest' are both")
    return [
        Problem(kind="missing column", line=f"{which} missing from the manifest's first line; name them there")
        for which in missing
    ]


def _exam(row: int, cells: Mapping[str, str], folder: Path, carried: Sequence[str]) -> ManifestExam:
    tracer = tracer_of(cells["tracer"])
    return ManifestExam(
        row=row,
        patient_id=cells["patient_id"],
        # An unknown spelling still gives a unique id, so that the tracer is the only problem reported.
        exam_id=cells.get("exam_id", "") or f"{cells['patient_id']}:{tracer or cells['tracer']}",
        tracer=tracer,
        label=int(cells["label"]) if cells["label"] in {"0", "1"} else None,
        partition=cells.get("partition", "").casefold() or PARTITIONS[0],
        exam_date=_iso_date(cells.get("exam_date", "")) or "",
        # Windows separators, so that a manifest works on every system.
        images={phase: folder / cells[phase].replace("\\", "/") for phase in PHASES if cells.get(phase)},
        carried={name: cells[name] for name in carried}
        | ({"exam_date": _iso_date(cells["exam_date"]) or ""} if "exam_date" in carried else {}),
    )


def _iso_date(text: str) -> str | None:
    """`2024-05-01`, or with a time of day, or `day 12`; None for anything else. Texts of one kind sort as time does."""
    if day := _DAY.fullmatch(text):
        return f"day {int(day[1]):05d}"
    try:
        moment = datetime.datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None
    return moment.date().isoformat() if moment.time() == datetime.time() else moment.isoformat()


def _cell_problems(row: int, cells: Mapping[str, str], patients: Collection[str]) -> list[Problem]:
    def found(column: str) -> str:
        value = cells.get(column, "")
        if not value:
            return "found a blank cell"
        if value in patients:
            return "found a patient's id"
        quotable = _QUOTABLE.fullmatch(value) and not any(patient and patient in value for patient in patients)
        return f"found {value!r}" if quotable else f"found another text of {len(value)} characters"

    place = rows_text([row])
    partition = cells.get("partition", "").casefold()
    date = cells.get("exam_date", "")
    checks = (
        ("no patient_id", not cells["patient_id"], "patient_id is blank; give every exam its patient"),
        ("label", cells["label"] not in {"0", "1"}, f"label must be 0 or 1, {found('label')}"),
        (
            "tracer",
            tracer_of(cells["tracer"]) is None,
            f"tracer must be Tc-99m or Tl-201, {found('tracer')}",
        ),
        (
            "partition",
            partition not in {"", *PARTITIONS},
            f"partition must be development or test, {found('partition')}",
        ),
        (
            "exam_date",
            date != "" and _iso_date(date) is None,
            f"exam_date must be YYYY-MM-DD or `day N`, {found('exam_date')}",
        ),
        (
            "no phase",
            not any(cells.get(phase) for phase in PHASES),
            "an exam needs a stress or a rest image, both are blank; delete the row or name an image",
        ),
    )
    return [Problem(kind=kind, line=f"{place}: {text}") for kind, wrong, text in checks if wrong]


def _groups(
    exams: Iterable[ManifestExam], key: Callable[[ManifestExam], tuple[str, ...]]
) -> dict[tuple[str, ...], list[ManifestExam]]:
    groups: dict[tuple[str, ...], list[ManifestExam]] = {}
    for exam in exams:
        groups.setdefault(key(exam), []).append(exam)
    return groups


def _duplicate_exams(exams: Sequence[ManifestExam]) -> list[Problem]:
    named = [exam for exam in exams if exam.patient_id]
    dated = [exam for exam in named if exam.exam_date and exam.tracer]
    same_id = _groups(named, lambda exam: (exam.exam_id,))
    # The same exam under two ids: its map may be a second export, which equal pixels would not show.
    same_date = _groups(dated, lambda exam: (exam.patient_id, str(exam.tracer), exam.exam_date))
    ids = [
        Problem(
            kind="exam_id given twice",
            line=f"{rows_text(exam.row for exam in group)} have one exam_id; add or correct the exam_id "
            "column (default: patient and tracer)",
        )
        for group in same_id.values()
        if len(group) > 1
    ]
    dates = [
        Problem(
            kind="one exam twice",
            line=f"{rows_text(exam.row for exam in group)} have one patient, tracer and exam_date; "
            "delete the repetition or correct the date",
        )
        for group in same_date.values()
        if len(group) > 1
    ]
    return [*ids, *dates]


def _divided_patients(exams: Sequence[ManifestExam]) -> list[Problem]:
    return [
        Problem(
            kind="patient in both partitions",
            line=f"{rows_text(exam.row for exam in group)} are one patient in development and in test; "
            "put all exams of a patient on one side",
        )
        for group in _groups((e for e in exams if e.patient_id), lambda exam: (exam.patient_id,)).values()
        if len({exam.partition for exam in group} & set(PARTITIONS)) > 1
    ]


def _mixed_dates(exams: Sequence[ManifestExam]) -> list[Problem]:
    """Dates and days since the first exam cannot be put into one order."""
    dated = [exam for exam in exams if exam.exam_date]
    days = [exam.row for exam in dated if exam.exam_date.startswith("day ")]
    if not 0 < len(days) < len(dated):
        return []
    line = f"{rows_text(days)}: exam_date is a day, in other rows a date; write one kind in all rows"
    return [Problem(kind="exam_date of two kinds", line=line)]


def _column_notices(table: TextTable) -> list[str]:
    unknown = [name for name in table.columns if name not in {*_INTERPRETED, *_EXPECTED, *_RESERVED}]
    ignored = [name for name in table.columns if name in _RESERVED]
    notices = []
    if unknown:
        notices.append(f"columns carried through unread: {', '.join(unknown)}")
    if ignored:
        notices.append(f"columns that the cohort makes itself, ignored: {', '.join(ignored)}")
    return notices


def _spelling_notices(exams: Sequence[ManifestExam]) -> list[str]:
    """Ids that may be two spellings of one patient, whom a split by patient would then not keep together."""
    # Leading zeros are lost when a spreadsheet reads an id as a number.
    alike = _groups(exams, lambda exam: (re.sub(r"(?<!\d)0+(?=\d)", "", exam.patient_id.casefold()),))
    return [
        f"{rows_text(exam.row for exam in group)} have patient ids that differ only in case or leading "
        "zeros; they are taken as different patients"
        for group in alike.values()
        if len({exam.patient_id for exam in group}) > 1
    ]
