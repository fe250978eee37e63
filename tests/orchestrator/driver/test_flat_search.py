"""A flat search: candidates drawn beforehand, trained once for all cells of a repeat, chosen by each cell itself."""

import re
import shutil

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mpi_model.errors import ExperimentError
from orchestrator.cells.records import CellKey
from orchestrator.cells.tasks import cell_task, scoring_task, with_scores
from orchestrator.driver.explain import ExplainOptions, explain_run
from orchestrator.driver.instability import measure_instability
from orchestrator.driver.ledger_events import LedgerEvents
from orchestrator.driver.permute import permute_labels
from orchestrator.driver.prepare import prepare
from orchestrator.driver.rerun import rerun_cell
from orchestrator.driver.resume import RunOptions
from orchestrator.driver.run_plan import plan_experiment
from orchestrator.experiment.file import load_experiment
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.progress import NullProgress
from orchestrator.report.records import FLAT_SEARCH
from orchestrator.runners.inline import InlineRunner
from polarmap import open_run

FLAT = (
    *("search.scheme=flat", "folds.folds=3", 'cohort.inputs=["stress"]', "training.epochs=2", "search.winners=2"),
    *("statistics.baseline=none", "decision.calibration=none", "training.members=2", "search.objective=auc"),
    "decision.threshold=balanced_accuracy",
)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, make_tiny):
    """A tiny experiment in a folder of its own."""
    return make_tiny(tmp_path_factory.mktemp("flat"))


@pytest.fixture(scope="module")
def flat(experiment, run):
    """Its finished run with a flat search."""
    return run(experiment, *FLAT).paths


def test_every_candidate_is_trained_once_a_part_and_the_same_everywhere(flat, experiment):
    """Three parts of three candidates and four cells of two members, which is what the plan counted."""
    tables = open_run(flat.root)
    parts = tables.candidates[tables.candidates["partition"] == "search"]
    names = [name for name in parts.columns if name.startswith("hp_")]
    scored = tables.predictions[tables.predictions["partition"] == "search"].merge(
        tables.folds, on=["repeat", "patient_id"]
    )

    assert tables.cells.groupby("partition").size().to_dict() == {"development": 3, "search": 3, "test": 1}
    assert (parts.groupby("candidate")[names].nunique(dropna=False) == 1).all(axis=None)
    assert parts["hp_head_learning_rate"].nunique() == 3
    # A part scores the fold that it is named by, and the next one.
    assert set(((scored["fold_y"] - scored["fold_x"]) % 3).unique()) == {0, 1}
    trained = len(parts) + 2 * 4
    assert plan_experiment(load_experiment(experiment, FLAT), NullProgress()).trainings == trained


def test_a_cell_chooses_by_the_two_folds_that_its_patients_had_no_part_in(flat):
    """Objectives by hand: AUCs of the fold after, left out with this one, and of the fold before, left out with it."""
    tables = open_run(flat.root)
    scored = tables.predictions[tables.predictions["partition"] == "search"].merge(
        tables.folds, on=["repeat", "patient_id"]
    )
    judged = tables.candidates[tables.candidates["partition"] == "development"].set_index(["fold", "candidate"])[
        "objective"
    ]
    chosen = tables.cells[tables.cells["partition"] == "development"].set_index("fold")["candidate"]
    for fold in range(3):
        after, before = (fold + 1) % 3, (fold - 1) % 3
        expected = {}
        for candidate, mine in scored.groupby("member"):
            areas = [
                roc_auc_score(rows["label"], rows["score"])
                for part, own in ((fold, after), (before, before))
                for _, rows in mine[(mine["fold_x"] == part) & (mine["fold_y"] == own)].groupby("tracer")
            ]
            expected[candidate] = np.mean(areas)
            assert judged[fold, candidate] == pytest.approx(expected[candidate], abs=1e-12)
        assert expected[int(chosen[fold])] == max(expected.values())


def test_what_a_cells_patients_had_a_part_in_does_not_reach_it(experiment):
    """Every part that learned from a patient of the cell, and every score of one, replaced by noise: the same task."""
    prepared = prepare(load_experiment(experiment, FLAT), NullProgress())
    plan, exams, eligible = prepared.plan, prepared.cohort.exams, prepared.eligible
    random = np.random.default_rng(0)
    scores = {(0, fold): random.normal(size=(3, len(exams))) for fold in range(3)}
    for fold in range(3):
        key = CellKey(inputs="stress", partition="development", repeat=0, fold=fold)
        task = cell_task(key, plan, exams, eligible, 1)
        spoiled = {}
        for part, found in scores.items():
            learned = scoring_task(
                CellKey(inputs="stress", partition="search", repeat=0, fold=part[1]), plan, exams, eligible
            )
            seen = bool(set(learned.training.rows) & set(task.evaluation))
            assert seen == (part[1] not in (fold, (fold - 1) % 3))
            spoiled[part] = found.copy()
            spoiled[part][:, slice(None) if seen else task.evaluation] = random.normal()
        before, after = (with_scores(task, plan, exams, one) for one in (scores, spoiled))

        assert before.scores.tobytes() == after.scores.tobytes()
        assert all(not set(split.training.rows) & set(task.evaluation) for split in before.inner)
        validated = np.concatenate([split.validation.rows for split in before.inner])
        assert sorted(validated) == sorted(task.training.rows)


class Stopped(BaseException):
    """The process is killed."""


@pytest.mark.parametrize("after", [4, 10])
def test_killed_in_a_part_or_in_a_cell_it_ends_like_an_undisturbed_run(
    after, flat, make_tiny, tmp_path, monkeypatch, run, digests, paths_of
):
    """Stopped after its fourth candidate, which a part trains, or its tenth, which a cell judges, it goes on."""
    experiment, kept, told = make_tiny(tmp_path), LedgerEvents.candidate, []

    def stop(self, key, result):
        kept(self, key, result)
        told.append(key)
        if len(told) == after:
            raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(LedgerEvents, "candidate", stop)
        with pytest.raises(Stopped):
            run(experiment, *FLAT)
    assert told[-1].partition == ("search" if after == 4 else "development")
    assert len(RunState.read(paths_of(experiment)).finished(told[-1])) == 1

    run(experiment, *FLAT)
    assert digests(paths_of(experiment)) == digests(flat)


@pytest.mark.thorough
def test_where_a_part_failed_nothing_is_chosen_and_a_retry_completes_it(
    flat, make_tiny, tmp_path, failing_cells, run, digests, paths_of
):
    """A choice from the parts that happened to succeed would be another choice: the cells wait for the failed part."""
    experiment = make_tiny(tmp_path)
    with failing_cells({"stress-search-r00-f1": RuntimeError("no memory")}):
        outcome = run(experiment, *FLAT)
    assert [key.name for key in outcome.failed] == [
        *("stress-search-r00-f1", "stress-r00-f0", "stress-r00-f1", "stress-r00-f2", "stress-final")
    ]
    assert outcome.done_now == 3
    assert set(open_run(outcome.paths.root).summary["state"]) == {"refused"}

    assert run(experiment, *FLAT, retry_failed=True).failed == ()
    assert digests(paths_of(experiment)) == digests(flat)


def test_every_estimate_and_every_report_says_that_the_search_was_flat(flat):
    """No number of the cross-validation stands without it, in no table and no format."""
    summary = open_run(flat.root).summary
    estimates = summary[(summary["partition"] == "development") & (summary["state"] == "ok")]
    assert len(estimates) > 20
    assert estimates["reason"].str.startswith(FLAT_SEARCH).all()
    for name in ("summary.md", "report.html", "summary.json"):
        assert FLAT_SEARCH in flat.report(name).read_bytes().decode()
    text = flat.report("summary.md").read_bytes().decode()
    for title in ("overview", "cross-validation"):
        for section in re.findall(rf"## [^\n]*: {title}\n.*?(?=\n## |\Z)", text, flags=re.DOTALL):
            assert FLAT_SEARCH in section


def test_the_meter_shows_the_naive_the_corrected_and_the_cross_fitted_value(flat):
    """One row a tracer and input configuration, each number from its own row of the summary."""
    summary = open_run(flat.root).summary
    for _, rows in summary[summary["partition"] == "development"].groupby("tracer"):
        found = rows[(rows["metric"] != "auc") | rows["primary"]].groupby("metric")["estimate"].first()
        assert found["optimism"] == pytest.approx(found["auc_of_search"] - found["auc"])
        assert 0 < found["auc_bias_corrected"] < 1
    page = flat.report("report.html").read_bytes().decode()
    meter = page[page.index("Optimism of the search") :][:3000]
    for text in ("BBC-CV", "best candidates, where chosen", "cross-validated AUC"):
        assert text in meter


def test_a_claim_above_chance_takes_permuted_labels(flat, experiment):
    """The run refuses it and says what to do; `polarmap permute` gives the p-value."""
    summary = open_run(flat.root).summary
    refused = summary[summary["metric"] == "auc_above_chance"]
    assert set(refused["state"]) == {"refused"}
    assert refused["reason"].str.contains("polarmap permute", regex=False).all()

    report = permute_labels(load_experiment(experiment, FLAT), 1, RunOptions(runner="inline"), NullProgress())
    assert set(report.summary["metric"]) == {"auc_above_chance"}
    assert set(report.summary["p"]) <= {0.5, 1.0}
    assert set(report.summary["state"]) == {"ok"}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.budget=best_epoch", 'set budget = "schedule"'),
        ("folds.by=site", 'set scheme = "nested"'),
        ("folds.folds=2", "at least 3"),
        ("folds.training_share=0.5", 'set scheme = "nested"'),
    ],
)
def test_what_a_flat_search_cannot_do_is_refused_before_anything_is_read(tiny, setting, words):
    """Each with its remedy: early stopping by who judges, races, sites, two folds, learning curves."""
    with pytest.raises(ExperimentError, match=r"search\.scheme") as refused:
        load_experiment(tiny, ("search.scheme=flat", "folds.folds=3", setting))
    assert words in str(refused.value)


def test_bootstrap_samples_have_no_folds_to_share(tiny):
    """`polarmap instability` refuses a flat search, and says how to measure."""
    loaded = load_experiment(tiny, FLAT)
    with pytest.raises(ExperimentError, match=r"--set search\.scheme=nested"):
        measure_instability(loaded, 2, RunOptions(runner="inline"), NullProgress(), InlineRunner())


@pytest.mark.parametrize("cell", ["stress-search-r00-f1", "stress-r00-f2"])
def test_a_cell_again_chooses_by_what_the_runs_parts_found(cell, flat, tmp_path):
    """`rerun-cell` gives the ledger's bytes of a part, and of a cell that was chosen by the parts."""
    found = rerun_cell(open_run(flat.root), cell, tmp_path / "again", RunOptions(runner="inline"), NullProgress())
    assert found.different == ()
    assert found.same == ("candidates", "epochs", "predictions", "cells")


@pytest.mark.thorough
def test_an_explanation_refits_what_the_cells_chose(flat, experiment, tmp_path):
    """Cells of a flat search have no epochs; their networks are refitted all the same, and score as the ledger says."""
    shutil.copytree(experiment.parent, tmp_path / "copy")
    run = open_run(tmp_path / "copy" / "runs" / "tiny")
    options = ExplainOptions(cells=True, runner="inline", report=False)

    # A refit whose scores differ from the ledger's fails.
    assert explain_run(run, options, NullProgress()).failed == ()
    assert set(run.exam_attributions["fold"].dropna()) == {0, 1, 2}
