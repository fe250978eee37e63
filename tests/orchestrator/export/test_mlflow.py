"""A finished run in an MLflow file store; needs the extra `mlflow`."""

import os

import pytest

from orchestrator.cli import main
from orchestrator.ledger.reading import open_run

mlflow = pytest.importorskip("mlflow")


def test_a_finished_run_is_read_back_from_mlflow(finished, tmp_path, monkeypatch, capsys):
    """MLflow's own client finds settings, leading estimates, report and tables; predictions and ids are nowhere."""
    root, store = finished.parent / "runs" / "tiny", tmp_path / "store"
    for _ in range(2):
        assert main(["export", str(root), str(store), "--format", "mlflow"]) == 0
    assert "mlflow ui" in capsys.readouterr().out
    assert "MLFLOW_ALLOW_FILE_STORE" not in os.environ

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = mlflow.MlflowClient(tracking_uri=store.as_uri())
    experiment = client.get_experiment_by_name("polarmap")
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    found, run = runs[0], open_run(root)
    assert found.info.run_name == "tiny"
    assert found.data.params["training.epochs"] == "3"
    assert found.data.tags["polarmap.experiment"] == run.description.hash

    due = run.summary.query(
        "primary and model == 'network' and subgroup == 'all' and partition == 'test' and tracer == 'Tl-201' "
        "and inputs == 'dual' and metric == 'auc'"
    ).iloc[0]
    for end, column in (("", "estimate"), ("_low", "low"), ("_high", "high")):
        assert found.data.metrics[f"test/Tl-201/dual/auc{end}"] == pytest.approx(due[column])

    names = {path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()}
    copied = {name.partition("/artifacts/")[2] for name in names if "/artifacts/" in name}
    assert {"report/report.html", "report/summary.parquet", "tables/cells.parquet", "tables/timings.parquet"} <= copied
    assert any(name.startswith("report/figures/") for name in copied)
    assert not any("predictions" in name or "cohort" in name for name in copied)
    assert not any(b"patient-0" in (store / name).read_bytes() for name in names)


def test_a_run_that_is_not_finished_is_not_exported(mine, tmp_path, capsys):
    """Without a report there is nothing to hand on, and nothing is written."""
    (mine.parent / "runs/tiny/report/summary.parquet").unlink()
    words = ["export", str(mine.parent / "runs/tiny"), str(tmp_path / "store"), "--format", "mlflow"]
    assert main(words) == 4
    assert "no report yet" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
