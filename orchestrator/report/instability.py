"""`polarmap instability`: a table of exams, and its means as rows of a summary."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.cells.records import NETWORK
from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.rows import Group, Row, summary_frame
from orchestrator.statistics.instability import Instability
from orchestrator.statistics.members import Model
from orchestrator.statistics.scores import Exams, Flags

_INSTABILITY_COLUMNS = (
    *("inputs", "model", "tracer", "row", "probability", "low", "high"),
    *("error", "flips", "error_out_of_bag", "flips_out_of_bag"),
)
_OFTEN = 0.1
_METHOD = "bootstrap samples of patients"
_MEANT = "predictions compared with predictions for the same exams; no performance"


def instability_table(
    predictions: pd.DataFrame, exams: pd.DataFrame, drawn: dict[int, frozenset[str]], level: float
) -> pd.DataFrame:
    """The instability of every exam, by input configuration, model and tracer.

    Args:
        predictions: Of the partition `bootstrap`; a missing `repeat` is the original model.
        exams: The cohort, in the order of its rows; `row` in the table is a place in it.
        drawn: The patients of each sample.
        level: Of the central interval of predictions.

    Returns:
        A frame with `_INSTABILITY_COLUMNS`, no patient in it.

    Raises:
        StatisticsError: A model lacks the original, or has fewer than two samples.
    """
    places = pd.Series(np.arange(len(exams)), index=exams["exam_id"].astype(str))
    found = []
    for (inputs, model, tracer), rows in predictions.groupby(["inputs", "model", "tracer"], sort=False):
        table = _of_model(rows, drawn, level)
        table = table.assign(
            inputs=str(inputs), model=str(model), tracer=str(tracer), row=places[table.index].to_numpy()
        )
        found.append(table[list(_INSTABILITY_COLUMNS)])
    if not found:
        raise StatisticsError("instability: there are no predictions; every cell failed")
    return pd.concat(found, ignore_index=True)


def _of_model(rows: pd.DataFrame, drawn: dict[int, frozenset[str]], level: float) -> pd.DataFrame:
    """One input configuration, model and tracer; indexed by exam."""
    # 0 stands for the original, as samples are numbered from 1.
    grid = rows.assign(sample=rows["repeat"].fillna(0).astype(int), exam_id=rows["exam_id"].astype(str))
    samples = np.unique(grid["sample"])
    if samples[0] != 0 or len(samples) < 3:
        raise StatisticsError(
            "instability: the model of the whole development partition and two bootstrap samples are needed, but "
            f"{'it is missing' if samples[0] != 0 else f'there is {len(samples) - 1} sample'}: cells failed"
        )
    values = {
        name: grid.pivot_table(index=["member", "sample"], columns="exam_id", values=name).to_numpy()
        for name in ("score", "probability", "threshold")
    }
    shape = (grid["member"].nunique(), len(samples), -1)
    model = Model.of(*(values[name].reshape(shape) for name in ("score", "probability", "threshold")))
    owner = grid.drop_duplicates("exam_id").set_index("exam_id")["patient_id"].astype(str).sort_index()
    in_bag: Flags = np.array([owner.isin(drawn[number]).to_numpy() for number in samples[1:].tolist()])
    positive = model.positive
    split = (None, None) if positive is None else (positive[0], positive[1:])
    probabilities = model.probabilities
    found = Instability.of((probabilities[0], split[0]), (probabilities[1:], split[1]), in_bag, level)
    columns = {name: getattr(found, name) for name in _INSTABILITY_COLUMNS[5:]}
    return pd.DataFrame({"probability": probabilities[0], **columns}, index=owner.index)


def instability_rows(
    table: pd.DataFrame, exams: pd.DataFrame, samples: int, settings: StatisticsSettings
) -> pd.DataFrame:
    """The means of an instability table as a summary, the network before its baseline.

    Args:
        table: From `instability_table`.
        exams: The cohort, in the order of its rows.
        samples: How many were asked for.
        settings: The experiment's `[statistics]`.
    """
    rows: list[Row] = []
    for (tracer, inputs, model), mine in table.groupby(["tracer", "inputs", "model"], sort=False):
        chosen = exams.iloc[mine["row"].to_numpy()]
        group = Group(
            partition="bootstrap",
            tracer=str(tracer),
            endpoint=settings.endpoints.get(str(tracer), "label 1"),
            inputs=str(inputs),
            level=settings.level,
            model=str(model),
        ).counted(Exams.of(chosen["label"].to_numpy(), chosen["patient_id"].astype(str).to_numpy()))
        rows.extend(_rows(group, mine, f"{samples} {_METHOD}"))
    return summary_frame(sorted(rows, key=lambda row: row["model"] != NETWORK))


def _rows(group: Group, table: pd.DataFrame, method: str) -> Iterator[Row]:
    outside = f"{method}, those without the patient"
    yield group.row("prediction_instability", method, estimate=table["error"].mean(), primary=True, reason=_MEANT)
    yield group.row("prediction_instability", outside, estimate=table["error_out_of_bag"].mean())
    if table["flips"].isna().all():
        return
    often = float((table["flips"] > _OFTEN).mean())
    yield group.row("decision_instability", method, estimate=table["flips"].mean(), primary=True)
    yield group.row("decision_instability", outside, estimate=table["flips_out_of_bag"].mean())
    yield group.row("exams_with_unstable_decision", method, estimate=often, at=_OFTEN, primary=True)
