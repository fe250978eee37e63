"""The rows of the summary: an estimate by a method, or the reason why there is none."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.cells.records import NETWORK
from orchestrator.ledger.schemas import SUMMARY_COLUMNS, SUMMARY_DTYPES
from orchestrator.report.records import EVERYONE
from orchestrator.statistics.intervals import Interval
from orchestrator.statistics.scores import Exams

Row = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Who and what a row speaks of: everything but the numbers."""

    partition: str
    tracer: str
    endpoint: str
    inputs: str
    level: float
    model: str = NETWORK
    """Who predicts; of a difference between models `first-second`."""
    subgroup: str = EVERYONE
    estimand: str = ""
    """What its interval is for, by a key that `remarks` puts into a sentence; empty where the row has none."""
    patients: int | None = None
    exams: int | None = None
    positives: int | None = None
    negatives: int | None = None

    def counted(self, exams: Exams) -> "Group":
        """The group with the counts of its exams."""
        positives = int(exams.labels.sum())
        return replace(
            self,
            patients=exams.patient_count,
            exams=exams.labels.size,
            positives=positives,
            negatives=exams.labels.size - positives,
        )

    def row(self, metric: str, method: str, **values: object) -> Row:
        """A row of the summary; `values` are further columns by name."""
        identity: Row = {
            name: getattr(self, name) for name in SUMMARY_COLUMNS if name != "level" and hasattr(self, name)
        }
        return {
            **identity,
            "metric": metric,
            "method": method,
            "primary": False,
            "state": "ok",
            "reason": "",
            "family": "",
            **values,
        }

    def interval(self, metric: str, interval: Interval, **values: object) -> Row:
        """A row with an estimate and its interval."""
        limits: Row = {"estimate": interval.estimate, "low": interval.low, "high": interval.high}
        return self.row(metric, interval.method, **{**limits, "level": interval.level, **values})

    def refusal(self, metric: str, method: str, reason: str, **values: object) -> Row:
        """A row that says why there is no number."""
        return self.row(metric, method, **{**values, "state": "refused", "reason": reason})

    def attempt(self, metric: str, method: str, compute: Callable[[], Interval], **values: object) -> Row:
        """The interval that `compute` returns, or its refusal."""
        try:
            return self.interval(metric, compute(), **values)
        except StatisticsError as error:
            # A refused row keeps its place (`at`, `primary`) but no spread or reason of an estimate.
            kept = {name: value for name, value in values.items() if name in ("at", "primary")}
            return self.refusal(metric, method, "; ".join(error.problems), **kept)


def summary_frame(rows: list[Row]) -> pd.DataFrame:
    """The rows as a frame with exactly the summary's columns and types."""
    frame = pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
    texts = {name: "object" for name in SUMMARY_COLUMNS if name not in SUMMARY_DTYPES}
    return frame.astype({**texts, **SUMMARY_DTYPES}).astype(dict.fromkeys(texts, "str"))
