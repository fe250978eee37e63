"""`polarmap predict`: manifests of any length, several runs, one image, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from mpi_model.errors import CohortError
from orchestrator.cli import main
from orchestrator.cohort import exam_parts
from orchestrator.driver.predict import COLUMNS
from polarmap.models import predict


def root_of(experiment: Path) -> Path:
    """The run directory as a folder."""
    return experiment.parent / "runs" / "tiny"


def test_a_file_written_in_parts_is_the_whole(finished, tmp_path, monkeypatch, capsys):
    """Seven exams at a time give the numbers of all at once, in the manifest's order, as CSV and as Parquet."""
    manifest = finished.parent / "manifest.csv"
    whole = predict(root_of(finished), manifest)
    monkeypatch.setattr(exam_parts, "_PART", 7)
    for name in ("out.csv", "out.parquet"):
        assert main(["predict", str(root_of(finished)), str(manifest), "--out", str(tmp_path / name)]) == 0
        assert "120 predictions of 60 exams" in capsys.readouterr().out
        found = (pd.read_csv if name.endswith("csv") else pd.read_parquet)(tmp_path / name)
        assert list(found.columns) == list(COLUMNS)
        pair = [frame.sort_values(["inputs", "exam_id"], ignore_index=True) for frame in (found, whole)]
        assert pair[0]["exam_id"].tolist() == pair[1]["exam_id"].tolist()
        for column in ("score", "probability", "threshold", "positive", "relative_distance", "outside"):
            np.testing.assert_allclose(
                pair[0][column].to_numpy(np.float64), pair[1][column].to_numpy(np.float64), rtol=0, atol=1e-6
            )
    assert whole[whole["inputs"] == "dual"]["exam_id"].tolist() == [
        f"patient-{number:03d}:{('Tc-99m', 'Tl-201')[number % 2]}" for number in range(60)
    ]


@pytest.mark.thorough
def test_several_runs_are_one_ensemble_that_says_so(finished, make_tiny, run, tmp_path):
    """Two runs: the mean score, the mean of log odds as a probability, and a name that lists them."""
    make_tiny(tmp_path)
    run(tmp_path / "experiment.toml", "name=other", "folds.seed=3", "images.size=24")
    manifest = finished.parent / "manifest.csv"
    runs = [root_of(finished), tmp_path / "runs" / "other"]
    one, two = (predict(source, manifest) for source in runs)
    both = predict(runs, manifest)
    assert set(both["model"]) == {"ensemble of tiny, other"}
    np.testing.assert_allclose(both["score"], (one["score"] + two["score"]) / 2, atol=1e-12)
    odds = (logit(one["probability"]) + logit(two["probability"])) / 2
    np.testing.assert_allclose(both["probability"], expit(odds), atol=1e-12)
    farthest = np.maximum(one["relative_distance"], two["relative_distance"])
    np.testing.assert_allclose(both["relative_distance"], farthest)


def test_one_exam_is_predicted_from_its_images(finished, capsys):
    """Images and a tracer on the command line give the answer of the manifest's row, in words."""
    told = predict(root_of(finished), finished.parent / "manifest.csv").set_index(["exam_id", "inputs"])
    images = [
        word for phase in ("stress", "rest") for word in (f"--{phase}", str(finished.parent / f"003-{phase}.npy"))
    ]
    assert main(["predict", str(root_of(finished)), *images, "--tracer", "Tl201"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["stress", "dual"]
    for line, inputs in zip(lines, ("stress", "dual"), strict=True):
        row = told.loc[("patient-003:Tl-201", inputs)]
        assert f"probability {row['probability']:.4f}" in line
        assert ("positive" in line) == bool(row["positive"])
    # Without the rest map there is no answer of the network that needs both.
    assert main(["predict", str(root_of(finished)), *images[:2], "--tracer", "Tl-201"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["stress"]
    assert main(["predict", str(root_of(finished)), *images[2:], "--tracer", "Tl-201"]) == 3
    assert "a phase is missing" in capsys.readouterr().err
    assert main(["predict", str(root_of(finished)), *images, "--tracer", "F-18"]) == 2


def changed(finished: Path, folder: Path, change) -> Path:
    """A copy of the cohort with another manifest."""
    shutil.copytree(finished.parent, folder, ignore=shutil.ignore_patterns("runs"))
    rows = pd.read_csv(folder / "manifest.csv", dtype=str)
    change(rows, folder)
    rows.to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def _missing_rest(rows: pd.DataFrame, _: Path) -> None:
    rows.loc[4, "stress"] = None


def _unknown_tracer(rows: pd.DataFrame, _: Path) -> None:
    rows.loc[4, "tracer"] = "F-18"


def _damaged(rows: pd.DataFrame, folder: Path) -> None:
    (folder / rows.loc[4, "rest"]).write_bytes(b"no array")


def _twice(rows: pd.DataFrame, _: Path) -> None:
    rows.loc[41, "rest"] = rows.loc[4, "rest"]


def _one_id(rows: pd.DataFrame, _: Path) -> None:
    rows["exam_id"] = [str(number % 40) for number in range(len(rows))]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_missing_rest, r"manifest row 5.*a phase is missing"),
        (_unknown_tracer, r"manifest row 5.*tracer must be"),
        (_damaged, r"manifest row 5 \(line 6\), rest image"),
        (_twice, r"manifest rows 5 and 42.*equal pixels"),
        (_one_id, r"manifest rows 1 and 41 \(lines 2 and 42\) have one exam_id"),
    ],
)
def test_what_cannot_be_predicted_is_refused_and_nothing_is_written(finished, tmp_path, monkeypatch, change, why):
    """Problems name rows, also across the parts of a long manifest, and leave no half a file behind."""
    monkeypatch.setattr(exam_parts, "_PART", 16)
    manifest = changed(finished, tmp_path / "copy", change)
    with pytest.raises(CohortError, match=why):
        predict(root_of(finished), manifest, out=tmp_path / "out.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]


def test_what_a_prediction_does_not_read_does_not_stop_it(finished, tmp_path):
    """Wrong labels, partitions and dates are the business of training."""

    def change(rows: pd.DataFrame, _: Path) -> None:
        rows["label"], rows["partition"], rows["exam_date"] = "?", "nowhere", "yesterday"

    found = predict(root_of(finished), changed(finished, tmp_path / "copy", change))
    told = predict(root_of(finished), finished.parent / "manifest.csv")
    assert found.equals(told)
