"""A network beside its baseline: one more model in the summary, and never mixed with the first."""

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.special import expit

from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.evaluate import _evaluate_predictions
from orchestrator.report.figures.of_run import figures_of
from orchestrator.report.models import hardest_exams
from orchestrator.report.permutation import permutation_rows
from orchestrator.report.records import Report, RunTables
from orchestrator.report.summary import summarise
from orchestrator.report.summary_tables import summary_tables
from orchestrator.terminal.tables import _render

SETTINGS = StatisticsSettings()
DIFFERENCE = ["metric", "method", "estimate", "low", "high", "sd", "p", "patients", "positives", "state", "at"]


@pytest.fixture(scope="module")
def segments(finished_run: RunTables) -> pd.DataFrame:
    """The baseline's predictions for the same exams: noisier scores."""
    rows = finished_run.predictions
    score = rows["score"] + np.random.default_rng(8).normal(size=len(rows))
    return rows.assign(model="segments", member=0, score=score, probability=expit(score))


@pytest.fixture(scope="module")
def both(finished_run: RunTables, segments: pd.DataFrame) -> RunTables:
    """The finished run with its baseline."""
    return replace(finished_run, predictions=pd.concat([finished_run.predictions, segments], ignore_index=True))


@pytest.fixture(scope="module")
def compared(both: RunTables) -> pd.DataFrame:
    """Its summary."""
    return summarise(both, SETTINGS)


def test_no_number_of_the_network_changes_beside_a_baseline(summary: pd.DataFrame, compared: pd.DataFrame) -> None:
    """The rows of the network are those of a run without a baseline, Holm's p-values and refusals included."""
    mine = compared[compared["model"] == "network"].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, summary)


def test_the_rows_of_the_baseline_are_those_of_a_run_of_its_own(
    finished_run: RunTables, segments: pd.DataFrame, compared: pd.DataFrame
) -> None:
    """Judged alone, the baseline has the same estimates, thresholds of the development exams included."""
    alone = summarise(replace(finished_run, predictions=segments), replace(SETTINGS, subgroups=()))
    alone = alone[~alone["inputs"].str.contains("-")].reset_index(drop=True)
    pd.testing.assert_frame_equal(compared[compared["model"] == "segments"].reset_index(drop=True), alone)
    assert set(alone["partition"]) == {"development", "test"}


@pytest.mark.parametrize("inputs", ["stress", "rest", "dual"])
def test_a_difference_is_that_of_two_input_configurations(
    finished_run: RunTables, segments: pd.DataFrame, compared: pd.DataFrame, inputs: str
) -> None:
    """Network minus segments equals what a run says whose second input configuration has the baseline's predictions."""
    rows = finished_run.predictions[finished_run.predictions["inputs"] == inputs]
    theirs = segments[segments["inputs"] == inputs].assign(inputs="other", model="network")
    cells = finished_run.cells[finished_run.cells["inputs"] == inputs]
    pair = replace(
        finished_run,
        predictions=pd.concat([rows, theirs], ignore_index=True),
        cells=pd.concat([cells, cells.assign(inputs="other")]),
        inputs=(inputs, "other"),
    )
    oracle = summarise(pair, SETTINGS).query("inputs == @inputs + '-other'")
    found = compared.query("inputs == @inputs and model == 'network-segments'")

    assert len(found) > 0
    pd.testing.assert_frame_equal(found[DIFFERENCE].reset_index(drop=True), oracle[DIFFERENCE].reset_index(drop=True))


def test_holm_adjusts_the_questions_about_the_baseline_among_themselves(compared: pd.DataFrame) -> None:
    """Six differences from the baseline (three inputs, two tracers) are one family in a partition."""
    leading = compared.query("metric == 'auc_difference' and primary and model == 'network-segments'")
    for _, family in leading.groupby("partition"):
        assert len(family) == 6
        assert family["p_holm"].min() == pytest.approx(min(6 * family["p"].min(), 1))
        assert set(family["family"]) == {
            "against the baseline (network-segments), Holm over 6 comparisons (2 tracers)"
        }  # fmt: skip


def test_available_patients_still_allow_the_difference_from_the_baseline(
    both: RunTables, compared: pd.DataFrame
) -> None:
    """Where input configurations were judged on other exams, network and baseline of one were judged on the same."""
    found = summarise(replace(both, patients="available"), SETTINGS).query("metric == 'auc_difference' and primary")
    found = found[found["subgroup"] == "all"]
    assert set(found.loc[found["model"] == "network", "state"]) == {"refused"}
    against, common = (
        rows.query("model == 'network-segments' and metric == 'auc_difference' and primary").reset_index(drop=True)
        for rows in (found, compared)
    )
    assert "ok" in set(against["state"])
    pd.testing.assert_frame_equal(against, common)


def test_what_is_remarked_on_both_models_is_said_once(compared: pd.DataFrame) -> None:
    """The baseline's table does not repeat the network's remarks; what differs between inputs names them."""
    tables = {table.title: str(table.note) for table in summary_tables(compared)}
    about = "Tc-99m, abnormal perfusion: cross-validation"
    rows = compared.query("tracer == 'Tc-99m' and partition == 'development' and subgroup == 'all'")
    rows = rows[(rows["reason"] != "") & (rows["state"] == "ok")]
    network, baseline = (rows[rows["model"] == model] for model in ("network", "segments"))
    both = set(zip(network["metric"], network["reason"], strict=True)) & set(
        zip(baseline["metric"], baseline["reason"], strict=True)
    )

    assert both
    for _, reason in both:
        assert reason in tables[about]
        assert reason not in tables[f"{about}, segments"]
    areas = network[network["metric"] == "auc"].drop_duplicates("reason")
    for reason, inputs in zip(areas["reason"], areas["inputs"], strict=True):
        assert f"AUC{f' of {inputs}' if len(areas) > 1 else ''}" in tables[about].split(reason)[0]


@pytest.mark.thorough
def test_tables_show_the_baseline_apart(compared: pd.DataFrame, both: RunTables) -> None:
    """The overview has one AUC line more a partition, differences name both models, each model has its own table."""
    tables = {table.title: table for table in summary_tables(compared)}
    overview = tables["Tc-99m, abnormal perfusion: overview"]
    lines = [str(row[0]) for row in overview.rows]
    assert [line for line in lines if "segments" in line] == ["CV AUC, segments", "test AUC, segments"]
    assert "logistic regression on the 17 segment means" in str(overview.note)
    differences = [str(row[0]) for row in tables["Tc-99m, abnormal perfusion: differences"].rows]
    assert [line for line in differences if "stress: " in line] == [
        "CV stress: network-segments",
        "test stress: network-segments",
    ]
    own = tables["Tc-99m, abnormal perfusion: cross-validation, segments"].rows
    other = tables["Tc-99m, abnormal perfusion: cross-validation"].rows
    assert own != other
    keys = [
        [one.key for one in figures_of(some, compared, StatisticsSettings())] for some in (both, both.of("network"))
    ]
    assert keys[0] == keys[1]


def test_a_short_report_fits_eighty_columns(compared: pd.DataFrame) -> None:
    """Of the terminal's report no line is wider than 80 columns, and the differences from the baseline are in it."""
    console = Console(file=io.StringIO(), width=80)
    _render(Report(name="run", summary=compared), "rich", console, full=False)
    lines = console.file.getvalue().splitlines()
    assert "network-segments" in console.file.getvalue()
    assert max(map(len, lines)) <= 80


def test_a_permuted_run_counts_for_its_own_model(compared: pd.DataFrame) -> None:
    """The permutation p-value of each model compares it with the same model on permuted labels."""
    weaker = compared.copy()
    weaker.loc[weaker["model"] == "segments", "estimate"] = 0.99
    weaker.loc[weaker["model"] == "network", "estimate"] = 0.5
    found = permutation_rows(compared, [weaker] * 3).set_index(["model", "inputs", "tracer"])["p"]
    assert set(found["network"]) == {0.25}
    assert set(found["segments"]) == {1.0}


def test_hard_exams_and_predictions_made_elsewhere_keep_models_apart(both: RunTables, compared: pd.DataFrame) -> None:
    """`evaluate` takes the column `model` and says what the run's report says; hard exams are the network's."""
    evaluated = _evaluate_predictions(both.predictions, replace(SETTINGS, subgroups=()))
    said, run = (
        rows[rows["metric"].str.startswith("auc") & (rows["subgroup"] == "all")].reset_index(drop=True)
        for rows in (evaluated, compared)
    )
    pd.testing.assert_frame_equal(said, run)
    assert len(hardest_exams(both.of("network"))) > 0
    assert len(hardest_exams(both)) == 0, "two models at once are refused, not averaged"
