"""All figures that the tables of a run allow, in the order of the page."""

from collections.abc import Iterator, Sequence

import pandas as pd

from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.figures.attribution import attribution
from orchestrator.report.figures.drawing import Drawing, house_style, rendered
from orchestrator.report.figures.forest import forest
from orchestrator.report.figures.models import sides_of
from orchestrator.report.figures.roc import roc
from orchestrator.report.layout import PARTITION_NAMES, Record, grouped, numbered
from orchestrator.report.records import EVERYONE, ReportFigure, RunTables
from orchestrator.report.traced import Phrase, of_summary


def figures_of(tables: RunTables, summary: pd.DataFrame, settings: StatisticsSettings) -> tuple[ReportFigure, ...]:
    """Every figure; none pools tracers, and what means nothing for the run is left out.

    Args:
        tables: Of the run.
        summary: From `summarise`.
        settings: Level, margin and zone of equivalence.
    """
    # One look for all: drawn and saved with the same style.
    with house_style():
        return tuple(rendered(drawing) for drawing in _drawings(tables, summary, settings))


def _drawings(tables: RunTables, summary: pd.DataFrame, settings: StatisticsSettings) -> Iterator[Drawing]:
    rows = numbered(summary)
    judged = tables.of(tables.models[0])
    about = list(dict.fromkeys((str(row["tracer"]), str(row["endpoint"])) for row in rows))
    for tracer, endpoint in about:
        mine = [row for row in rows if row["tracer"] == tracer]
        question = settings.noninferiority
        margin = settings.equivalence if question is None else question.margin
        drawing = forest(tracer, endpoint, mine, margin, question is not None)
        if drawing is not None:
            yield drawing
        for sides in sides_of(judged, tracer):
            counted = _counted(mine, sides.inputs)
            yield roc(tracer, endpoint, sides, settings.level, counted)
        yield from attribution(tracer, endpoint, tables.attributions)


def _counted(rows: Sequence[Record], inputs: str) -> tuple[Phrase, ...]:
    """Patients (events) in each partition, for a caption."""
    leading = [
        row
        for row in rows
        if row["metric"] == "auc" and row["primary"] and row["subgroup"] == EVERYONE and row["state"] == "ok"
    ]
    parts: list[Phrase] = []
    for (partition,), found in grouped([row for row in leading if row["inputs"] == inputs], "partition"):
        text = f"{found[0]['patients']} patients ({found[0]['positives']} events)"
        parts += ["; " if parts else "", f"{PARTITION_NAMES.get(partition, partition)}: "]
        parts.append(of_summary(found[0], text, "patients", "positives"))
    return (*parts, ".") if parts else ()
