"""A report over a run that lacks cells: refused, unless its whole repeats are asked for."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mpi_model.errors import IncompleteRunError
from orchestrator.cli import main
from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.build import _incomplete_inputs, _whole_repeats
from orchestrator.report.summary import summarise


def without(tables, inputs, repeat, fold):
    """The tables of a run in which one cell failed."""
    cells, rows = tables.cells, tables.predictions
    here = (cells["inputs"] == inputs) & (cells["repeat"] == repeat) & (cells["fold"] == fold)
    gone = (rows["inputs"] == inputs) & rows["repeat"].eq(repeat).fillna(False) & rows["fold"].eq(fold).fillna(False)
    return replace(tables, cells=cells.assign(state=np.where(here, "failed", "complete")), predictions=rows[~gone])


def test_the_repeats_of_a_failed_cell_are_left_out_for_every_inputs(finished_run):
    """One failed cell of `rest` in repeat 1: all inputs are averaged over repeats 0 and 2, and stay comparable."""
    tables, said = _whole_repeats(without(finished_run, "rest", 1, 2))
    summary = summarise(tables, StatisticsSettings())

    assert "2 of 3 repeats" in said
    everyone = summary[summary["primary"] & (summary["subgroup"] == "all")]
    assert (everyone.loc[everyone["metric"] == "auc", "state"] == "ok").all()
    rows = finished_run.predictions
    for (tracer, inputs), mine in rows[rows["repeat"].isin([0, 2])].groupby(["tracer", "inputs"]):
        areas = [roc_auc_score(cell["label"], cell["score"]) for _, cell in mine.groupby(["repeat", "fold"])]
        led = summary[(summary["metric"] == "auc") & summary["primary"] & (summary["partition"] == "development")]
        (found,) = led[(led["tracer"] == tracer) & (led["inputs"] == inputs) & (led["subgroup"] == "all")].itertuples()
        assert found.estimate == pytest.approx(np.mean(areas), abs=1e-12)


def test_test_predictions_do_not_depend_on_repeats(finished_run):
    """The test partition's rows, which have no repeat, are all kept."""
    tables, _ = _whole_repeats(without(finished_run, "rest", 1, 2))

    assert tables.predictions["repeat"].isna().sum() == finished_run.predictions["repeat"].isna().sum() > 0


def test_nothing_is_averaged_where_no_repeat_is_whole(finished_run):
    """A failed cell in every repeat leaves nothing: an error with the remedy, not an empty table."""
    tables = finished_run
    for repeat in range(3):
        failed = without(finished_run, "stress", repeat, 0)
        tables = replace(
            tables,
            cells=tables.cells.assign(state=tables.cells["state"].where(failed.cells["state"] == "complete", "failed")),
        )

    with pytest.raises(IncompleteRunError, match="none of 3 repeats"):
        _whole_repeats(tables)


def test_a_final_cell_that_failed_leaves_the_run_incomplete(finished_run):
    """Cross-validation may be whole and the final network missing: that, too, is said, and of its inputs alone."""
    final = finished_run.cells[finished_run.cells["inputs"] == "dual"].head(1)
    failed = final.assign(partition="test", repeat=None, fold=None, state="failed")

    assert _incomplete_inputs(finished_run) == ()
    assert _incomplete_inputs(
        replace(finished_run, cells=pd.concat([finished_run.cells.astype(object), failed.astype(object)]))
    ) == ("dual",)


def test_the_report_of_an_incomplete_run_ends_with_4(mine, folder_of, capsys):
    """`polarmap report` prints what there is, says that averages are refused and what to do, and exits with 4."""
    assert main(["report", str(folder_of(mine)), "--format", "json"]) == 0
    capsys.readouterr()
    shutil.rmtree(next((folder_of(mine) / "cells").glob("stress-r00-f0")))
    (folder_of(mine) / "report" / "summary.parquet").unlink()  # as a run does before it goes on

    assert main(["report", str(folder_of(mine)), "--format", "json"]) == 4
    told = capsys.readouterr()
    states = {row["state"] for row in json.loads(told.out)["summary"] if row["inputs"] == "stress"}
    assert "refused" in states
    assert "--incomplete" in told.err
    assert main(["report", str(folder_of(mine)), "--incomplete"]) == 4
    assert "none of 1 repeats" in capsys.readouterr().err
