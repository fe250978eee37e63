"""The end of the encoder through a whole run: searched with packaged ImageNet weights, kept, saved and used again."""

import json

import pytest

from mpi_model.saved_model import load_network
from mpi_model.stages import backbone
from orchestrator.cli import main
from polarmap import open_run

LITE0 = (
    "network.backbone=efficientnet_lite0",
    "network.weights=imagenet",
    "network.encoder_stages=6",
    "search.space=learning_rates_and_encoder_stages",
    'cohort.inputs=["stress"]',
    "training.epochs=1",
)


@pytest.fixture(scope="module")
def lite0(tmp_path_factory, make_tiny, run):
    """A finished run on 16-pixel maps with the first six stages, of which the search takes 2 to 6."""
    experiment = make_tiny(tmp_path_factory.mktemp("lite0"))
    run(experiment, *LITE0, open_test=True)
    return experiment


@pytest.mark.thorough
def test_the_ledger_says_where_each_candidate_ended_its_encoder(lite0, paths_of):
    """`hp_encoder_stages` and `hp_freeze_depth` are whole numbers that go together, and the search varied them."""
    candidates = open_run(paths_of(lite0).root).candidates
    ends, depths = candidates["hp_encoder_stages"], candidates["hp_freeze_depth"]
    assert str(ends.dtype).lower() == str(depths.dtype).lower() == "int64"
    assert ends.between(2, 6).all()
    assert (depths <= ends).all()
    assert (candidates["hp_encoder_learning_rate"].isna() == (depths == ends)).all()
    assert ends.nunique() > 1


@pytest.mark.thorough
def test_the_final_network_ends_where_the_search_said(lite0, paths_of, folder_of):
    """What is saved and judged is the encoder that was chosen, in shape and in the number of its features."""
    cells = open_run(paths_of(lite0).root).cells
    chosen = int(cells.loc[cells["partition"] == "test", "hp_encoder_stages"].item())
    stem = folder_of(lite0) / "models" / "stress-member0"
    network = load_network(stem.with_suffix(".safetensors").read_bytes(), stem.with_suffix(".json").read_text())
    assert len(network.encoders[0].stages) == chosen
    assert network.heads.linear.in_features == backbone("efficientnet_lite0", chosen).feature_width
    assert network.architecture.normalisation == "efficientnet_lite"


@pytest.mark.thorough
def test_the_weights_digest_and_the_end_are_part_of_the_experiment(lite0, folder_of, capsys):
    """Other bytes or another end of the encoder are another experiment, which the run directory refuses by name."""
    facts = json.loads((folder_of(lite0) / "experiment.json").read_text())["facts"]
    assert facts["network.weights"] == backbone("efficientnet_lite0").imagenet.sha256
    overrides = [word for setting in (*LITE0, "network.encoder_stages=5") for word in ("--set", setting)]
    assert main(["check", str(lite0), *overrides]) == 2
    assert "encoder_stages" in capsys.readouterr().err


def test_the_plan_names_the_stages_that_a_space_counts(tiny, capsys):
    """Freeze depths and ends of the encoder are numbers; the plan says what they number, without torch."""
    overrides = [word for setting in LITE0 for word in ("--set", setting)]
    assert main(["plan", str(tiny), *overrides]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "network: efficientnet_lite0, 6 of 18 stages: stem, block1, block2, block3, block4, block5;" in said
    assert "the search decides where the encoder ends" in said


def test_images_too_small_for_the_whole_backbone_serve_an_encoder_that_ends_early(tiny, capsys):
    """The size that is asked for is that of the last feature maps an experiment can have."""
    overrides = [word for setting in (*LITE0, "network.encoder_stages=all") for word in ("--set", setting)]
    assert main(["check", str(tiny), *overrides]) == 2
    said = capsys.readouterr().err
    assert "efficientnet_lite0 needs images of at least 64 pixels a side, found 16" in said
    assert "network.encoder_stages" in said
