"""All figures that the tables of a run allow, in the order of the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.counts import is_told
from orchestrator.report.figures.attribution import attribution
from orchestrator.report.figures.calibration import calibration
from orchestrator.report.figures.decision_curve import decision_curve
from orchestrator.report.figures.depths import depths
from orchestrator.report.figures.drawing import Drawing, Place, house_style, rendered
from orchestrator.report.figures.forest import forest
from orchestrator.report.figures.hyperparameters import hyperparameters
from orchestrator.report.figures.importance import importance, importances
from orchestrator.report.figures.instability import instability
from orchestrator.report.figures.learning_curves import learning_curves
from orchestrator.report.figures.models import Sides, sides_of
from orchestrator.report.figures.roc import roc
from orchestrator.report.figures.subgroups import subgroups
from orchestrator.report.layout import Record, numbered
from orchestrator.report.probabilities import probabilities_of
from orchestrator.report.records import EVERYONE, ReportFigure, RunTables
from orchestrator.report.traced import Phrase, of_summary


def figures_of(
    tables: RunTables, summary: pd.DataFrame, settings: StatisticsSettings, *, manuscript: bool = False
) -> tuple[ReportFigure, ...]:
    """Every figure; none pools tracers, and what means nothing for the run is left out.

    Args:
        tables: Of the run.
        summary: From `summarise`.
        settings: Level, margin and zone of equivalence.
        manuscript: Whether they are PDF as well.
    """
    # One look for all: drawn and saved with the same style.
    with house_style():
        return tuple(rendered(drawing, manuscript=manuscript) for drawing in _drawings(tables, summary, settings))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tracer:
    """What the figures of one tracer are made from."""

    name: str
    endpoint: str
    rows: Sequence[Record]
    sides: Sequence[Sides]
    level: float
    calibrated: bool

    def place(self, partition: str, inputs: str) -> Place:
        counted = _counted(self.rows, partition, inputs)
        return Place(tracer=self.name, endpoint=self.endpoint, partition=partition, inputs=inputs, counted=counted)


def _drawings(tables: RunTables, summary: pd.DataFrame, settings: StatisticsSettings) -> Iterator[Drawing]:
    rows = numbered(summary)
    judged = tables.of(tables.models[0])
    tracers = [
        _Tracer(
            name=tracer,
            endpoint=endpoint,
            rows=[row for row in rows if row["tracer"] == tracer],
            sides=sides_of(judged, tracer),
            level=settings.level,
            calibrated=tables.calibrated,
        )
        for tracer, endpoint in dict.fromkeys((str(row["tracer"]), str(row["endpoint"])) for row in rows)
    ]
    question = settings.noninferiority
    margin = settings.equivalence if question is None else question.margin
    pair = "" if question is None else question.pair
    yield from _there(forest(one.name, one.endpoint, one.rows, margin, pair) for one in tracers)
    # Section by section, so that the panels of a section and tracer stand together.
    for one in tracers:
        yield from _there(
            roc(one.place("development", sides.inputs), one.place("test", sides.inputs), sides, one.level)
            for sides in one.sides
        )
    for one in tracers:
        yield from _of_probabilities(one)
    yield from _there(subgroups(one.name, one.endpoint, one.rows) for one in tracers)
    for one in tracers:
        yield from attribution(one.name, one.endpoint, tables.attributions)
    for one in tracers:
        yield from _there(
            instability(one.place("development", sides.inputs), sides.development)
            for sides in one.sides
            if sides.development is not None
        )
    yield from _of_search(tables)


def _of_probabilities(one: _Tracer) -> Iterator[Drawing]:
    """Calibration and decision curves, cross-validation before test."""
    for partition in ("development", "test"):
        for sides in one.sides:
            model = sides.development if partition == "development" else sides.test
            found = None if model is None else probabilities_of(model, one.calibrated, sides.development)
            if found is not None:
                yield calibration(one.place(partition, sides.inputs), found, one.level)
                yield decision_curve(one.place(partition, sides.inputs), found, one.level)


def _of_search(tables: RunTables) -> Iterator[Drawing]:
    yield from learning_curves(tables.cells, tables.epochs, tables.inputs)
    yield from hyperparameters(tables.candidates, tables.inputs, tables.search.objective)
    yield from _there(
        [importance(importances(tables.candidates, tables.inputs, tables.space, tables.search.objective))]
    )
    yield from depths(tables.cells, tables.inputs)


def _there(drawings: Iterator[Drawing | None] | Sequence[Drawing | None]) -> Iterator[Drawing]:
    return (drawing for drawing in drawings if drawing is not None)


def _counted(rows: Sequence[Record], partition: str, inputs: str) -> tuple[Phrase, ...]:
    """Patients (events) of a partition, for a caption; empty where there is no AUC."""
    found = [
        row
        for row in rows
        if row["metric"] == "auc" and row["primary"] and row["subgroup"] == EVERYONE and is_told(row)
    ]
    found = [row for row in found if row["partition"] == partition and row["inputs"] == inputs]
    if not found:
        return ()
    text = f"{found[0]['patients']} patients ({found[0]['positives']} events)"
    return (of_summary(found[0], text, "patients", "positives"), ".")
