"""The exams that cross-validation decides wrongly most often, over repeats and input configurations."""

import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.report.map_words import maps_in_words
from orchestrator.report.models import CrossValidated
from orchestrator.report.records import RunTables
from orchestrator.statistics.variance import Stability

_PER_TRACER = 8
_FEWEST_REPEATS = 2


def hardest_over_inputs(tables: RunTables, maps: pd.DataFrame | None, count: int = _PER_TRACER) -> pd.DataFrame:
    """The hardest exams of each tracer, by manifest row, never by patient.

    Args:
        tables: With the predictions of one model.
        maps: Segment means in the order of `tables.exams`; None where they are not known.
        count: Of exams of a tracer.

    Returns:
        `tracer, manifest_row, error` (missed, or false alarm)`, wrong` (the share over all repeats and input
        configurations)`, wrong_<inputs>, map` (in words); empty with one repeat, whose shares would be 0 or 1.
    """
    parts = [_shares(rows) for _, rows in _groups(tables)]
    found = [part for part in parts if part is not None]
    if not found:
        return pd.DataFrame()
    shares = pd.concat(found).pivot(index=["tracer", "exam_id"], columns="inputs", values="wrong")
    exams = tables.exams.assign(map="" if maps is None else maps_in_words(maps, tables.exams))
    exams = exams.set_index(exams["exam_id"].astype(str))
    wide = shares.assign(wrong=shares.mean(axis=1)).reset_index()
    known = exams.loc[wide["exam_id"]]
    wide = wide.assign(
        # Predictions made elsewhere have no manifest.
        manifest_row=known["manifest_row"].to_numpy(),
        error=["missed" if label == 1 else "false alarm" for label in known["label"]],
        map=known["map"].to_numpy(),
    )
    worst = wide[wide["wrong"] > 0].sort_values(["tracer", "wrong", "manifest_row"], ascending=[True, False, True])
    inputs = [name for name in tables.inputs if name in worst]
    chosen = worst.groupby("tracer", sort=False).head(count)[
        ["tracer", "manifest_row", "error", "wrong", *inputs, "map"]
    ]
    return chosen.rename(columns={name: f"wrong_{name}" for name in inputs}).reset_index(drop=True)


def _groups(tables: RunTables) -> list[tuple[object, pd.DataFrame]]:
    rows = tables.predictions[tables.predictions["partition"] == "development"]
    return list(rows.groupby(["tracer", "inputs"], sort=False))


def _shares(rows: pd.DataFrame) -> pd.DataFrame | None:
    """The share of repeats that decide each exam wrongly; None with one repeat or without decisions."""
    if rows["repeat"].nunique() < _FEWEST_REPEATS:
        return None
    try:
        model = CrossValidated.of(rows)
    except StatisticsError:
        return None
    if model.positive is None:
        return None
    stability = Stability.of(model.scores, model.probabilities, model.positive)
    first = rows.iloc[0]
    return pd.DataFrame(
        {"tracer": first["tracer"], "inputs": first["inputs"], "exam_id": model.exam_ids, "wrong": stability.wrong}
    )
