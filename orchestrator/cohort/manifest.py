"""Turns the rows of a manifest into exams: spellings, defaults, and the problems of their text."""

import datetime
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mpi_model.vocabulary import PHASES, Phase, Tracer
from orchestrator.cohort.identifiers import canonical, look_alike_notices, refusal
from orchestrator.cohort.problems import Problem, rows_text
from orchestrator.cohort.records import PARTITIONS
from orchestrator.cohort.spellings import counted_values, may_be_shown, sex_of, tracer_of
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
    problems = [*_cell_problems(table), *_id_problems(table)]
    return Manifest(
        exams=exams,
        carried=carried,
        problems=(*problems, *_duplicate_exams(exams), *_divided_patients(exams), *_mixed_dates(exams)),
        notices=(
            *_column_notices(table),
            *look_alike_notices((exam.row, exam.patient_id) for exam in exams),
            *_unified_sexes(table),
        ),
    )


def _without_labels(table: TextTable) -> TextTable:
    """Replace every label by 0, or add the column: for exams that are only predicted."""
    columns = tuple(name for name in table.columns if name.casefold() != "label")
    rows = tuple((row, {name: cells[name] for name in columns} | {"label": "0"}) for row, cells in table.rows)
    return TextTable(columns=(*columns, "label"), rows=rows)


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
    tracer, patient = tracer_of(cells["tracer"]), canonical(cells["patient_id"])
    return ManifestExam(
        row=row,
        patient_id=patient,
        # An unknown spelling still gives a unique id, so that the tracer is the only problem reported.
        exam_id=canonical(cells.get("exam_id", "")) or f"{patient}:{tracer or cells['tracer']}",
        tracer=tracer,
        label=int(cells["label"]) if cells["label"] in {"0", "1"} else None,
        partition=cells.get("partition", "").casefold() or PARTITIONS[0],
        exam_date=_iso_date(cells.get("exam_date", "")) or "",
        # Windows separators, so that a manifest works on every system.
        images={phase: folder / cells[phase].replace("\\", "/") for phase in PHASES if cells.get(phase)},
        carried={name: _one_line(cells[name]) for name in carried}
        | ({"sex": sex_of(cells["sex"])} if "sex" in carried else {})
        | ({"exam_date": _iso_date(cells["exam_date"]) or ""} if "exam_date" in carried else {}),
    )


def _one_line(text: str) -> str:
    """A carried cell without line ends and tabs, which a quoted cell may hold."""
    return text if text.isprintable() else re.sub(r"[\t\r\n]+", " ", text)


def _unified_sexes(table: TextTable) -> list[str]:
    """A notice where sex is spelled in several ways, or not as anybody would know."""
    found = {cells["sex"] for _, cells in table.rows if cells.get("sex")} if "sex" in table.columns else set()
    unified = {sex_of(text) for text in found}
    notices = []
    if len(unified) < len(found):
        notices.append(f"sex is spelled in {len(found)} ways, read as {', '.join(sorted(unified)[:6])}")
    if unified - {"F", "M", "O"}:
        notices.append(f"sex has {len(unified)} values; F, M and O, and their common spellings, are known")
    return notices


def _iso_date(text: str) -> str | None:
    """`2024-05-01`, or with a time of day, or `day 12`; None for anything else. Texts of one kind sort as time does."""
    if day := _DAY.fullmatch(text):
        return f"day {int(day[1]):05d}"
    try:
        moment = datetime.datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None
    return moment.date().isoformat() if moment.time() == datetime.time() else moment.isoformat()


def _cell_problems(table: TextTable) -> list[Problem]:
    """Cells that cannot be interpreted: a line each, and for each such column what it holds."""
    patients = frozenset(canonical(cells["patient_id"]) for _, cells in table.rows)
    problems: list[Problem] = []
    for column, (is_wrong, rule) in _RULES.items():
        # Most cells are right: texts are made for the others alone, so that the time grows with the cohort.
        wrong = [(row, cells) for row, cells in table.rows if is_wrong(cells)]
        for place, (row, cells) in enumerate(wrong):
            found = "" if column in _WITHOUT_VALUE else f", {_found(cells.get(column, ''), patients)}"
            # Once for a column: what else it holds often shows what was meant.
            held = _held(table, column, patients) if found and place == 0 and len(table.rows) > 1 else ""
            problems.append(Problem(kind=column, line=f"{rows_text([row])}: {rule}{found}{held}"))
    return problems


def _held(table: TextTable, column: str, patients: Collection[str]) -> str:
    values = ((cells["patient_id"], cells.get(column, "")) for _, cells in table.rows)
    return f"; the column holds {counted_values(values, patients)}"


def _found(value: str, patients: Collection[str]) -> str:
    if not value:
        return "found a blank cell"
    if value in patients:
        return "found a patient's id"
    quotable = may_be_shown(value, patients)
    return f"found {value!r}" if quotable else f"found another text of {len(value)} characters"


def _wrong_date(cells: Mapping[str, str]) -> bool:
    date = cells.get("exam_date", "")
    return date != "" and _iso_date(date) is None


_RULES: Final[Mapping[str, tuple[Callable[[Mapping[str, str]], bool], str]]] = MappingProxyType(
    {
        "no patient_id": (lambda cells: not cells["patient_id"], "patient_id is blank; give every exam its patient"),
        "label": (lambda cells: cells["label"] not in {"0", "1"}, "label must be 0 or 1"),
        "tracer": (lambda cells: tracer_of(cells["tracer"]) is None, "tracer must be Tc-99m or Tl-201"),
        "partition": (
            lambda cells: cells.get("partition", "").casefold() not in {"", *PARTITIONS},
            "partition must be development or test",
        ),
        "exam_date": (_wrong_date, "exam_date must be YYYY-MM-DD or `day N`"),
        "no phase": (
            lambda cells: not any(cells.get(phase) for phase in PHASES),
            "an exam needs a stress or a rest image, both are blank; delete the row or name an image",
        ),
    }
)
"""For each column what is wrong in it, and the rule that a message says."""
_WITHOUT_VALUE: Final = frozenset({"no patient_id", "no phase"})


def _id_problems(table: TextTable) -> list[Problem]:
    return [
        Problem(kind=f"{column} with such characters", line=f"{rows_text([row])}: {column} {why}")
        for row, cells in table.rows
        for column in ("patient_id", "exam_id")
        if (why := refusal(cells.get(column, "")))
    ]


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
