"""`polarmap report RUN --patients`: the hardest exams' maps, in a private file of their own."""

import base64
import io
import re
import shutil
import stat

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from orchestrator.cli import main
from orchestrator.ledger.reading import open_run


@pytest.fixture(scope="module")
def twice(tmp_path_factory, make_tiny, run):
    """A run of two repeats, hardly trained, on patients with a name to look for; copy before changing."""
    experiment = make_tiny(tmp_path_factory.mktemp("twice"), called="Papadopoulos")
    run(experiment, "folds.repeats=2", 'cohort.inputs=["stress", "dual"]', "search.candidates=1", "training.epochs=1")
    return experiment


@pytest.fixture
def ours(twice, tmp_path):
    """A private copy."""
    shutil.copytree(twice.parent, tmp_path / "copy")
    return tmp_path / "copy" / "experiment.toml"


def wrong_shares(run) -> pd.Series:
    """By manifest row: in how many of all repeats and input configurations an exam was decided wrongly."""
    rows = run.predictions.query("model == 'network' and partition == 'development'")
    wrong = (rows["probability"] >= rows["threshold"]) != (rows["label"] == 1)
    return wrong.groupby(rows["exam_id"].map(run.cohort.set_index("exam_id")["manifest_row"])).mean()


@pytest.mark.thorough
def test_the_hardest_exams_are_drawn_for_their_users_eyes_only(ours, capsys):
    """Maps, shares and words belong to the rows that were most often wrong; the file is new, marked and private."""
    target = ours.parent / "hardest.html"
    assert main(["report", str(ours.parent / "runs/tiny"), "--patients", str(target)]) == 0
    assert "identifying" in capsys.readouterr().out
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    page = target.read_text(encoding="utf-8")
    assert "IDENTIFYING" in page
    assert "Papadopoulos" not in page

    shares = wrong_shares(open_run(ours.parent / "runs/tiny"))
    told = re.findall(r"Manifest row (\d+)</strong><br>(missed|false alarm); wrong in (\d+)% of repeats", page)
    manifest = pd.read_csv(ours.parent / "manifest.csv")
    assert 2 <= len(told) <= 16
    for row, error, share in told:
        assert int(share) == round(100 * shares[int(row)])
        assert (error == "missed") == (manifest["label"][int(row) - 1] == 1)
    worst = shares.groupby(manifest["tracer"][shares.index - 1].to_numpy()).max()
    assert {int(share) for _, _, share in told} >= {round(100 * one) for one in worst}
    assert re.search(r"(defect|no defect) at (stress|rest)", page)

    image = re.search(rf'base64,([^"]+)" alt="stress map of manifest row {told[0][0]}"', page)
    assert image is not None
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(image[1]))).resize((16, 16), 0), dtype=float)
    counts = np.load(ours.parent / manifest["stress"][int(told[0][0]) - 1])
    assert np.abs(drawn - 255 * counts / counts.max()).max() <= 1

    assert main(["report", str(ours.parent / "runs/tiny"), "--patients", str(target)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_another_cohorts_maps_are_not_drawn(ours, make_cohort, tmp_path, capsys):
    """A sorted manifest is the run's own; one with another map in it, or none, is refused and nothing is written."""
    root, target = str(ours.parent / "runs/tiny"), tmp_path / "hardest.html"
    other = make_cohort(tmp_path / "other", seed=5, called="Papadopoulos")
    assert main(["report", root, "--patients", str(target), "--manifest", str(other)]) == 2
    assert "other maps" in capsys.readouterr().err
    assert main(["report", root, "--manifest", str(other)]) == 2
    capsys.readouterr()

    assert main(["report", root, "--patients", str(tmp_path / "first.html")]) == 0
    manifest = ours.parent / "manifest.csv"
    pd.read_csv(manifest).iloc[::-1].to_csv(ours.parent / "sorted.csv", index=False)
    manifest.unlink()
    assert main(["report", root, "--patients", str(target)]) == 2
    assert "--manifest" in capsys.readouterr().err
    assert not target.exists()
    assert main(["report", root, "--patients", str(target), "--manifest", str(ours.parent / "sorted.csv")]) == 0
    assert target.read_bytes() == (tmp_path / "first.html").read_bytes()


def test_one_repeat_has_no_hardest_exams(finished, tmp_path, capsys):
    """With one repeat every share would be 0 or 1: nothing is drawn, and the reason is told."""
    target = tmp_path / "hardest.html"
    assert main(["report", str(finished.parent / "runs/tiny"), "--patients", str(target)]) == 2
    assert "two whole repeats" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.thorough
def test_drawing_maps_needs_no_torch(twice, tmp_path, command_without):
    """The command reads images and tables; torch and Ray are not imported."""
    words = ["report", twice.parent / "runs/tiny", "--patients", tmp_path / "hardest.html"]
    found = command_without(words, "torch", "ray")
    assert found.returncode == 0, found.stderr
