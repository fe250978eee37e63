"""A whole run on a tiny cohort, without Ray: what it leaves, and what it never lets slip."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mpi_model.prediction import predict_scores
from mpi_model.saved_model import load_network
from orchestrator.cells.records import CellKey
from orchestrator.cli import main
from orchestrator.cohort.loading import load_cohort
from orchestrator.driver import prepare as preparation
from orchestrator.ledger.integrity import read_results
from orchestrator.ledger.paths import RunPaths
from orchestrator.ledger.state import RunState
from polarmap import open_run

FIRST = CellKey(inputs="stress", partition="development", repeat=0, fold=0)


def decided(paths: RunPaths, key: CellKey) -> dict[str, list[dict]]:
    """A cell's rows of every table, but for what differs from run to run."""
    rows = read_results(RunState.read(paths), key)
    return {name: table.to_pylist() for name, table in rows.items() if name != "timings"}


def test_a_run_leaves_the_tables_of_the_contract(finished, paths_of):
    """Every exam of the development partition is predicted once per repeat and inputs, and each test exam once."""
    tables = open_run(paths_of(finished).root)
    predictions = tables.predictions

    assert list(predictions.columns) == (
        [
            "inputs",
            "partition",
            "repeat",
            "fold",
            "model",
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
    counts = predictions.groupby(["model", "inputs", "partition"]).size().to_dict()
    assert counts == {
        (model, inputs, part): size
        for model in ("network", "segments")
        for inputs in ("stress", "dual")
        for part, size in (("development", 48), ("test", 12))
    }
    assert not predictions.duplicated(["model", "inputs", "partition", "repeat", "exam_id", "member"]).any()
    assert (tables.cells["state"] == "complete").all()
    assert len(tables.cells) == 6
    assert len(tables.candidates) == 18
    assert predictions.loc[predictions["partition"] == "test", ["repeat", "fold"]].isna().all(axis=None)
    assert set(tables.summary["partition"]) == {"development", "test"}


def test_every_prediction_comes_from_the_fold_its_patient_is_in(finished, paths_of):
    """The fold of a prediction is the fold that folds.parquet gives its patient."""
    tables = open_run(paths_of(finished).root)
    joined = tables.predictions.dropna(subset="fold").merge(tables.folds, on=["repeat", "patient_id"])

    assert len(joined) == 192
    assert (joined["fold_x"] == joined["fold_y"]).all()


def test_labels_in_the_tables_are_the_manifests(finished, paths_of):
    """The driver joins labels by exam; they equal what the manifest says."""
    manifest = pd.read_csv(finished.parent / "manifest.csv").set_index("patient_id")
    predictions = open_run(paths_of(finished).root).predictions

    assert (predictions["label"].to_numpy() == manifest.loc[predictions["patient_id"], "label"].to_numpy()).all()


def test_the_network_learns_the_tiny_defect(finished, paths_of):
    """Predictions belong to their exams: with labels or rows mixed up, an easy defect could not be read."""
    summary = open_run(paths_of(finished).root).summary
    chosen = summary[
        (summary["metric"] == "auc")
        & summary["primary"]
        & (summary["subgroup"] == "all")
        & (summary["inputs"] == "stress")
        & (summary["model"] == "network")
    ]

    assert len(chosen) == 4
    assert (chosen["estimate"] > 0.8).all()


FINAL = CellKey(inputs="dual", partition="test", repeat=None, fold=None)


@pytest.mark.parametrize("key", [FIRST, pytest.param(FINAL, marks=pytest.mark.thorough)])
def test_a_held_out_label_cannot_reach_a_cell(mine, tmp_path, key, monkeypatch, run, paths_of, folder_of):
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
    before = decided(paths, key)
    models = {path.name: path.read_bytes() for path in (folder_of(mine) / "models").iterdir()}
    shutil.rmtree(folder_of(mine) / "cells" / key.name)
    (folder_of(mine) / "cohort.parquet").unlink()  # it holds the true labels, and is written anew
    monkeypatch.setattr("orchestrator.driver.resume.prepare", flipped)
    run(mine)

    assert decided(paths, key) == before
    assert {path.name: path.read_bytes() for path in (folder_of(mine) / "models").iterdir()} == models


def test_the_final_models_give_the_same_probabilities_when_loaded_again(finished, paths_of, folder_of):
    """The stored networks, loaded by hand, score the test exams exactly as the table says."""
    cohort = load_cohort(finished.parent / "manifest.csv", size=16)
    rows = np.flatnonzero((cohort.exams["partition"] == "test").to_numpy())
    models = folder_of(finished) / "models"
    network = load_network(
        (models / "dual-member0.safetensors").read_bytes(), (models / "dual-member0.json").read_text()
    )
    scores = predict_scores(network, cohort.maps, rows, device=torch.device("cpu"))

    table = open_run(paths_of(finished).root).predictions
    table = table.query("model == 'network' and partition == 'test' and inputs == 'dual'").set_index("exam_id")
    assert table.loc[cohort.exams["exam_id"].iloc[rows], "score"].tolist() == scores.tolist()


def test_new_exams_are_predicted_as_the_test_exams_were_without_reading_a_label(finished, tmp_path, run, paths_of):
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
    own = own.query("model == 'network' and partition == 'test'").set_index(["inputs", "exam_id"]).sort_index()
    assert found["score"].tolist() == own["score"].tolist()
    assert found["positive"].tolist() == (own["probability"] >= own["threshold"]).astype(int).tolist()


def test_no_patient_stands_in_anything_but_the_five_tables_that_may_name_one(finished):
    """No id and no file name of a patient in experiment.json, reports, models, cell parts or openings."""
    root = finished.parent / "runs"
    allowed = {"cohort.parquet", "folds.parquet", "predictions.parquet"}
    for path in root.rglob("*"):
        if path.is_file() and not (path.name in allowed and path.parent.name in ("tiny", "tables")):
            assert b"patient-0" not in path.read_bytes(), path.name
            if path.suffix == ".parquet":
                assert "patient-0" not in pd.read_parquet(path).to_csv(), path.name


def test_run_directories_are_private(finished, run, paths_of, folder_of):
    """Nobody but the user can enter a run directory."""
    assert folder_of(finished).stat().st_mode & 0o077 == 0
