"""Prevalence by site, sex and tracer, and how well such metadata alone tell the label; development partition only."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.report.layout import Table, TablesWithWarnings
from orchestrator.statistics.auc import auc_intervals
from orchestrator.statistics.intervals import Interval
from orchestrator.statistics.metadata_auc import metadata_auc
from orchestrator.statistics.patient_means import PatientMean
from orchestrator.statistics.proportions import wilson_interval
from orchestrator.statistics.scores import Exams, PatientScores

_ALL: Final = "all"
_BLANK: Final = "(blank)"
_MOST_VALUES: Final = 12
"""Values of a column whose prevalences are listed; the AUC counts all of them."""
_NOTE: Final = (
    "Each exam is scored by the share of positive exams of its value, without the two patients that are compared "
    "(leave-pair-out; scores that leave one out are biased below 0.5). A network that reads the value from the image "
    "would reach this AUC without looking at the heart."
)


def metadata(exams: pd.DataFrame, columns: Sequence[str], level: float) -> TablesWithWarnings:
    """Prevalences, and AUCs of metadata alone.

    Args:
        exams: The eligible exams of the development partition, as in `Cohort.exams`.
        columns: Columns of categories, such as `site`; a numeric `age` in `exams` is judged by itself.
        level: Confidence level.
    """
    shares, areas, warnings = [], [], []
    for tracer, names, rows in _groups(exams, columns):
        column = " and ".join(names)
        values = rows[names].fillna(_BLANK).astype(str).agg(", ".join, axis=1)
        if len(names) == 1:
            for value in sorted(values.unique())[:_MOST_VALUES]:
                shares.append((tracer, column, value, *_prevalence(rows[values == value], level)))
        found = _told_by(values, rows, level)
        areas.append((tracer, column, str(values.nunique()), found if isinstance(found, str) else _in_words(found)))
        if not isinstance(found, str) and found.low > 0.5:
            warnings.append(_warning(tracer, column, found))
    areas += [(tracer, "age (older for positive)", "", text) for tracer, text in _ages(exams, level)]
    tables = (
        Table(
            title="Prevalence of the label in development",
            columns=("tracer", "by", "value", "patients", "exams", "positive", "prevalence"),
            rows=tuple(shares),
            note=f"Wilson intervals at the level {level:g}, clustered by patient.",
        ),
        Table(
            title="How well metadata alone tell the label in development",
            columns=("tracer", "metadata", "values", "AUC of metadata alone"),
            rows=tuple(areas),
            note=_NOTE,
        ),
    )
    return TablesWithWarnings(tables=tuple(table for table in tables if table.rows), warnings=tuple(warnings))


def _groups(exams: pd.DataFrame, columns: Sequence[str]) -> Iterator[tuple[str, list[str], pd.DataFrame]]:
    """Tracer, columns, exams: the tracer over all exams, others within each tracer, one by one and all together."""
    if exams["tracer"].nunique() > 1:
        # Across tracers only here: whether the tracer tells the label is a question about both.
        yield _ALL, ["tracer"], exams
    for tracer in sorted(exams["tracer"].unique()):
        mine = exams[exams["tracer"] == tracer]
        varying = [name for name in columns if mine[name].nunique(dropna=False) > 1]
        for column in varying:
            yield str(tracer), [column], mine
        if len(varying) > 1:
            yield str(tracer), varying, mine


def _prevalence(exams: pd.DataFrame, level: float) -> tuple[str, str, str, str]:
    _, patients = np.unique(exams["patient_id"].astype(str), return_inverse=True)
    positive = exams["label"].to_numpy(np.float64)
    data = PatientMean(
        sums=np.bincount(patients, positive).astype(np.float64), counts=np.bincount(patients).astype(np.float64)
    )
    found = wilson_interval(data, level)
    share = f"{found.estimate:.0%} ({found.low:.0%} to {found.high:.0%})"
    return str(data.patient_count), str(len(exams)), str(int(positive.sum())), share


def _told_by(values: "pd.Series[str]", exams: pd.DataFrame, level: float) -> Interval | str:
    """The AUC of a column, or why there is none."""
    try:
        judged = Exams.of(exams["label"].to_numpy(), exams["patient_id"].astype(str).to_numpy())
        return metadata_auc(pd.factorize(values, sort=True)[0].astype(np.int64), judged, level)
    except StatisticsError as error:
        return "; ".join(error.problems)


def _ages(exams: pd.DataFrame, level: float) -> Iterator[tuple[str, str]]:
    """The AUC of age itself, which nothing has to be learned for."""
    if "age" not in exams:
        return
    ages = pd.to_numeric(exams["age"], errors="coerce")
    for tracer in sorted(exams["tracer"].unique()):
        mine = exams[(exams["tracer"] == tracer) & ages.notna()]
        if not len(mine):
            continue
        try:
            judged = Exams.of(mine["label"].to_numpy(), mine["patient_id"].astype(str).to_numpy())
            scores = PatientScores(exams=judged, scores=ages[mine.index].to_numpy(np.float64))
            yield str(tracer), _in_words(auc_intervals(scores, level)[0])
        except StatisticsError as error:
            yield str(tracer), "; ".join(error.problems)


def _in_words(found: Interval) -> str:
    # Where shares are more alike than chance makes them, the value is an artefact of leaving patients out.
    if found.high < 0.5:
        return "below 0.5: it tells nothing"
    return f"{found.estimate:.3f} ({found.low:.3f} to {found.high:.3f})"


def _warning(tracer: str, column: str, found: Interval) -> str:
    who = "The tracer" if column == "tracer" else f"{tracer}: {column}"
    return (
        f"{who} alone tells the label with an AUC of {_in_words(found)}: a network that recognises it in the image "
        "seems to read the heart"
    )
