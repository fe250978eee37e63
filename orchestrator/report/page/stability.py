"""Stability: how often repeats decide otherwise, and which exams are hardest."""

from orchestrator.report.layout import MISSING, Record, Table, grouped, number, numbered
from orchestrator.report.page.measures import MeasureTables
from orchestrator.report.records import EVERYONE, Report
from orchestrator.report.traced import Phrase, of_json, of_summary

_ONE_REPEAT = (
    "Needs two repeats of the cross-validation: with one, nothing tells how much a patient's result depends on chance "
    "in training."
)


def stability(report: Report) -> MeasureTables | str | None:
    """What repeats disagree about; a reason with one repeat; None for predictions without repeats or tables."""
    rows = [
        row for row in numbered(report.summary) if row["subgroup"] == EVERYONE and row["partition"] == "development"
    ]
    flips = [row for row in rows if row["metric"] == "exams_with_flipped_decision"]
    flips = [row for row in flips if row["model"] == rows[0]["model"]]
    if not flips:
        return None
    if not any(row["state"] == "ok" for row in flips):
        return _ONE_REPEAT
    remarks = tuple(_sentence(mine) for _, mine in grouped(flips, "tracer", "endpoint"))
    return MeasureTables(remarks=remarks, tables=_hardest(report))


def _sentence(rows: list[Record]) -> tuple[Phrase, ...]:
    parts: list[Phrase] = [f"{rows[0]['tracer']}: the decision changes with the repeat in a share of "]
    for place, row in enumerate(row for row in rows if row["state"] == "ok"):
        parts += [
            "; " if place else "",
            of_summary(row, number(row["estimate"]), "estimate"),
            f" of exams ({row['inputs']})",
        ]
    return (*parts, ".")


def _hardest(report: Report) -> tuple[Table, ...]:
    """The hardest exams of each tracer by manifest row, with their maps in words."""
    frame = report.extracts.get("hardest_exams")
    if frame is None:
        return ()
    shares = [name for name in frame.columns if name.startswith("wrong")]
    names = ["all" if name == "wrong" else name.removeprefix("wrong_") for name in shares]
    tables = []
    for (tracer,), rows in grouped(numbered(frame), "tracer"):
        body = tuple(
            (
                _cell(row, "manifest_row", MISSING if row["manifest_row"] is None else str(int(row["manifest_row"]))),
                row["error"],
                *(_cell(row, name, number(row[name])) for name in shares),
                row["map"] or MISSING,
            )
            for row in rows
        )
        columns = ("manifest row", "error", *(f"wrong, {name}" for name in names), "map")
        note = (
            "Share of repeats that decide wrongly; map: by its 17 segments, beside exams of the tracer without event."
        )
        tables.append(Table(title=f"{tracer}: hardest exams", columns=columns, rows=body, note=note))
    return tuple(tables)


def _cell(row: Record, column: str, text: str) -> Phrase:
    return of_json(text, "hardest_exams", row["row"], column)
