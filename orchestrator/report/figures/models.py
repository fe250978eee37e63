"""The predictions of one tracer as the models that figures draw."""

from dataclasses import dataclass

import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.report.models import CrossValidated, JudgedModel, Tested
from orchestrator.report.records import RunTables
from orchestrator.report.summary import arranged


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sides:
    """One input configuration in cross-validation and in the test partition."""

    inputs: str
    development: CrossValidated | None
    """None where there is no complete cross-validation, or its folds are sites."""
    test: Tested | None


def sides_of(tables: RunTables, tracer: str) -> list[Sides]:
    """The judged model in every input configuration that has an estimate, in the experiment's order.

    Args:
        tables: With the predictions of one model.
        tracer: Figures never pool tracers.
    """
    chosen = tables.predictions[tables.predictions["tracer"] == tracer]
    found = []
    for inputs in tables.inputs:
        mine = chosen[chosen["inputs"] == inputs]
        development, test = (_arranged(tables, partition, inputs, mine) for partition in ("development", "test"))
        if development is None and test is None:
            continue
        assert development is None or isinstance(development, CrossValidated)
        assert test is None or isinstance(test, Tested)
        found.append(Sides(inputs=inputs, development=development, test=test))
    return found


def _arranged(tables: RunTables, partition: str, inputs: str, predictions: pd.DataFrame) -> JudgedModel | None:
    mine = predictions[predictions["partition"] == partition]
    # Sites are not folds of one population: their curves are not averaged.
    if mine.empty or (partition == "development" and tables.by == "site"):
        return None
    try:
        return arranged(tables, partition, inputs, mine)[0]
    except StatisticsError:
        return None
