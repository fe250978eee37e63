"""Two runs with one plan compared, and a run against its permuted siblings."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mpi_model.errors import StatisticsError
from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.compare import _compare_runs, _ComparedRun
from orchestrator.report.export import export
from orchestrator.report.permutation import permutation_rows
from orchestrator.report.records import Report, RunTables

SETTINGS = StatisticsSettings()


def run(name: str, tables: RunTables, **changes: str) -> _ComparedRun:
    """A run of one plan under a name."""
    return _ComparedRun(name=name, tables=tables, **{"plan_hash": "a1", **changes})


@pytest.fixture(scope="session")
def weaker(closed_run: RunTables) -> RunTables:
    """The same run with scores drowned in noise."""
    noise = np.random.default_rng(2).normal(size=len(closed_run.predictions))
    return replace(
        closed_run, predictions=closed_run.predictions.assign(score=closed_run.predictions["score"] + 1.5 * noise)
    )


def test_the_better_run_is_found_per_tracer_and_inputs(closed_run: RunTables, weaker: RunTables) -> None:
    """First minus second for each inputs, named after both runs; all six pairs count for Holm, gated ones too."""
    found = _compare_runs(run("tracer", closed_run), run("shared", weaker), SETTINGS)
    pairs = found[found["primary"]]

    assert set(pairs["inputs"]) == {f"{name} (tracer − shared)" for name in ("stress", "rest", "dual")}
    assert len(pairs) == 6
    assert (pairs["estimate"].dropna() > 0).all()
    smallest = pairs.loc[pairs["p"].idxmin()]
    assert smallest["p_holm"] == pytest.approx(6 * smallest["p"])
    assert "tracer − shared" in export(Report(name="heads", summary=found), "markdown")


def test_comparing_turned_round_changes_the_sign(closed_run: RunTables, weaker: RunTables) -> None:
    """A − B is minus B − A, with the same p-values."""
    one, other = (
        _compare_runs(run("a", first), run("b", second), SETTINGS).query("metric == 'auc_difference'")
        for first, second in ((closed_run, weaker), (weaker, closed_run))
    )

    assert one["estimate"].to_numpy() == pytest.approx(-other["estimate"].to_numpy(), nan_ok=True)
    assert one["p"].to_numpy() == pytest.approx(other["p"].to_numpy(), nan_ok=True)


def test_runs_that_cannot_be_paired_are_refused_with_every_reason(closed_run: RunTables) -> None:
    """Other plans, other seeds, other patients: all reasons in one error, none of them a number."""
    other = replace(closed_run, patients="available", inputs=("another",))

    with pytest.raises(StatisticsError) as caught:
        _compare_runs(run("a", closed_run), run("b", other, plan_hash="b2"), SETTINGS)
    text = str(caught.value)
    assert all(part in text for part in ("different fold plans", "available", "share no input"))


def test_an_unfinished_side_is_refused_in_a_row(closed_run: RunTables) -> None:
    """A run with missing cells is not compared on what it has; the row names the run."""
    stopped = replace(closed_run, cells=closed_run.cells[closed_run.cells["inputs"] != "rest"])
    found = _compare_runs(run("whole", closed_run), run("stopped", stopped), SETTINGS)
    row = found[found["inputs"].str.startswith("rest")].iloc[0]

    assert row["state"] == "refused"
    assert row["reason"].startswith("stopped: 12 of 12 cells")


def test_the_permutation_p_value_counts_runs_and_failures(summary: pd.DataFrame) -> None:
    """The observed run counts as one that reached itself, and so does a sibling that was refused an AUC."""
    chance = summary.assign(estimate=0.5)
    failed = chance.assign(state="refused")
    found = permutation_rows(summary, [chance] * 18 + [failed])

    assert len(found) == 6
    assert found["p"].tolist() == pytest.approx([2 / 20] * 6)
    assert set(found["partition"]) == {"development"}
    with pytest.raises(StatisticsError, match="no permuted run"):
        permutation_rows(summary, [])
