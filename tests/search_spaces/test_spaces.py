"""Search spaces: built-in ones, users' own files, and what is refused before any training."""

from dataclasses import asdict

import optuna
import pytest

from mpi_model.errors import SpaceError
from mpi_model.stages import BACKBONES
from search_spaces.catalog import _space_names, load_space
from search_spaces.space import first_candidate, hyperparameters, propose
from search_spaces.stored import drawn_values, read_stored_space, stored_space

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


ENCODER = '[encoder_stages]\nkind = "int"\nlow = 2\nhigh = "stages"\n'


@pytest.mark.parametrize("name", _space_names())
@pytest.mark.parametrize("backbone", sorted(BACKBONES))
def test_every_built_in_space_fits_every_backbone(tmp_path, name, backbone):
    """A space that ships proposes candidates the network accepts, whatever the number of its stages."""
    stages = BACKBONES[backbone].stage_count
    space = load_space(name, tmp_path, stages)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    depths, ends = set(), set()
    for _ in range(40 * stages):
        candidate = hyperparameters(propose(space, study.ask()))
        depths.add(candidate.freeze_depth)
        ends.add(candidate.encoder_stages)
        end = candidate.encoder_stages or stages
        assert candidate.freeze_depth <= end <= stages
        assert (candidate.encoder_learning_rate is None) == (candidate.freeze_depth == end)
    assert depths == ({0} if name == "learning_rates" else set(range(stages + 1)))
    assert ends == (set(range(2, stages + 1)) if "encoder" in name else {None})


def test_tpe_learns_the_end_of_the_encoder_and_the_freeze_depth_together(tmp_path):
    """Ranges that differ between candidates are proposed within them and modelled over all of them."""
    space = load_space("learning_rates_and_encoder_stages", tmp_path, 18)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=10))
    study.enqueue_trial(first_candidate(space))
    late = []
    for number in range(80):
        trial = study.ask()
        values = propose(space, trial)
        assert 0 <= values["freeze_depth"] <= values["encoder_stages"]
        study.tell(trial, (values["encoder_stages"] - 6) ** 2 + (values["freeze_depth"] - 4) ** 2)
        late += [(values["encoder_stages"], values["freeze_depth"])] if number >= 60 else []
    assert abs(sum(end for end, _ in late) / 20 - 6) < 1
    assert abs(sum(depth for _, depth in late) / 20 - 4) < 1


@pytest.mark.parametrize("most", ['"stages"', "9"])
def test_a_first_candidate_freezes_no_more_than_its_encoder_has(tmp_path, most):
    """Defaults that do not fit together are cut to the encoder, as drawn values are."""
    text = MINE.replace("default = 1", "default = 8").replace('"stages"\n', f"{most}\n")
    (tmp_path / "mine.toml").write_text(ENCODER + "default = 3\n" + text)
    space = load_space("mine.toml", tmp_path, 10)
    first = first_candidate(space)
    assert (first["encoder_stages"], first["freeze_depth"]) == (3, 3)
    assert "encoder_learning_rate" not in first
    study = optuna.create_study()
    study.enqueue_trial(first)
    assert propose(space, study.ask()) == first | {"dropout": 0.3, "encoder_learning_rate": None}


@pytest.mark.parametrize("kind", ["drawn", "fixed"])
def test_a_stored_space_knows_what_a_candidate_drew(tmp_path, kind):
    """The export to Optuna reads a run's candidates by the space that was stored, whatever ended their encoders."""
    end = 'kind = "int"\nlow = 2\nhigh = "stages"' if kind == "drawn" else 'kind = "fixed"\nvalue = 3'
    (tmp_path / "mine.toml").write_text(f"[encoder_stages]\n{end}\n{MINE}")
    space = load_space("mine.toml", tmp_path, 4)
    stored = read_stored_space(stored_space(space))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    frozen = 0
    for _ in range(30):
        trial = study.ask()
        effective = asdict(hyperparameters(propose(space, trial)))
        # The ledger keeps the default of a rate that the wholly frozen encoder does not have.
        drawn = drawn_values(stored, effective | {"encoder_learning_rate": 1e-4})
        assert set(drawn) == set(trial.params)
        frozen += "encoder_learning_rate" not in drawn
        for parameter in stored:
            if parameter.name in drawn:
                assert parameter.distribution._contains(parameter.distribution.to_internal_repr(drawn[parameter.name]))
    assert 0 < frozen < 30


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENCODER.replace("low = 2", "low = 0") + MINE, "a whole number from 1 to 4, but 0 is possible"),
        (ENCODER.replace('"stages"', "5") + MINE, "a whole number from 1 to 4, but 5 is possible"),
        (MINE + ENCODER, "[encoder_stages] comes after [freeze_depth]"),
        (
            ENCODER + MINE.replace("low = 0", "low = 3").replace("default = 1", ""),
            "`freeze_depth` can be 3 where `encoder_stages` is 2",
        ),
        (
            ENCODER + MINE.replace('"int"\nlow = 0\nhigh = "stages"', '"choice"\nchoices = [1, 3]'),
            "`freeze_depth` can be 3 where `encoder_stages` is 2",
        ),
        (ENCODER + MINE.replace("< stages", "< 4"), "`freeze_depth` can reach 2, which leaves no encoder to train"),
        (MINE.replace("< stages", "< encoder_stages"), "`when` names `encoder_stages`, not drawn before it"),
    ],
)
def test_an_encoder_and_a_freeze_depth_that_cannot_go_together_are_refused(tmp_path, text, message):
    """No candidate can freeze more stages than its encoder has: what would is refused before any training."""
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(SpaceError) as refused:
        load_space("mine.toml", tmp_path, 4)
    assert message in str(refused.value)


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
        (
            ('[dropout]\nkind = "fixed"\nvalue = 0.3', '[logit_noise]\nkind = "fixed"\nvalue = -1'),
            "0 or more, but -1 is",
        ),
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
