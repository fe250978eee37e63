"""What more repeats or more patients would still buy: interval width against work, from a finished run."""

from collections.abc import Iterator
from typing import Final

import pandas as pd

from orchestrator.cells.records import NETWORK
from orchestrator.report.layout import MISSING, Record, Table, as_records, grouped, number, numbered
from orchestrator.report.records import EVERYONE, Report
from orchestrator.report.traced import of_json
from orchestrator.statistics.intervals import Interval, Method
from orchestrator.statistics.precision import further_interval

FURTHER: Final = "further"
"""The key in `summary.json` of what `further_table` prints."""
_COLUMNS: Final = ("tracer", "inputs", "repeats", "patients", "low", "high", "width", "level", "effort")
_REPEATS: Final = (2, 5, 10, 20)
_PATIENTS: Final = (1.5, 2.0, 4.0)
"""Multiples of the run's."""


def further_designs(summary: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """The run's intervals of its cross-validated AUCs, and those of other designs; the first row of a model is the run.

    Args:
        summary: Of the finished run.
        plan: `repeat, patient_id, fold`.

    Returns:
        `_COLUMNS`, without repeats that the run cannot tell about. `effort` is the work as a multiple of the run's: it
        grows with the cells, and with the patients that a cell trains on. It is no time, so that equal runs give equal
        reports.
    """
    repeats, folds = (int(plan[name].nunique()) for name in ("repeat", "fold"))
    found = [
        row
        for row in as_records(summary[summary["partition"] == "development"])
        if row["model"] == NETWORK and row["subgroup"] == EVERYONE
    ]
    agreements = {(row["tracer"], row["inputs"]): row["estimate"] for row in found if row["metric"] == "agreement"}
    rows = []
    for row in found:
        if row["metric"] != "auc" or row["method"] != Method.WITHIN_FOLD or row["low"] is None:
            continue
        place = (row["tracer"], row["inputs"])
        numbers = {name: float(row[name]) for name in ("estimate", "low", "high", "level")}
        own = Interval(**numbers, method=Method.WITHIN_FOLD)
        for more, patients in _designs(repeats):
            told = further_interval(own, agreements.get(place), repeats, more_repeats=more, patients=patients)
            if told is not None:
                # A final cell beside those of the folds.
                work = patients * (more * folds + 1) / (repeats * folds + 1)
                rows.append((*place, more, patients, told.low, told.high, told.high - told.low, told.level, work))
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def further_table(report: Report) -> Table | None:
    """Widths, a line an input configuration and a column a design; None where the report is not a finished run's."""
    frame = report.extracts.get(FURTHER)
    if frame is None:
        return None
    rows = numbered(frame)
    designs = list(dict.fromkeys((row["repeats"], row["patients"]) for row in rows))
    own = rows[0]["repeats"]
    body = []
    for name, mine in (("work (this run: 1)", rows), *_lines(rows)):
        column = "effort" if mine is rows else "width"
        cells = {(row["repeats"], row["patients"]): row for row in reversed(mine)}
        body.append(
            (
                name,
                *(
                    of_json(f"{cells[one][column]:.3g}" if mine is rows else number(cells[one][column]), FURTHER,
                            cells[one]["row"], column)
                    if one in cells
                    else MISSING
                    for one in designs
                ),
            )
        )  # fmt: skip
    heads = (
        "this run" if place == 0 else f"{repeats} repeats" if patients == 1 else f"{patients - 1:.0%} more patients"
        for place, (repeats, patients) in enumerate(designs)
    )
    unknown = " One repeat does not tell what more repeats would buy." if own == 1 else ""
    return Table(
        title=f"What more would buy: width of the {rows[0]['level']:.0%} interval of the cross-validated AUC",
        columns=("", *heads),
        rows=tuple(body),
        note="From this run's intervals, each AUC kept as it is; more patients would also give better networks."
        f"{unknown} Work: how many times the hours of this run, which `polarmap plan` gives.",
        shown="full",
    )


def _lines(rows: list[Record]) -> Iterator[tuple[str, list[Record]]]:
    for (tracer, inputs), mine in grouped(rows, "tracer", "inputs"):
        yield f"{tracer}, {inputs}", mine


def _designs(repeats: int) -> Iterator[tuple[int, float]]:
    """Repeats and patients, as a multiple: the run's own, then more of the one, then more of the other."""
    yield repeats, 1.0
    yield from ((more, 1.0) for more in _REPEATS if more > repeats)
    yield from ((repeats, more) for more in _PATIENTS)
