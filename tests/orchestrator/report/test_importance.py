"""The importances of hyperparameters: what decided the objective has them, and few candidates have none."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.figures.importance import importance, importances
from orchestrator.report.figures.of_run import figures_of
from orchestrator.report.records import RunTables
from orchestrator.report.summary import summarise
from search_spaces.stored import StoredParameter

SPACE = (
    StoredParameter(name="head_learning_rate", distribution=FloatDistribution(1e-4, 1e-1, log=True), when=None),
    StoredParameter(name="freeze_depth", distribution=IntDistribution(0, 4), when=None),
)


def searched(cells: int) -> pd.DataFrame:
    """Five candidates a cell: the learning rate decides, the depth does nothing, and cells differ by far more."""
    generator = np.random.default_rng(4)
    rows = pd.DataFrame(
        {"repeat": np.repeat(np.arange(cells), 5), "fold": 0, "candidate": np.tile(np.arange(5), cells)}
    )
    rows["hp_head_learning_rate"] = 10 ** generator.uniform(-4, -1, len(rows))
    rows["hp_freeze_depth"] = generator.integers(0, 5, len(rows))
    from_optimum = np.log10(rows["hp_head_learning_rate"]) + 2.5
    rows["objective"] = 5.0 * rows["repeat"] + from_optimum**2 + 0.01 * generator.normal(size=len(rows))
    return rows.assign(inputs="stress", partition="development", state="complete", epochs=3, error="")


@pytest.mark.parametrize("cells", [40, 100])
def test_what_decides_the_objective_is_what_is_important(cells: int) -> None:
    """The learning rate explains nearly everything; that cells differ explains nothing; the shares sum up to one."""
    found = importances(searched(cells), ["stress", "rest"], SPACE, "balanced_log_loss")
    shares = found.set_index("hyperparameter")["importance"]

    assert set(found["inputs"]) == {"stress"}
    assert shares["head_learning_rate"] > 0.9
    assert shares.sum() == pytest.approx(1)
    assert set(found["candidates"]) == {200}


def test_pruned_candidates_and_small_searches_say_nothing() -> None:
    """Twenty-nine complete candidates, or one hyperparameter, have no importances and no figure."""
    rows = searched(6)
    rows.loc[rows.index[29:], "state"] = "pruned"
    assert importances(rows, ["stress"], SPACE, "balanced_log_loss").empty
    assert importances(searched(40), ["stress"], SPACE[:1], "balanced_log_loss").empty
    assert importance(importances(rows, ["stress"], SPACE, "balanced_log_loss")) is None


def test_the_page_has_the_figure_and_its_numbers(finished_run: RunTables) -> None:
    """A run that has searched enough shows the importances; the CSV beside the figure holds what is drawn."""
    tables = replace(finished_run, candidates=searched(40), space=SPACE)
    tables = replace(tables, predictions=tables.predictions[tables.predictions["tracer"] == "Tc-99m"])
    settings = StatisticsSettings()
    figures = {one.key: one for one in figures_of(tables, summarise(tables, settings), settings)}
    figure = figures["importance"]
    drawn = pd.read_csv(io.StringIO(figure.csv))

    assert figure.section == "search"
    assert "head learning rate: 0.9" in figure.description or "head learning rate: 1.0" in figure.description
    assert drawn.set_index("hyperparameter")["importance"].sum() == pytest.approx(1, abs=1e-6)
