"""The experiment file: what is read, what is refused, and that every problem comes at once."""

from dataclasses import asdict
from pathlib import Path

import pytest

from mpi_model.errors import ExperimentError
from orchestrator.experiment.file import load_experiment, template
from orchestrator.experiment.settings import CohortSettings, Experiment

LEAST = 'name = "a"\n[cohort]\nmanifest = "m.csv"\n'


def written(folder: Path, text: str) -> Path:
    """An experiment file with that text."""
    path = folder / "experiment.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_name_and_a_manifest_are_enough_and_everything_else_has_its_default(tmp_path):
    """The two required keys give the defaults of the contract."""
    loaded = load_experiment(written(tmp_path, LEAST))

    assert loaded.experiment == Experiment(name="a", cohort=CohortSettings(manifest="m.csv"))
    assert loaded.experiment.folds.folds == 5
    assert loaded.experiment.folds.repeats == 10
    assert loaded.experiment.search.candidates == 20
    assert loaded.run_directory == str(tmp_path / "runs" / "a")


def test_the_template_says_the_defaults(tmp_path):
    """What `polarmap init` writes is, but for name and manifest, what an empty file means."""
    from_template = load_experiment(written(tmp_path, template())).experiment
    by_default = Experiment(name=from_template.name, cohort=CohortSettings(manifest=from_template.cohort.manifest))

    assert asdict(from_template) == asdict(by_default)


def test_all_problems_come_together_with_their_places_and_nearest_names(tmp_path):
    """A wrong type, an unknown key, a missing key and an unknown section are told in one go."""
    text = '[cohrt]\nmanifest = 3\n[folds]\nrepeat = 2\n[training]\nepochs = "many"\naugment = 1\n[cohort]\n'

    with pytest.raises(ExperimentError) as refused:
        load_experiment(written(tmp_path, text))

    text = str(refused.value)
    assert "unknown key `cohrt` in the experiment file; did you mean `cohort`?" in text
    assert "`name` is required but missing" in text
    assert "`cohort.manifest` is required but missing" in text
    assert "unknown key `repeat` in [folds]; did you mean `repeats`?" in text
    assert "`training.epochs` must be a whole number, but is 'many' (a text)" in text
    assert "`training.augment` must be true or false, but is 1 (a whole number)" in text
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("folds.folds=1", "`folds.folds` must be at least 2, but is 1"),
        ("search.candidates=0", "`search.candidates` must be at least 1"),
        ("cohort.inputs=[]", "`cohort.inputs` must name one to three"),
        ('cohort.inputs=["stress", "late"]', '`cohort.inputs` must be a list, each item one of "stress"'),
        ("network.backbone=resnet81", "resnet18"),
        ("network.backbone=compact", "needs a backbone with ImageNet weights"),
        ("images.size=24", "64"),
        (
            "network.encoder_stages=6",
            "network.encoder_stages: resnet18 has 5 stages (stem, layer1, ",
        ),
        ("network.encoder_stages=some", '`network.encoder_stages` must be a whole number or one of "all"'),
        ("statistics.level=1.5", "`statistics.level` must lie between"),
        ('statistics.endpoints={"In-111"="x"}', "unknown tracer 'In-111'"),
        ("resources.gpus_per_cell=1.5", "`resources.gpus_per_cell` must be"),
        ('folds.stratify=["sex"]', '`folds.stratify` must hold "label"'),
        ("name=a/b", "`name` must be 1 to 64 letters"),
        ("storage.runs=ftp://somewhere/x", "`storage.runs` must be a folder"),
        ("search.space=learning_rate", "did you mean learning_rates"),
        ("search.space=mine.toml", "cannot read the space file mine.toml"),
        ("training.epochs=true", "`training.epochs` must be a whole number, but is true"),
    ],
)
def test_values_that_cannot_work_are_refused_with_the_rule(tmp_path, override, message):
    """Each impossible value is refused before anything is read or trained."""
    with pytest.raises(ExperimentError) as refused:
        load_experiment(written(tmp_path, LEAST), [override])
    assert message in str(refused.value)


def test_every_problem_of_the_network_is_told_at_once(tmp_path):
    """Image size and weights are judged apart, so that one run of the check shows both."""
    overrides = ["network.backbone=compact", "images.size=8"]
    with pytest.raises(ExperimentError) as refused:
        load_experiment(written(tmp_path, LEAST), overrides)
    size, weights = refused.value.problems
    assert "images.size" in size
    assert "needs a backbone with ImageNet weights" in weights


def test_overrides_reach_their_sections_and_keep_toml_types(tmp_path):
    """`--set` takes numbers, lists and bare words."""
    overrides = [
        "folds.repeats=3",
        "search.space=transfer_and_regularisation",
        "training.patience=2",
        "folds.stratify=['label']",
    ]
    experiment = load_experiment(written(tmp_path, LEAST), overrides).experiment

    assert experiment.folds.repeats == 3
    assert experiment.search.space == "transfer_and_regularisation"
    assert experiment.training.patience == 2
    assert experiment.folds.stratify == ("label",)


@pytest.mark.parametrize("override", ["folds.repeats", "=3", "name.x=3"])
def test_an_override_that_is_none_is_refused(tmp_path, override):
    """A typing error on the command line is named, not ignored."""
    with pytest.raises(ExperimentError, match="--set"):
        load_experiment(written(tmp_path, LEAST), [override])


def test_broken_toml_and_missing_files_name_the_line_and_the_remedy(tmp_path):
    """A person learns where the file stops being TOML, and how to get one."""
    with pytest.raises(ExperimentError, match=r"not valid TOML: .*line 1"):
        load_experiment(written(tmp_path, "name = \n"))
    with pytest.raises(ExperimentError, match="polarmap init"):
        load_experiment(tmp_path / "absent.toml")
