"""A table of segments: scores or percent uptake of the 17- or 20-segment model, painted as maps.

One row an exam: `patient_id`, `tracer`, `stress_1` … `stress_17` (or 20), `rest_1` …, and what the allow-list
carries. A phase whose cells are all blank was not acquired. Scores run from 0 (normal) to 4 (absent). A score is
painted as 100, 75, 50, 25 or 0 percent. The summed scores SSS, SRS and SDS (of the segments' differences, negative
ones included) are carried as columns. From percent no scores are made: that needs the program's normal limits.

Two normal patients have equal scores, so equal maps. The column `map_source` says `scores`, and whoever reads the
manifest does not take such maps for one scan under two names.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mpi_model.errors import CohortError
from mpi_model.regular_files import read_regular
from mpi_model.vocabulary import PHASES, Phase
from orchestrator.cohort.problems import Problem, lines_of
from orchestrator.cohort.segments import SEGMENTS_17, SEGMENTS_20, Segments
from orchestrator.cohort.spellings import tracer_of
from orchestrator.cohort.table import MOST_BYTES, TextTable, read_table
from orchestrator.importers.found_maps import FoundMap, ReadMap
from orchestrator.importers.import_request import FoundSource, ImportRequest, write_found
from orchestrator.importers.painting import check_size, painted, painting_basis
from orchestrator.importers.supplied_facts import ALLOWED, column_problem, date_of
from orchestrator.importers.written_cohort import WrittenCohort, check_new_folder

SegmentValues = Literal["scores", "percent"]
"""Scores from 0 (normal) to 4 (absent), or percent uptake."""
_NUMBERING: Final = (
    "segments 1 to 20 were painted in the order of docs/importing.md, which was not checked against a publication; "
    "compare it with your program's"
)
_MODELS: Final[Mapping[int, Segments]] = {17: SEGMENTS_17, 20: SEGMENTS_20}
_SEGMENT_COLUMN: Final = re.compile(r"(stress|rest)_([0-9]{1,2})")
_PERCENT_OF_A_SCORE: Final = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One exam of the table."""

    number: int
    values: Mapping[Phase, NDArray[np.float64]]
    """`[17]` or `[20]`, scores or percent; acquired phases only."""


def import_segments(request: ImportRequest, *, kind: SegmentValues, size: int = 64) -> WrittenCohort:
    """Write a cohort of painted maps.

    Args:
        request: `source` is the table, CSV or Parquet.
        kind: Whether the values are scores of 0 to 4 or percent uptake of 0 to 100.
        size: Side of a map in pixels.

    Raises:
        CohortError: A column is missing or a cell is not of its kind; all of them at once, by row.
        ExperimentError: The folder cannot be used.
    """
    check_size(size)
    check_new_folder(request.folder)
    table = read_table(request.source, called="segments table")
    model = _model(table)
    missing = [name for name in request.carry if name not in table.columns and request.exams is None]
    if missing:
        raise CohortError(f"the segments table has no column {missing[0][:60]!r} to carry; its first line names them")
    allowed = [name for name in (*ALLOWED, *request.carry) if name in table.columns]
    problems = [problem for number, cells in table.rows for problem in _cell_problems(number, cells, allowed)]
    rows: dict[int, _Row] = {}
    for number, cells in table.rows:
        values, wrong = _values(number, cells, model, kind)
        problems += wrong
        rows[number] = _Row(number=number, values=values)
    if problems:
        raise CohortError(*lines_of(problems))
    maps = [
        _found(number, phase, cells, allowed, rows[number], kind)
        for number, cells in table.rows
        for phase in rows[number].values
    ]
    basis = painting_basis(size, _MODELS[model])

    def read(found: FoundMap) -> ReadMap:
        values = rows[found.file].values[found.phase]
        # Scores 0 to 4 are evenly spaced in percent by convention; a score is an order, not a measurement.
        percent = values if kind == "percent" else 100.0 - _PERCENT_OF_A_SCORE * values
        return ReadMap(pixels=painted(percent, basis))

    found = FoundSource(
        importer="segments",
        record={
            "kind": "table",
            "rows": len(rows),
            "sha256": hashlib.sha256(read_regular(request.source, MOST_BYTES)).hexdigest(),
        },
        maps=maps,
        problems=(),
        settings={"segments": model, "values": kind, "size": size},
        unit="row",
    )
    written = write_found(request, found, read)
    return replace(written, notices=(*written.notices, _NUMBERING)) if model == 20 else written


def _model(table: TextTable) -> int:
    """17 or 20, by the table's columns."""
    numbers: dict[str, set[int]] = {}
    for name in table.columns:
        if match := _SEGMENT_COLUMN.fullmatch(name):
            numbers.setdefault(match[1], set()).add(int(match[2]))
    missing = [name for name in ("patient_id", "tracer") if name not in table.columns]
    if missing:
        raise CohortError(f"the segments table has no column {missing[0]!r}; its first line names the columns")
    for model in _MODELS:
        if numbers and all(found == set(range(1, model + 1)) for found in numbers.values()):
            return model
    raise CohortError("the segments table needs columns stress_1 … stress_17 (or 20), rest_1 … or both, without gaps")


def _cell_problems(row: int, cells: Mapping[str, str], allowed: list[str]) -> list[Problem]:
    wrong = [name for name in allowed if column_problem(name, cells[name])]
    wrong += ["tracer"] if tracer_of(cells["tracer"]) is None else []
    wrong += [] if cells["patient_id"] else ["patient_id (blank)"]
    wrong += ["exam_date"] if cells.get("exam_date") and date_of(cells["exam_date"]) is None else []
    return [
        Problem(kind="cell of the segments table", line=f"row {row} of the segments table: {name} is not understood")
        for name in wrong
    ]


def _values(
    row: int, cells: Mapping[str, str], model: int, kind: SegmentValues
) -> tuple[dict[Phase, NDArray[np.float64]], list[Problem]]:
    values: dict[Phase, NDArray[np.float64]] = {}
    wrong: list[str] = []
    for phase in PHASES:
        texts = [cells.get(f"{phase}_{segment}", "") for segment in range(1, model + 1)]
        # All blank is a phase that was not acquired; some blank is a mistake and refused below.
        if not any(texts):
            continue
        bad = [segment for segment, text in enumerate(texts, start=1) if not _is_value(text, kind)]
        wrong += [f"{phase}_{segment}" for segment in bad]
        values[phase] = np.array([float(text) if _is_value(text, kind) else 0.0 for text in texts])
    asked = "a score of 0, 1, 2, 3 or 4" if kind == "scores" else "a percentage of 0 to 100"
    lines = [f"row {row} of the segments table: {name} is not {asked}; fill it in" for name in wrong]
    if not values:
        lines.append(f"row {row} of the segments table has no values; delete it")
    return values, [Problem(kind="segment values", line=line) for line in lines]


def _is_value(text: str, kind: SegmentValues) -> bool:
    if kind == "scores":
        return re.fullmatch(r"[0-4](\.0+)?", text) is not None
    return re.fullmatch(r"[0-9]{1,3}(\.[0-9]+)?", text) is not None and float(text) <= 100


def _found(
    number: int,
    phase: Phase,
    cells: Mapping[str, str],
    allowed: list[str],
    row: _Row,
    kind: SegmentValues,
) -> FoundMap:
    tracer = tracer_of(cells["tracer"])
    if tracer is None:  # refused before
        raise CohortError(f"row {number} of the segments table: tracer is not understood")
    return FoundMap(
        file=number,
        patient=cells["patient_id"],
        tracer=tracer,
        phase=phase,
        # Every row is an exam of its own, whatever its date.
        exam=cells.get("exam_id", "") or f"row {number}",
        date=date_of(cells.get("exam_date", "")),
        columns={name: cells[name] for name in allowed}
        | (_summed_scores(row.values) | {"map_source": "scores"} if kind == "scores" else {}),
    )


def _summed_scores(values: Mapping[Phase, NDArray[np.float64]]) -> dict[str, str]:
    """SSS, SRS and SDS of the phases there are; SDS is the sum of stress minus rest."""
    sums = {
        name: f"{values[phase].sum():g}" for name, phase in (("SSS", PHASES[0]), ("SRS", PHASES[1])) if phase in values
    }
    if len(values) == len(PHASES):
        sums["SDS"] = f"{(values['stress'] - values['rest']).sum():g}"
    return sums
