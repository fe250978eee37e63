"""Search spaces: built-in ones, users' own files, and what is refused before any training."""

import optuna
import pytest

from mpi_model.errors import SpaceError
from mpi_model.stages import BACKBONES
from search_spaces.catalog import _space_names, load_space
from search_spaces.space import first_candidate, hyperparameters, propose

MINE = """
[freeze_depth]
kind = "int"
low = 0
high = "stages"
default = 1
[encoder_learning_rate]
kind = "float"
low = 1e-5
high = 1e-3
log = true
when = "freeze_depth < stages"
[weight_decay]
kind = "choice"
choices = [0.0, 0.01]
[dropout]
kind = "fixed"
value = 0.3
"""


@pytest.mark.parametrize("name", _space_names())
@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_every_built_in_space_fits_every_backbone(tmp_path, name, backbone):
    """A space that ships proposes candidates the network accepts, whatever the number of its stages."""
    stages = BACKBONES[backbone].stage_count
    space = load_space(name, tmp_path, stages)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    depths = set()
    for _ in range(60):
        candidate = hyperparameters(propose(space, study.ask()))
        depths.add(candidate.freeze_depth)
        assert (candidate.encoder_learning_rate is None) == (candidate.freeze_depth == stages)
    assert depths == (set(range(stages + 1)) if "freeze" in name or "transfer" in name else {0})


def test_a_wholly_frozen_encoder_leaves_no_learning_rate_in_the_study(tmp_path):
    """The sampler is never told of a rate that had no effect, so it cannot learn from it."""
    space = load_space("learning_rates_and_freeze_depth", tmp_path, 2)
    study = optuna.create_study()
    study.enqueue_trial({"freeze_depth": 2})
    trial = study.ask()

    assert propose(space, trial)["encoder_learning_rate"] is None
    assert "encoder_learning_rate" not in trial.params


def test_a_space_file_of_ones_own_has_kinds_conditions_and_fixed_values(tmp_path):
    """Everything the format promises is read, and the first candidate is made of the defaults."""
    (tmp_path / "mine.toml").write_text(MINE)
    space = load_space("mine.toml", tmp_path, 4)

    assert first_candidate(space) == {
        "freeze_depth": 1,
        "encoder_learning_rate": pytest.approx(1e-4),
        "weight_decay": 0.0,
    }
    study = optuna.create_study()
    study.enqueue_trial(first_candidate(space))
    assert propose(space, study.ask()) == {
        "freeze_depth": 1,
        "encoder_learning_rate": pytest.approx(1e-4),
        "weight_decay": 0.0,
        "dropout": 0.3,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[dropout]", "[droput]"), "unknown parameter; did you mean `dropout`"),
        (("value = 0.3", "value = 1.0"), "at least 0 and below 1, but 1.0 is possible"),
        (("value = 0.3", "vlue = 0.3"), "unknown key `vlue`"),
        (('high = "stages"', "high = 9"), "a whole number from 0 to 4, but 9 is possible"),
        (('kind = "int"', 'kind = "float"'), "`kind` must be int, choice or fixed"),
        (("low = 1e-5", "low = 0.0"), "low > 0 on a log scale"),
        (("low = 1e-5", "low = 1e-2"), "needs low <= high"),
        (('when = "freeze_depth < stages"', ""), "leaves no encoder to train"),
        (('when = "freeze_depth < stages"', 'when = "freeze_depth beneath stages"'), "`when` must be one comparison"),
        (('when = "freeze_depth < stages"', 'when = "dropout < 1"'), "not drawn before it"),
        (("default = 1", "default = 9"), "a whole number from 0 to 4, but 9"),
        (("choices = [0.0, 0.01]", "choices = []"), "`choices` must be a list of numbers"),
        (('[dropout]\nkind = "fixed"', 'dropout = 3\n[label_smoothing]\nkind = "fixed"'), "unknown key `dropout`"),
    ],
)
def test_a_space_that_cannot_work_is_refused_by_name(tmp_path, change, message):
    """Each mistake in a space file is named with its parameter."""
    assert change[0] in MINE
    (tmp_path / "mine.toml").write_text(MINE.replace(*change))
    with pytest.raises(SpaceError) as refused:
        load_space("mine.toml", tmp_path, 4)
    assert message in str(refused.value)
    assert refused.value.exit_code == 2


def test_all_problems_of_a_space_come_together(tmp_path):
    """Two wrong parameters are two lines of one error."""
    (tmp_path / "mine.toml").write_text(
        MINE.replace("value = 0.3", "value = 2").replace("choices = [0.0, 0.01]", "choices = 3")
    )
    with pytest.raises(SpaceError) as refused:
        load_space("mine.toml", tmp_path, 4)
    assert len(refused.value.problems) == 2
