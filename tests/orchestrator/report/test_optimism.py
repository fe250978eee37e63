"""The optimism meter: what the search saw, beside what its outer folds say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.records import RunTables
from orchestrator.report.summary import summarise

CANDIDATES = 20
KEYS = ["inputs", "repeat", "fold", "candidate", "inner_fold", "epoch"]


@pytest.fixture(scope="module")
def searched(closed_run: RunTables) -> RunTables:
    """A run without any signal whose cells chose, each, the best of twenty candidates on two inner folds."""
    generator = np.random.default_rng(7)
    rows = []
    chosen = {}
    for cell in closed_run.cells.itertuples():
        areas = 0.5 + 0.08 * generator.normal(size=(CANDIDATES, 2, 3))
        best_epoch = areas.argmax(axis=2)
        chosen[cell.Index] = int(areas.max(axis=2).mean(axis=1).argmax())
        for candidate, fold, epoch in np.ndindex(areas.shape):
            value = areas[candidate, fold, epoch]
            loss = 0.0 if best_epoch[candidate, fold] == epoch else 1.0
            rows.append((cell.inputs, cell.repeat, cell.fold, candidate, fold, epoch + 1, loss, value))
    epochs = pd.DataFrame(rows, columns=[*KEYS, "validation_loss", "validation_auc"])
    noise = generator.normal(size=len(closed_run.predictions))
    predictions = closed_run.predictions.assign(score=noise, probability=expit(noise))
    cells = closed_run.cells.assign(candidate=pd.Series(chosen))
    return replace(closed_run, epochs=epochs, cells=cells, predictions=predictions, budget="best_epoch")


def test_without_signal_the_search_sees_some_and_the_nested_estimate_none(searched: RunTables) -> None:
    """Permuted labels, in effect: the best of twenty looks better than chance, the nested interval holds .5."""
    summary = summarise(searched, StatisticsSettings(subgroups=()))
    nested = summary[(summary["metric"] == "auc") & summary["primary"]].reset_index(drop=True)
    seen = summary[summary["metric"] == "auc_of_search"].reset_index(drop=True)
    optimism = summary[summary["metric"] == "optimism"].reset_index(drop=True)

    assert (seen["estimate"] > 0.58).all()
    assert ((nested["low"] < 0.5) & (nested["high"] > 0.5)).all()
    over_tracers = nested.groupby("inputs")["estimate"].transform("mean")
    assert optimism["estimate"].to_numpy() == pytest.approx((seen["estimate"] - over_tracers).to_numpy())


def test_a_harder_tracer_is_no_pessimism(searched: RunTables) -> None:
    """A search that saw what its folds found has no optimism, though one tracer is far easier than the other."""
    rows = searched.predictions
    easy = rows["score"] + np.where(rows["tracer"] == "Tc-99m", 6.0, 1.0) * (rows["label"] - 0.5)
    run = replace(searched, predictions=rows.assign(score=easy))
    areas = summarise(run, StatisticsSettings(subgroups=())).query("metric == 'auc' and primary")
    both = areas.groupby("inputs")["estimate"].mean()
    epochs = searched.epochs.assign(validation_auc=searched.epochs["inputs"].map(both))
    summary = summarise(replace(run, epochs=epochs), StatisticsSettings(subgroups=()))

    assert np.ptp(areas.groupby("tracer")["estimate"].mean()) > 0.2
    assert summary.loc[summary["metric"] == "optimism", "estimate"].to_numpy() == pytest.approx(np.zeros(6), abs=1e-12)


def test_the_search_is_read_at_the_epoch_that_it_kept(searched: RunTables) -> None:
    """The chosen candidate's AUC at its epoch of lowest loss, averaged over inner folds, then cells: by hand."""
    mine = searched.cells[searched.cells["inputs"] == "dual"]
    cell_values = []
    for repeat, fold, candidate in mine[["repeat", "fold", "candidate"]].itertuples(index=False):
        rows = searched.epochs[(searched.epochs["inputs"] == "dual") & (searched.epochs["candidate"] == candidate)]
        rows = rows[(rows["repeat"] == repeat) & (rows["fold"] == fold)].sort_values("validation_loss")
        cell_values.append(np.mean([one["validation_auc"].iloc[0] for _, one in rows.groupby("inner_fold")]))
    summary = summarise(searched, StatisticsSettings(subgroups=()))
    seen = summary[(summary["metric"] == "auc_of_search") & (summary["inputs"] == "dual")]["estimate"]

    assert seen.to_numpy() == pytest.approx([np.mean(cell_values)] * 2)


def test_with_a_whole_schedule_the_last_epoch_is_read(searched: RunTables) -> None:
    """Where every training runs to its end its last epoch judged it; the best one would be picked by the same exams."""
    summary = summarise(replace(searched, budget="schedule"), StatisticsSettings(subgroups=()))
    seen = summary[summary["metric"] == "auc_of_search"]["estimate"]
    chosen = searched.cells[["inputs", "repeat", "fold", "candidate"]]
    last = searched.epochs[searched.epochs["epoch"] == 3].merge(chosen)

    assert seen.to_numpy() == pytest.approx(np.tile(last.groupby("inputs", sort=False)["validation_auc"].mean(), 2))


def test_predictions_made_elsewhere_have_no_search(closed_run: RunTables) -> None:
    """Without a table of epochs nothing is said about a search."""
    metrics = set(summarise(closed_run, StatisticsSettings(subgroups=()))["metric"])

    assert not metrics & {"auc_of_search", "optimism"}
