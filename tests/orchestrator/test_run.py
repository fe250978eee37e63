"""A whole run on a tiny cohort, without Ray: what it leaves, how it resumes, what it never lets slip."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mpi_model.errors import CohortError, RunDirectoryError
from mpi_model.prediction import predict_scores
from mpi_model.saved_model import load_network
from orchestrator import open_run, preparation
from orchestrator.cells import guard
from orchestrator.cells.records import CellKey
from orchestrator.cli import main
from orchestrator.cohort.loading import load_cohort
from orchestrator.engine import Engine
from orchestrator.experiment.file import load_experiment
from orchestrator.ledger.directory import locked
from orchestrator.ledger.parts import committed_state, read_candidates
from orchestrator.ledger.paths import RunPaths
from orchestrator.progress import Silence
from orchestrator.reporting import report_of
from orchestrator.run import LedgerEvents, RunOptions, RunOutcome, run_experiment
from orchestrator.runners.inline import InlineRunner
from orchestrator.torch_engine import engine_with

TABLES = ("cells", "candidates", "epochs", "predictions")
FIRST = CellKey(inputs="stress", partition="development", repeat=0, fold=0)


def no_engine() -> Engine:
    """A run that needs an engine where it should not fails the test."""
    raise AssertionError("torch was asked for")


def run(
    experiment: Path,
    *overrides: str,
    open_test: bool = False,
    retry_failed: bool = False,
    engine: Callable[[], Engine] = lambda: engine_with(InlineRunner()),
) -> RunOutcome:
    """`polarmap run` without the command line."""
    options = RunOptions(open_test=open_test, retry_failed=retry_failed)
    return run_experiment(load_experiment(experiment, overrides), options, engine, Silence())


def digests(paths: RunPaths) -> dict[str, str]:
    """SHA-256 of every table that must not depend on who ran what when."""
    return {name: hashlib.sha256(paths.table(name).read_bytes()).hexdigest() for name in TABLES}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, make_tiny):
    """A finished run of the tiny experiment with its test opened; copy before changing."""
    experiment = make_tiny(tmp_path_factory.mktemp("finished"))
    run(experiment, open_test=True)
    return experiment


@pytest.fixture
def mine(finished, tmp_path):
    """A private copy of the finished run."""
    shutil.copytree(finished.parent, tmp_path / "copy")
    return tmp_path / "copy" / "experiment.toml"


def paths_of(experiment: Path) -> RunPaths:
    """The run directory beside an experiment file."""
    return RunPaths(experiment.parent / "runs" / "tiny")


def test_a_run_leaves_the_tables_of_the_contract(finished):
    """Every exam of the development partition is predicted once per repeat and inputs, and each test exam once."""
    tables = open_run(paths_of(finished).root)
    predictions = tables.predictions

    assert list(predictions.columns) == (
        [
            "inputs",
            "partition",
            "repeat",
            "fold",
            "member",
            "patient_id",
            "exam_id",
            "tracer",
            "label",
            "score",
            "probability",
            "threshold",
        ]
    )
    counts = predictions.groupby(["inputs", "partition"]).size().to_dict()
    assert counts == {
        (inputs, part): size for inputs in ("stress", "dual") for part, size in (("development", 48), ("test", 12))
    }
    assert not predictions.duplicated(["inputs", "partition", "repeat", "exam_id", "member"]).any()
    assert (tables.cells["state"] == "complete").all()
    assert len(tables.cells) == 6
    assert len(tables.candidates) == 18
    assert predictions.loc[predictions["partition"] == "test", ["repeat", "fold"]].isna().all(axis=None)
    assert set(tables.summary["partition"]) == {"development", "test"}


def test_every_prediction_comes_from_the_fold_its_patient_is_in(finished):
    """The fold of a prediction is the fold that folds.parquet gives its patient."""
    tables = open_run(paths_of(finished).root)
    joined = tables.predictions.dropna(subset="fold").merge(tables.folds, on=["repeat", "patient_id"])

    assert len(joined) == 96
    assert (joined["fold_x"] == joined["fold_y"]).all()


def test_labels_in_the_tables_are_the_manifests(finished):
    """The driver joins labels by exam; they equal what the manifest says."""
    manifest = pd.read_csv(finished.parent / "manifest.csv").set_index("patient_id")
    predictions = open_run(paths_of(finished).root).predictions

    assert (predictions["label"].to_numpy() == manifest.loc[predictions["patient_id"], "label"].to_numpy()).all()


def test_the_network_learns_the_tiny_defect(finished):
    """Predictions belong to their exams: with labels or rows mixed up, an easy defect could not be read."""
    summary = open_run(paths_of(finished).root).summary
    chosen = summary[
        (summary["metric"] == "auc")
        & summary["primary"]
        & (summary["subgroup"] == "all")
        & (summary["inputs"] == "stress")
    ]

    assert len(chosen) == 4
    assert (chosen["estimate"] > 0.8).all()


def test_a_finished_run_does_nothing_and_needs_no_torch(mine):
    """Run again, a finished run changes no file and never loads the engine."""
    before = {path: path.stat().st_mtime_ns for path in paths_of(mine).root.rglob("*") if path.is_file()}
    outcome = run(mine, open_test=True, engine=no_engine)

    assert outcome.done_now == 0
    assert not outcome.opened_now
    assert {path: path.stat().st_mtime_ns for path in paths_of(mine).root.rglob("*") if path.is_file()} == before


def test_a_report_that_a_crash_left_behind_is_made_anew(mine):
    """Killed after the test was predicted but before the report was written, a run reports the test when run again."""
    paths = paths_of(mine)
    before = digests(paths)
    paths.summary.unlink()
    shutil.rmtree(paths.root / "tables")

    assert set(open_run(paths.root).predictions["partition"]) == {"development", "test"}
    run(mine, open_test=True, engine=no_engine)
    assert digests(paths) == before
    assert set(open_run(paths.root).summary["partition"]) == {"development", "test"}


class Stopped(BaseException):
    """The process is killed."""


def test_a_run_killed_in_the_middle_of_a_cell_ends_like_an_undisturbed_one(tiny, finished, monkeypatch):
    """Stopped after its fifth candidate and run again, a run has the same tables, byte for byte."""
    kept = LedgerEvents.candidate
    told = []

    def stop_after_five(self, key, result):
        kept(self, key, result)
        told.append(result)
        if len(told) == 5:
            raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(LedgerEvents, "candidate", stop_after_five)
        with pytest.raises(Stopped):
            run(tiny)
    paths = paths_of(tiny)
    assert committed_state(paths, FIRST) == "complete"
    second = CellKey(inputs="dual", partition="development", repeat=0, fold=0)
    assert len(read_candidates(paths, second)) == 2
    assert report_of(open_run(paths.root)).cells["state"].tolist() == ["complete"]

    outcome = run(tiny, open_test=True)
    assert outcome.done_now == 5
    assert digests(paths) == digests(paths_of(finished))


def test_a_candidate_file_without_its_predecessor_is_not_trusted(mine):
    """Candidates are replayed in order: one after a gap is trained again."""
    paths = paths_of(mine)
    folder = paths.cell(FIRST)
    before = digests(paths)
    paths.commit(FIRST).unlink()
    (folder / "candidate-0001.parquet").write_bytes((folder / "candidates.parquet").read_bytes())

    assert read_candidates(paths, FIRST) == ()
    run(mine)
    assert digests(paths) == before


@pytest.mark.parametrize("key", [FIRST, CellKey(inputs="dual", partition="test", repeat=None, fold=None)])
def test_a_held_out_label_cannot_reach_a_cell(mine, tmp_path, key, monkeypatch):
    """With every held-out label replaced after the plan was drawn, the cell writes the same parts."""
    prepare = preparation.prepare

    def flipped(loaded, progress, permutation=None):
        prepared = prepare(loaded, progress)
        exams, plan = prepared.cohort.exams, prepared.plan
        held_out = {
            patient for patient, fold in zip(plan.patients, plan.folds[0].tolist(), strict=True) if fold == key.fold
        }
        chosen = exams["patient_id"].isin(held_out) if key.partition == "development" else exams["partition"] == "test"
        changed = exams.assign(label=exams["label"].where(~chosen, 1 - exams["label"]))
        return replace(prepared, cohort=replace(prepared.cohort, exams=changed))

    paths = paths_of(mine)
    parts = ("cells", "candidates", "epochs", "predictions")
    before = {part: paths.part(key, part).read_bytes() for part in parts}
    models = {path.name: path.read_bytes() for path in paths.models.iterdir()}
    shutil.rmtree(paths.cell(key))
    monkeypatch.setattr("orchestrator.run.prepare", flipped)
    run(mine)

    assert {part: paths.part(key, part).read_bytes() for part in parts} == before
    assert {path.name: path.read_bytes() for path in paths.models.iterdir()} == models


def test_the_test_partition_stays_closed_until_it_is_opened(tiny):
    """Without --open-test nothing is predicted for test exams, and no opening is written."""
    run(tiny)
    assert set(open_run(paths_of(tiny).root).predictions["partition"]) == {"development"}
    assert not (tiny.parent / "runs" / "test_openings").exists()

    outcome = run(tiny, open_test=True)
    assert outcome.opened_now
    assert outcome.done_now == 0
    assert set(open_run(paths_of(tiny).root).predictions["partition"]) == {"development", "test"}


def test_openings_are_counted_over_experiments_and_a_repetition_is_the_same_opening(mine):
    """Another experiment on the same test exams is a second opening; the same one again is not."""
    folder = mine.parent / "runs" / "test_openings"
    (log,) = folder.iterdir()
    assert len(log.read_text().splitlines()) == 1
    for part in paths_of(mine).cells.glob("*/test_predictions.parquet"):
        part.unlink()
    run(mine, open_test=True)
    assert len(log.read_text().splitlines()) == 1

    run(mine, 'name="second"', "search.candidates=1", open_test=True)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["experiment"] for line in lines] == ["tiny", "second"]
    assert set(lines[0]) == {"time", "user", "experiment", "frozen"}


def test_opening_a_test_that_is_not_there_is_refused_before_anything_is_trained(tmp_path, make_tiny):
    """A cohort without test exams cannot be opened, and says so with the exit code of a cohort, at once."""
    experiment = make_tiny(tmp_path, test_patients=0)
    with pytest.raises(CohortError, match="partition"):
        run(experiment, open_test=True, engine=no_engine)


def test_a_column_that_is_only_reported_is_part_of_the_experiment(mine):
    """Sex corrected in the manifest changes subgroup rows: the old run is not passed off as the new one."""
    manifest = pd.read_csv(mine.parent / "manifest.csv")
    manifest.loc[manifest["partition"] == "test", "sex"] = "F"
    manifest.to_csv(mine.parent / "manifest.csv", index=False)
    with pytest.raises(RunDirectoryError, match=r"differs in data\.used"):
        run(mine, engine=no_engine)


def test_the_final_models_give_the_same_probabilities_when_loaded_again(finished):
    """The stored networks, loaded by hand, score the test exams exactly as the table says."""
    cohort = load_cohort(finished.parent / "manifest.csv", size=16)
    rows = np.flatnonzero((cohort.exams["partition"] == "test").to_numpy())
    models = paths_of(finished).models
    network = load_network(
        (models / "dual-member0.safetensors").read_bytes(), (models / "dual-member0.json").read_text()
    )
    scores = predict_scores(network, cohort.maps, rows, device=torch.device("cpu"))

    table = open_run(paths_of(finished).root).predictions
    table = table[(table["partition"] == "test") & (table["inputs"] == "dual")].set_index("exam_id")
    assert table.loc[cohort.exams["exam_id"].iloc[rows], "score"].tolist() == scores.tolist()


def test_new_exams_are_predicted_as_the_test_exams_were_without_reading_a_label(finished, tmp_path):
    """`predict` on the test exams, their labels removed, gives the scores and calls of the run's own table."""
    manifest = pd.read_csv(finished.parent / "manifest.csv")
    test = manifest[manifest["partition"] == "test"].drop(columns=["label", "partition"])
    for phase in ("stress", "rest"):
        test[phase] = [str(finished.parent / name) for name in test[phase]]
    test.to_csv(tmp_path / "new.csv", index=False)

    assert (
        main(["predict", str(paths_of(finished).root), str(tmp_path / "new.csv"), "--out", str(tmp_path / "p.csv")])
        == 0
    )
    found = pd.read_csv(tmp_path / "p.csv").set_index(["inputs", "exam_id"]).sort_index()
    own = open_run(paths_of(finished).root).predictions
    own = own[own["partition"] == "test"].set_index(["inputs", "exam_id"]).sort_index()
    assert found["score"].tolist() == own["score"].tolist()
    assert found["positive"].tolist() == (own["probability"] >= own["threshold"]).astype(int).tolist()


def test_another_experiment_is_refused_by_the_names_of_what_differs(mine):
    """A changed setting, and changed pixels, are named; nothing is overwritten."""
    with pytest.raises(RunDirectoryError, match=r"differs in training.patience \(6 -> 2\)") as refused:
        run(mine, "training.patience=2", engine=no_engine)
    assert refused.value.exit_code == 2
    counts = np.load(mine.parent / "000-stress.npy")
    counts[0, 0] += 1
    np.save(mine.parent / "000-stress.npy", counts)
    before = digests(paths_of(mine))
    with pytest.raises(RunDirectoryError, match=r"differs in data \("):
        run(mine, engine=no_engine)
    assert digests(paths_of(mine)) == before


def test_resources_and_names_are_not_part_of_an_experiment(mine):
    """More cores or attempts do not make another experiment: the run is recognised as finished."""
    assert run(mine, "resources.cpus_per_cell=2", "resources.attempts=1", engine=no_engine).done_now == 0


def test_a_fold_plan_that_was_changed_by_hand_is_refused(mine):
    """folds.parquet is verified on resume."""
    paths = paths_of(mine)
    folds = pd.read_parquet(paths.folds)
    folds["fold"] = 1 - folds["fold"]
    folds.to_parquet(paths.folds, index=False)
    with pytest.raises(RunDirectoryError, match=r"folds\.parquet"):
        run(mine, engine=no_engine)


def test_two_drivers_cannot_write_one_run(mine):
    """While one driver holds the run directory, another is refused at once."""
    with locked(paths_of(mine)), pytest.raises(RunDirectoryError, match="another `polarmap run`"):
        run(mine, engine=no_engine)


def test_a_failed_cell_is_kept_as_a_row_and_done_again_when_asked(tiny, finished, monkeypatch, capsys):
    """One cell that cannot be trained fails alone; --retry-failed sets it aside and finishes the run."""
    original = guard.run_cell

    def failing(task, *rest):
        if task.key == FIRST:
            raise RuntimeError("the cosmic ray\nand more")
        return original(task, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(guard, "run_cell", failing)
        outcome = run(tiny)
    assert outcome.failed == (FIRST,)
    tables = open_run(paths_of(tiny).root)
    failed = tables.cells[tables.cells["state"] == "failed"]
    assert failed["reason"].tolist() == ["RuntimeError: the cosmic ray (stress, repeat 0, fold 0, candidate 0)"]
    assert "Traceback" in paths_of(tiny).log.read_text()
    assert "Traceback" not in capsys.readouterr().err
    refused = tables.summary[(tables.summary["inputs"] == "stress") & (tables.summary["partition"] == "development")]
    assert set(refused["state"]) == {"refused"}
    assert run(tiny, engine=no_engine).failed == (FIRST,)

    assert run(tiny, open_test=True, retry_failed=True).failed == ()
    assert digests(paths_of(tiny)) == digests(paths_of(finished))
    assert (paths_of(tiny).cells / "stress-r00-f0.failed-1").is_dir()


def test_no_patient_stands_in_anything_but_the_five_tables_that_may_name_one(finished):
    """No id and no file name of a patient in experiment.json, reports, models, cell parts or openings."""
    root = finished.parent / "runs"
    allowed = {"cohort.parquet", "folds.parquet", "predictions.parquet"}
    for path in root.rglob("*"):
        if path.is_file() and not (path.name in allowed and path.parent.name in ("tiny", "tables")):
            assert b"patient-0" not in path.read_bytes(), path.name
            if path.suffix == ".parquet":
                assert "patient-0" not in pd.read_parquet(path).to_csv(), path.name


def test_run_directories_are_private(finished):
    """Nobody but the user can enter a run directory."""
    assert paths_of(finished).root.stat().st_mode & 0o077 == 0
