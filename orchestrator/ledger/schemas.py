"""The columns of every table: the contract with whoever reads a run, and of the parts between them."""

from dataclasses import asdict, fields
from typing import Final

import pyarrow as pa

from mpi_model.settings import Hyperparameters
from orchestrator.cells.records import Attribution, CandidateResult, CellResult
from search_spaces.space import WHOLE_NUMBERS, hyperparameters

TEXT, WHOLE, NUMBER = pa.string(), pa.int64(), pa.float64()

_HYPERPARAMETERS: Final = tuple(
    (f"hp_{field.name}", WHOLE if field.name in WHOLE_NUMBERS else NUMBER) for field in fields(Hyperparameters)
)
_CELL: Final = (("inputs", TEXT), ("partition", TEXT), ("repeat", WHOLE), ("fold", WHOLE))

_CELLS: Final = pa.schema(
    [*_CELL, ("state", TEXT), ("reason", TEXT), ("candidate", WHOLE), ("steps", WHOLE), *_HYPERPARAMETERS]
)
_CANDIDATES: Final = pa.schema(
    [
        *_CELL,
        ("candidate", WHOLE),
        ("state", TEXT),
        ("objective", NUMBER),
        ("epochs", WHOLE),
        *_HYPERPARAMETERS,
        ("error", TEXT),
    ]
)
_EPOCHS: Final = pa.schema(
    [
        *_CELL,
        ("candidate", WHOLE),
        ("inner_fold", WHOLE),
        ("epoch", WHOLE),
        ("training_loss", NUMBER),
        ("validation_loss", NUMBER),
        ("validation_auc", NUMBER),
    ]
)
_TIMINGS: Final = pa.schema(
    [*_CELL, ("candidate", WHOLE), ("attempt", WHOLE), ("seconds", NUMBER), ("host", TEXT), ("device", TEXT)]
)
_ROW_PREDICTIONS: Final = pa.schema(
    [
        *_CELL,
        ("model", TEXT),
        ("member", WHOLE),
        ("row", WHOLE),
        ("score", NUMBER),
        ("probability", NUMBER),
        ("threshold", NUMBER),
    ]
)
"""Predictions as a cell writes them: exams by row of `cohort.parquet`, and no label."""
_PREDICTIONS: Final = pa.schema(
    [
        *_CELL,
        ("model", TEXT),
        ("member", WHOLE),
        ("patient_id", TEXT),
        ("exam_id", TEXT),
        ("tracer", TEXT),
        ("label", WHOLE),
        ("score", NUMBER),
        ("probability", NUMBER),
        ("threshold", NUMBER),
    ]
)
PARTS: Final = {
    "cells": _CELLS,
    "candidates": _CANDIDATES,
    "epochs": _EPOCHS,
    "predictions": _ROW_PREDICTIONS,
    "timings": _TIMINGS,
}
"""What a committed cell holds, and what is joined into each table."""
RESULTS: Final = pa.schema([(name, pa.list_(pa.struct(list(part)))) for name, part in PARTS.items()])
"""The file of a committed cell: one row, and in it a list of rows for each table."""

TABLES: Final = {
    "cells": (_CELLS, ("inputs", "partition", "repeat", "fold")),
    "candidates": (_CANDIDATES, ("inputs", "partition", "repeat", "fold", "candidate")),
    "epochs": (_EPOCHS, ("inputs", "partition", "repeat", "fold", "candidate", "inner_fold", "epoch")),
    "predictions": (
        _PREDICTIONS,
        ("inputs", "partition", "repeat", "fold", "model", "member", "patient_id", "exam_id"),
    ),
    "timings": (_TIMINGS, ("inputs", "partition", "repeat", "fold", "candidate")),
}
"""Each compacted table with its schema and the columns it is sorted by."""

SEGMENT_COLUMNS: Final = tuple(f"segment_{number}" for number in range(1, 18))
_ATTRIBUTED: Final = (
    ("phase", TEXT),
    *((name, NUMBER) for name in SEGMENT_COLUMNS),
    ("outside", NUMBER),
    ("residual", NUMBER),
    ("bound", NUMBER),
)
ATTRIBUTION_PART: Final = pa.schema([*_CELL, ("network", TEXT), ("row", WHOLE), *_ATTRIBUTED])
"""Attributions as a cell writes them: exams by row of `cohort.parquet`, and no label."""
EXAM_ATTRIBUTIONS: Final = pa.schema(
    [
        *_CELL,
        ("network", TEXT),
        ("patient_id", TEXT),
        ("exam_id", TEXT),
        ("tracer", TEXT),
        ("label", WHOLE),
        *_ATTRIBUTED,
    ]
)
"""The same, joined, in the order of the cells and of their rows."""
GROUP_ATTRIBUTIONS: Final = pa.schema(
    [
        ("inputs", TEXT),
        ("partition", TEXT),
        ("tracer", TEXT),
        ("network", TEXT),
        ("label", WHOLE),
        ("outcome", TEXT),
        ("metric", TEXT),
        ("phase", TEXT),
        ("region", TEXT),
        ("estimate", NUMBER),
        ("low", NUMBER),
        ("high", NUMBER),
        ("level", NUMBER),
        ("patients", WHOLE),
        ("exams", WHOLE),
        ("state", TEXT),
        ("reason", TEXT),
    ]
)
"""Attributions averaged over groups of exams; no single exam can be read off it."""


def _cell_columns(result: CellResult) -> dict[str, object]:
    """The four columns that name a cell."""
    key = result.key
    return {"inputs": key.inputs, "partition": key.partition, "repeat": key.repeat, "fold": key.fold}


def _hyperparameter_columns(values: dict[str, object]) -> dict[str, object]:
    """The effective hyperparameters; null for a rate that does not exist, and all null without a candidate."""
    # A failed cell has no hyperparameters; its row is kept, so that failures are counted.
    if not values:
        return {name: None for name, _ in _HYPERPARAMETERS}
    effective = asdict(hyperparameters(values))  # type: ignore[arg-type] # proposed by a space
    return {f"hp_{name}": value for name, value in effective.items()}


def rows_of_cell(
    result: CellResult, candidates: list[CandidateResult], attempt: int
) -> dict[str, list[dict[str, object]]]:
    """A finished cell as rows of the tables it contributes to."""
    cell = _cell_columns(result)
    chosen = {
        "state": result.state,
        "reason": result.reason,
        "candidate": result.candidate,
        "steps": result.steps,
    }
    return {
        "cells": [{**cell, **chosen, **_hyperparameter_columns(dict(result.values))}],
        "candidates": [{**cell, **_candidate(candidate)} for candidate in candidates],
        "epochs": [
            {**cell, "candidate": candidate.number, **asdict(epoch)}
            for candidate in candidates
            for epoch in candidate.epochs
        ],
        "predictions": [{**cell, **asdict(prediction)} for prediction in result.predictions],
        "timings": [{**cell, **timing} for timing in _timings(result, candidates, attempt)],
    }


def _candidate(candidate: CandidateResult) -> dict[str, object]:
    return {
        "candidate": candidate.number,
        "state": candidate.state,
        "objective": candidate.objective,
        "epochs": max((epoch.epoch for epoch in candidate.epochs), default=0),
        **_hyperparameter_columns(dict(candidate.values)),
        "error": candidate.error,
    }


def attribution_columns(attribution: Attribution) -> dict[str, object]:
    """An attribution with a column a segment."""
    plain = asdict(attribution)
    return plain | dict(zip(SEGMENT_COLUMNS, plain.pop("segments"), strict=True))


def _timings(result: CellResult, candidates: list[CandidateResult], attempt: int) -> list[dict[str, object]]:
    where = {"attempt": attempt, "host": result.host, "device": result.device}
    # The row without a candidate is the whole cell: search, refit and prediction.
    whole = {"candidate": None, "seconds": result.seconds, **where}
    return [
        whole,
        *({"candidate": candidate.number, "seconds": candidate.seconds, **where} for candidate in candidates),
    ]


SUMMARY_COLUMNS: Final = (
    "partition",
    "tracer",
    "endpoint",
    "inputs",
    "model",
    "subgroup",
    "metric",
    "at",
    "estimate",
    "sd",
    "low",
    "high",
    "level",
    "method",
    "primary",
    "p",
    "p_holm",
    "patients",
    "exams",
    "positives",
    "negatives",
    "state",
    "reason",
    "estimand",
    "family",
)
"""The columns of `summary`, in order; one row a method. Counts are exams except `patients`; `sd` is a spread."""

SUMMARY_DTYPES: Final = {
    **dict.fromkeys(("at", "estimate", "sd", "low", "high", "level", "p", "p_holm"), "float64"),
    **dict.fromkeys(("patients", "exams", "positives", "negatives"), "Int64"),
    "primary": "bool",
}
