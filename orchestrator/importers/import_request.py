"""What all imports are asked in the same way, and the last step they share."""

import hashlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from mpi_model.errors import CohortError, ExperimentError
from orchestrator.cohort.problems import Problem
from orchestrator.experiment.bounds import check_number
from orchestrator.importers.exams import EXAM_DAYS, PatientNames, group_exams
from orchestrator.importers.found_maps import FoundMap, ReadMap
from orchestrator.importers.label_rules import LabelRule
from orchestrator.importers.source_files import Source, SourceFile
from orchestrator.importers.supplied_facts import OWN_COLUMNS, read_exams_table
from orchestrator.importers.written_cohort import Advance, Format, ImportRecord, WrittenCohort, write_cohort

_MOST_DAYS: Final = 3650


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """Where from, where to, and what the user says beside the source."""

    source: Path
    folder: Path
    files: Path | None = None
    """`--files`: what a CSV says of files."""
    exams: Path | None = None
    """`--exams`: what a CSV says of exams."""
    carry: Sequence[str] = ()
    """Further columns that the user lets into the manifest."""
    rules: Sequence[LabelRule] = ()
    names: PatientNames = field(default_factory=PatientNames)
    exam_days: int = EXAM_DAYS
    format: Format = "png"
    progress: Advance | None = None

    def __post_init__(self) -> None:
        # The source's ids and dates would take the place of those that an import makes to leave them out.
        own = [name for name in self.carry if name.strip().casefold() in OWN_COLUMNS]
        if own:
            raise ExperimentError(f"--carry {own[0][:40]!r} is a column that an import writes itself; leave it out")
        check_number("--exam-days", self.exam_days, 0, _MOST_DAYS, f"{EXAM_DAYS} are usual")
        if self.format not in get_args(Format):
            raise ExperimentError(f"`--format` must be one of {', '.join(get_args(Format))}, but is {self.format!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSource:
    """What an importer found in a source before it reads pixels."""

    importer: str
    record: Mapping[str, Any]
    """The source in numbers."""
    maps: Sequence[FoundMap]
    problems: Sequence[Problem]
    settings: Mapping[str, Any]
    decisions: Mapping[str, int] = field(default_factory=dict)
    """What was left out or resolved, counted; zeros are left out."""
    panels: int = 0
    unit: str = "file"
    """What the numbers of maps count: files, or rows of a table."""


def write_found(request: ImportRequest, found: FoundSource, read: Callable[[FoundMap], ReadMap]) -> WrittenCohort:
    """Group what was found to exams, read the pixels, write everything.

    Raises:
        CohortError: Anything is wrong with the source or a table; all of it at once, and nothing is written.
        ExperimentError: The folder cannot be used.
    """
    if request.carry and request.exams is None and found.importer != "segments":
        raise ExperimentError("--carry takes columns of the table of --exams; name that table, too")
    grouped = group_exams(
        found.maps,
        names=request.names,
        supplied=read_exams_table(request.exams, request.carry if request.exams else ()),
        rules=request.rules,
        exam_days=request.exam_days,
        unit=found.unit,
    )
    record = ImportRecord(
        importer=found.importer,
        source=found.record,
        settings=found.settings,
        decisions={what: count for what, count in found.decisions.items() if count},
        names=request.names,
        rules=request.rules,
        panels=found.panels,
        unit=found.unit,
    )
    return write_cohort(
        request.folder,
        grouped,
        read,
        record,
        problems=found.problems,
        format=request.format,
        progress=request.progress,
    )


def source_record(source: Source, used: Iterable[SourceFile]) -> dict[str, Any]:
    """A source in numbers: how many files, and a digest of the content of those that were used."""
    sha, count, size = hashlib.sha256(), 0, 0
    for file in used:
        try:
            content = source.read(file)
        except CohortError:
            continue  # whoever reads its pixels says so, with its number
        # A digest of digests: the content of each file counts, its name does not.
        sha.update(hashlib.sha256(content).digest())
        count, size = count + 1, size + len(content)
    kind = "folder" if source.path.is_dir() else "archive" if source.path.suffix.lower() == ".zip" else "file"
    return {"kind": kind, "files": len(source.files), "used": count, "bytes": size, "sha256": sha.hexdigest()}


def require(package: str, part: str) -> None:
    """Say what to install, before a package is missed.

    Raises:
        ExperimentError: The package is not there.
    """
    if importlib.util.find_spec(package) is None:
        raise ExperimentError(f'this needs {package}; install it: pip install "polarmap-tune[{part}]"')
