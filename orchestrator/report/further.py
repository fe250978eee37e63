"""The table of what more repeats or more patients would still buy; a terminal shows it without computing anything."""

from collections.abc import Iterator
from typing import Final

from orchestrator.report.layout import MISSING, Record, Table, grouped, number, numbered
from orchestrator.report.records import Report
from orchestrator.report.traced import of_json

FURTHER: Final = "further"
"""The key in `summary.json` of what `further_table` prints."""


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
        title=f"What more would buy: width of the {100 * rows[0]['level']:g}% interval of the cross-validated AUC",
        columns=("", *heads),
        rows=tuple(body),
        note="From this run's intervals, each AUC kept as it is; more patients would also give better networks."
        f"{unknown} Work: how many times the hours of this run, which `polarmap plan` gives.",
        shown="full",
    )


def _lines(rows: list[Record]) -> Iterator[tuple[str, list[Record]]]:
    for (tracer, inputs), mine in grouped(rows, "tracer", "inputs"):
        yield f"{tracer}, {inputs}", mine
