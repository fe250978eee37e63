"""From found maps to exams that may leave the source: grouped, renamed, their dates turned into days.

An exam is one tracer of one patient: the maps with one exam id. Where there is none, it is maps whose dates follow each
other within some days (a two-day protocol is one exam). Nothing of a `FoundMap` goes further than its allowed columns,
its tracer, phase and file number; the patient gets a new name, the date becomes a number of days.
"""

import datetime
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from mpi_model.vocabulary import PHASES, Phase, Tracer
from orchestrator.cohort.identifiers import canonical, invisible, look_alike_notices, refusal
from orchestrator.cohort.problems import Problem
from orchestrator.cohort.pseudonyms import pseudonyms, read_key
from orchestrator.importers.found_maps import FoundMap
from orchestrator.importers.label_rules import LabelRule
from orchestrator.importers.supplied_facts import ExamKey

EXAM_DAYS: Final = 30
"""Days between a map and the next that still belong to one exam."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientNames:
    """How patients are called in what is written."""

    naming: Literal["numbered", "keyed", "kept"] = "numbered"
    """`numbered`: P0001, … in the order of files; `keyed`: by keyed pseudonyms; `kept`: as in the source."""
    pseudonym: Callable[[str], str] | None = None
    key_check: str = ""
    """Tells whether two imports used one key, and nothing about the key."""


def patient_names(keyfile: Path | None, *, kept: bool = False) -> PatientNames:
    """What the user asked for.

    Raises:
        ExperimentError: The key cannot be used.
    """
    if keyfile is None:
        return PatientNames(naming="kept" if kept else "numbered")
    # A keyed hash of a fixed text: equal for equal keys, and the key cannot be computed from it.
    check = hmac.new(read_key(keyfile), b"polarmap: which key is this?", hashlib.sha256).hexdigest()[:16]
    return PatientNames(naming="keyed", pseudonym=pseudonyms(keyfile), key_check=check)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedExam:
    """One row of the manifest that will be written."""

    patient: str
    exam_id: str
    tracer: Tracer
    day: int | None
    """Days since the patient's first exam; None without dates."""
    label: str
    """`0`, `1` or empty."""
    maps: Mapping[Phase, FoundMap]
    columns: Mapping[str, str]
    """The allowed columns beside the label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedExams:
    """The exams of a source in the manifest's order, and what is wrong with them."""

    exams: tuple[ImportedExam, ...]
    problems: tuple[Problem, ...]
    notices: tuple[str, ...]


_Key = tuple[str, Tracer]


def group_exams(
    maps: Sequence[FoundMap],
    *,
    names: PatientNames,
    supplied: Mapping[ExamKey, Mapping[str, str]],
    rules: Sequence[LabelRule] = (),
    exam_days: int = EXAM_DAYS,
    unit: str = "file",
) -> GroupedExams:
    """Put maps together to exams.

    Args:
        maps: In the order of files.
        names: How patients are called.
        supplied: What `--exams` says.
        rules: Of `--label`.
        exam_days: The most days between a map and the next one of the same exam.
        unit: What the numbers of maps count.
    """
    # One person is one person, however the source composes the letters of an id.
    maps = [replace(found, patient=canonical(found.patient)) for found in maps]
    groups: dict[_Key, list[FoundMap]] = {}
    for found in maps:
        groups.setdefault((found.patient, found.tracer), []).append(found)
    called = _new_names(maps, names)
    first = _first_days(maps)
    problems = _id_problems(maps, names, unit)
    exams: list[ImportedExam] = []
    for (patient, tracer), members in groups.items():
        parts = _split(members, exam_days)
        for number, part in enumerate(parts, start=1):
            problems += _part_problems(part, unit)
            columns = {**_own_columns(part), **_supplied_columns(supplied, part[0])}
            label = columns.pop("label", "")
            rule = _rule_for(rules, tracer)
            if rule and label:
                line = f"{_places(part, unit)}: a label is given and a --label rule too; give one of them"
                problems.append(Problem(kind="label and rule", line=line))
            exams.append(
                ImportedExam(
                    patient=called[patient],
                    exam_id=f"{called[patient]}-{tracer[:2]}" + (f"-{number}" if len(parts) > 1 else ""),
                    tracer=tracer,
                    # Days since the first exam: intervals stay, dates do not leave the source.
                    day=_day(part, first.get(patient)),
                    label=rule.label(columns) if rule else label,
                    maps={found.phase: found for found in part},
                    columns=columns,
                )
            )
    # With keyed names in the order of files, a row's place would say whose pseudonym it is.
    ordered = sorted(exams, key=lambda exam: exam.exam_id) if names.naming == "keyed" else exams
    first_files = {found.patient: found.file for found in reversed(maps)}
    alike = look_alike_notices(
        ((file, patient) for patient, file in first_files.items()), lambda at: _numbers(at, unit)
    )
    notices = (*_notices(ordered, maps, supplied), *alike)
    return GroupedExams(exams=tuple(ordered), problems=tuple(problems), notices=notices)


def _id_problems(maps: Sequence[FoundMap], names: PatientNames, unit: str) -> list[Problem]:
    """Ids that hide something; of kept ones also those that no manifest may have."""
    why = {found.patient: found.file for found in reversed(maps)}
    refused = refusal if names.naming == "kept" else invisible
    return [
        Problem(kind="patient id with such characters", line=f"{unit} {number}: the patient's id {reason}")
        for patient, number in sorted(why.items(), key=lambda item: item[1])
        if (reason := refused(patient))
    ]


def _new_names(maps: Iterable[FoundMap], names: PatientNames) -> dict[str, str]:
    patients = dict.fromkeys(found.patient for found in maps)
    if names.pseudonym is not None:
        return {patient: names.pseudonym(patient) for patient in patients}
    if names.naming == "kept":
        return {patient: patient for patient in patients}
    # New numbers, because an id of the source may identify the patient outside it.
    return {patient: f"P{number:04d}" for number, patient in enumerate(patients, start=1)}


def _first_days(maps: Iterable[FoundMap]) -> dict[str, datetime.date]:
    first: dict[str, datetime.date] = {}
    for found in maps:
        if found.date is not None:
            first[found.patient] = min(found.date, first.get(found.patient, found.date))
    return first


def _rule_for(rules: Sequence[LabelRule], tracer: Tracer) -> LabelRule | None:
    """The tracer's own rule, or the one for every tracer."""
    own = [rule for rule in rules if rule.tracer == tracer]
    return next(iter(own or [rule for rule in rules if rule.tracer is None]), None)


def _split(members: Sequence[FoundMap], exam_days: int) -> list[list[FoundMap]]:
    """The maps of one patient and tracer, exam by exam in the order of time."""
    named: dict[str, list[FoundMap]] = {}
    for found in members:
        named.setdefault(found.exam, []).append(found)
    dateless = named.pop("", [])
    parts = list(named.values())
    # Without dates nothing separates maps, so they are one exam, and a phase that is there twice is refused.
    if any(found.date is None for found in dateless):
        parts.append(dateless)
    else:
        parts += _by_pauses(dateless, exam_days)
    return sorted(parts, key=lambda part: min(map(_date, part)))


def _by_pauses(members: Sequence[FoundMap], exam_days: int) -> list[list[FoundMap]]:
    parts: list[list[FoundMap]] = []
    for found in sorted(members, key=_date):
        if parts and (_date(found) - _date(parts[-1][-1])).days <= exam_days:
            parts[-1].append(found)
        else:
            parts.append([found])
    return parts


def _date(found: FoundMap) -> datetime.date:
    return found.date or datetime.date.min


def _day(part: Sequence[FoundMap], first: datetime.date | None) -> int | None:
    dates = [found.date for found in part if found.date is not None]
    return (min(dates) - first).days if dates and first else None


def _part_problems(part: Sequence[FoundMap], unit: str) -> list[Problem]:
    problems = []
    for phase in PHASES:
        same = [found for found in part if found.phase == phase]
        if len(same) > 1:
            line = (
                f"{_places(same, unit)} are all the {phase} map of one exam; say `skip` in the column `use` of --files"
            )
            problems.append(Problem(kind="several maps of one phase", line=line))
    if len({found.columns.get("sex", "") for found in part} - {""}) > 1:
        line = f"{_places(part, unit)} are one exam and differ in sex; take the wrong one out"
        problems.append(Problem(kind="one exam of two patients", line=line))
    return problems


def _places(part: Iterable[FoundMap], unit: str) -> str:
    return _numbers((found.file for found in part), unit)


def _numbers(files: Iterable[int], unit: str) -> str:
    numbers = sorted(set(files))
    return f"{unit}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _own_columns(part: Sequence[FoundMap]) -> dict[str, str]:
    """The source's columns; of two values the first map's counts (an age may change inside an exam)."""
    return {name: value for found in reversed(part) for name, value in found.columns.items() if value}


def _supplied_columns(supplied: Mapping[ExamKey, Mapping[str, str]], found: FoundMap) -> dict[str, str]:
    """What `--exams` says of an exam, the more particular row last."""
    keys = [(found.patient, "", ""), (found.patient, found.tracer, ""), (found.patient, "", found.exam)]
    keys.append((found.patient, found.tracer, found.exam))
    return {name: value for key in keys for name, value in supplied.get(key, {}).items()}


def _notices(
    exams: Sequence[ImportedExam], maps: Sequence[FoundMap], supplied: Mapping[ExamKey, Mapping[str, str]]
) -> tuple[str, ...]:
    patients = {found.patient for found in maps}
    unlabelled = sum(not exam.label for exam in exams)
    unused = sum(patient not in patients for patient, _, _ in supplied)
    counts = (
        (unlabelled, "without a label: fill the column in, or give --exams or --label"),
        (sum("stress" not in exam.maps for exam in exams), "without a stress map"),
        (sum("rest" not in exam.maps for exam in exams), "without a rest map"),
    )
    notices = [f"{count} of {len(exams)} exams {what}" for count, what in counts if count]
    return (*notices, *([f"{unused} rows of the exams table are of patients not in the source"] if unused else []))
