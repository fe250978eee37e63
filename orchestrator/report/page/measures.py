"""Small tables of leading measures, one a tracer, that stand under the figures of a section."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.report.further import further_table
from orchestrator.report.layout import MISSING, PARTITION_NAMES, Record, Table, estimate, grouped, numbered
from orchestrator.report.records import EVERYONE, MEASURES, Report
from orchestrator.report.traced import Phrase, of_summary

_DECISIONS = ("sensitivity", "specificity", "balanced_accuracy")
_CALIBRATION = ("calibration_intercept", "calibration_slope", "brier")
_BALANCED = (
    "The loss counts both classes alike, so that raw probabilities are those of a prevalence of one half: where "
    "fewer exams have the event they are too high, by design. "
)
_SHIFTED = (
    "They were moved to the prevalence of the training exams before they were judged, which is known beforehand and "
    "is no fit; the curve of the raw ones is dashed. Calibration in the large then says how far they are from the "
    "frequency of events all the same. "
    'The experiment asks for no recalibration (decision.calibration = "platt" does, on scores of inner folds). '
    "A curve recalibrated afterwards is not shown: inner scores are not kept, and a fit to the exams drawn here "
    "would look perfect by construction."
)
_RECALIBRATED = (
    "They were recalibrated by Platt's method before any of these exams was seen, on training exams that the networks "
    "scored without having learned from them. The curve of the raw ones is dashed."
)

_DIRECTIONS = (
    "Calibration in the large below 0: probabilities are too high on average, above 0 too low. Slope below 1: they are "
    "too extreme, above 1 too cautious."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureTables:
    """Tables that stand under the figures of a section, and remarks to read before them."""

    tables: tuple[Table, ...]
    remarks: tuple[tuple[Phrase, ...], ...] = ()


def discrimination(report: Report) -> MeasureTables | None:
    """Sensitivity and specificity at the frozen threshold, and what would narrow the intervals of the AUCs."""
    further = further_table(report)
    tables = (*_tables(report, _DECISIONS, "at the frozen threshold"), *(() if further is None else (further,)))
    return MeasureTables(tables=tables) if tables else None


def calibration(report: Report) -> MeasureTables | str | None:
    """Intercept and slope, and what class-balanced training does to the first of them."""
    tables = _tables(report, _CALIBRATION, "calibration")
    if not tables:
        return _refused(report, "brier", "calibration_intercept")
    rows = [row for row in numbered(report.summary) if row["metric"] == "calibration_intercept"]
    shifted = any("class-balanced" in row["reason"] for row in rows)
    # Predictions made elsewhere come from any training.
    known = "calibration" in report.facts
    remarks = (_BALANCED + (_SHIFTED if shifted else _RECALIBRATED), _DIRECTIONS) if known else (_DIRECTIONS,)
    return MeasureTables(tables=tables, remarks=tuple((one,) for one in remarks))


def net_benefit(report: Report) -> MeasureTables | str | None:
    """Why there are no rows of net benefit in the tables, where they were refused."""
    why = _refused(report, "net_benefit")
    if not any(figure.section == "net-benefit" for figure in report.figures):
        return why
    return MeasureTables(tables=(), remarks=((f"In the tables it is refused: {why}",),) if why else ())


def subgroups(report: Report) -> str | None:
    """Why there are no subgroups; None where there are."""
    if any(figure.section == "subgroups" for figure in report.figures) or not report.figures:
        return None
    rows = [row for row in numbered(report.summary) if row["subgroup"] != EVERYONE]
    reasons = dict.fromkeys(row["reason"] for row in rows if row["state"] == "refused")
    return f"No AUC of a subgroup: {'; '.join(reasons)}." if reasons else "No subgroups were declared."


def _tables(report: Report, metrics: Sequence[str], about: str) -> tuple[Table, ...]:
    rows = [
        row
        for row in numbered(report.summary)
        if row["metric"] in metrics and row["subgroup"] == EVERYONE and row["at"] is None and row["state"] == "ok"
    ]
    # The judged model's only: baselines have their own tables at the end.
    rows = [row for row in rows if row["model"] == rows[0]["model"]]
    return tuple(
        _table(f"{tracer}, {endpoint}: {about}", mine, metrics)
        for (tracer, endpoint), mine in grouped(rows, "tracer", "endpoint")
    )


def _table(title: str, rows: Sequence[Record], metrics: Sequence[str]) -> Table:
    inputs = list(dict.fromkeys(row["inputs"] for row in rows))
    body = []
    cells: dict[str, Phrase]
    for (partition,), mine in grouped(rows, "partition"):
        if metrics == _DECISIONS:
            # The denominators of sensitivity and specificity.
            cells = {
                row["inputs"]: of_summary(row, f"{row['positives']} / {row['negatives']}", "positives", "negatives")
                for row in mine
            }
            name = f"exams with / without event, {PARTITION_NAMES.get(partition, partition)}"
            body.append((name, *(cells.get(one, MISSING) for one in inputs)))
        for metric in metrics:
            cells = {row["inputs"]: _in_one_line(row) for row in mine if row["metric"] == metric}
            if cells:
                name = f"{MEASURES[metric]}, {PARTITION_NAMES.get(partition, partition)}"
                body.append((name, *(cells.get(one, MISSING) for one in inputs)))
    return Table(title=title, columns=("", *inputs), rows=tuple(body))


def _in_one_line(row: Record) -> Phrase:
    """An estimate with its interval and without its spread."""
    if row["low"] is None:
        return estimate(row)
    return of_summary(row, f"{row['estimate']:.3f} [{row['low']:.3f}, {row['high']:.3f}]", "estimate", "low", "high")


def _refused(report: Report, *metrics: str) -> str | None:
    rows = [row for row in numbered(report.summary) if row["metric"] in metrics and row["state"] == "refused"]
    reasons = dict.fromkeys(row["reason"] for row in rows)
    return f"{'; '.join(reasons)}." if reasons else None
