"""The search as a race: who goes on, what is remembered of the others, and that an interruption changes nothing."""

from dataclasses import replace

import numpy as np
import pytest

from mpi_model.determinism import single_threaded
from mpi_model.errors import TrainingDivergedError
from mpi_model.maps import FULL_SCALE, LabelledExams, Maps
from mpi_model.settings import NetworkSettings, TrainingSettings
from orchestrator.cells import candidate as candidate_module
from orchestrator.cells.cell import run_cell
from orchestrator.cells.race import _patients
from orchestrator.cells.records import CellKey, CellTask, InnerSplit, Procedure, WorkerContext
from orchestrator.cells.rungs import fold_cost, influences, survivors
from orchestrator.experiment.settings import DecisionSettings, SearchSettings
from search_spaces.catalog import load_space

FOLDS, CANDIDATES = 3, 8


def labelled(rows: np.ndarray, labels: np.ndarray) -> LabelledExams:
    """Those rows with their labels."""
    return LabelledExams(rows=rows.astype(np.int64), labels=labels[rows].astype(np.int8))


@pytest.fixture
def cell(tmp_path):
    """Thirty training exams of fifteen patients in three inner folds, six to be judged, and a race of eight."""
    random, labels = np.random.default_rng(0), np.arange(36) // 2 % 2
    stress, rest = (random.uniform(0.5, 0.9, size=(36, 1, 16, 16)) for _ in range(2))
    stress[labels == 1, :, 9:, 4:12] *= 0.7
    stored = [(image * FULL_SCALE).astype(np.uint16) for image in (stress, rest)]
    here = np.ones(36, dtype=bool)
    maps = Maps(stress=stored[0], rest=stored[1], has_stress=here, has_rest=here, tracer=np.ones(36, dtype=np.int8))
    rows = np.arange(30)
    inner = tuple(
        InnerSplit(
            training=labelled(rows[rows // 10 != fold], labels),
            validation=labelled(rows[rows // 10 == fold], labels),
            patients=np.arange(10) // 2,
        )
        for fold in range(FOLDS)
    )
    key = CellKey(inputs="stress", partition="development", repeat=0, fold=0)
    task = CellTask(key=key, plan="plan", training=labelled(rows, labels), inner=inner, evaluation=np.arange(30, 36))
    procedure = Procedure(
        network=NetworkSettings(backbone="compact", weights="random"),
        training=TrainingSettings(epochs=3, batch_size=8, patience=2, members=1),
        search=SearchSettings(candidates=CANDIDATES, inner_folds=FOLDS, winners=1, strategy="race"),
        decision=DecisionSettings(threshold="balanced_accuracy", calibration="platt"),
        space=load_space("learning_rates", tmp_path, 4),
    )
    context = WorkerContext(maps=maps, procedure=procedure, state=None, device="cpu", facts={})
    with single_threaded():
        yield task, context


def raced(cell, finished=()):
    """The cell's result, and every record announced."""
    announced = []
    return run_cell(*cell, finished, announced.append), announced


def latest(announced):
    """What a ledger holds after these announcements: of each candidate the last one."""
    return [one for _, one in sorted({one.number: one for one in announced}.items())]


def timeless(records):
    """The records without what differs from run to run."""
    return [replace(one, seconds=0.0) for one in records]


def best_losses(record):
    """The smallest validation loss of each inner fold, from the epochs as stored."""
    losses = {}
    for epoch in record.epochs:
        losses.setdefault(epoch.inner_fold, []).append(epoch.validation_loss)
    return [min(losses[fold]) for fold in sorted(losses)]


def test_the_better_half_goes_on_and_then_the_better_quarter(cell, monkeypatch):
    """Recomputed from the epochs: who was trained on each fold, who is complete, and that the best of them wins."""
    monkeypatch.setattr("orchestrator.cells.rungs._TIE", 0.0)
    result, announced = raced(cell)
    records = latest(announced)
    losses = {one.number: best_losses(one) for one in records}

    assert [one.number for one in announced[:CANDIDATES]] == list(range(CANDIDATES))
    everyone = sorted(losses, key=lambda number: losses[number][0])
    assert {number for number in losses if len(losses[number]) > 1} == set(everyone[:4])
    half = sorted(everyone[:4], key=lambda number: np.mean(losses[number][:2]))
    assert {number for number in losses if len(losses[number]) > 2} == set(half[:2])
    assert {one.number for one in records if one.state == "complete"} == set(half[:2])
    assert {one.state for one in records} == {"complete", "pruned"}
    assert all(one.objective is None for one in records if one.state == "pruned")
    assert result.candidate == min(half[:2], key=lambda number: np.mean(losses[number]))
    assert records[result.candidate].objective == pytest.approx(np.mean(losses[result.candidate]))
    assert len(records[result.candidate].inner_scores) == 30


def _thorough(announcements):
    return pytest.param(announcements, marks=pytest.mark.thorough)


@pytest.mark.parametrize(
    "announcements", [3, _thorough(CANDIDATES), CANDIDATES + 1, _thorough(CANDIDATES + 4), _thorough(CANDIDATES + 5)]
)
def test_an_interrupted_race_ends_as_the_undisturbed_one(cell, announcements):
    """Wherever it stops, on the first fold or a later one, the same candidates are trained on, and nothing twice."""
    whole, announced = raced(cell)
    assert len(announced) > announcements
    resumed, rest = raced(cell, latest(announced[:announcements]))

    assert timeless(rest) == timeless(announced[announcements:])
    assert timeless([resumed]) == timeless([whole])


def test_as_many_candidates_are_complete_as_there_are_winners(cell):
    """Thresholds come from the winners' inner scores, so a quarter is not enough where more winners are asked for."""
    task, context = cell
    search = replace(context.procedure.search, winners=3)
    training = replace(context.procedure.training, members=3)
    procedure = replace(context.procedure, search=search, training=training)
    result, announced = raced((task, replace(context, procedure=procedure)))

    assert sum(one.state == "complete" for one in latest(announced)) >= 3
    assert {item.member for item in result.predictions} == {0, 1, 2}


@pytest.mark.thorough
def test_who_fails_on_a_later_fold_is_replaced_by_the_next_best(cell, monkeypatch):
    """A candidate that diverges on the second fold is a failed row, and the race still ends with two."""
    monkeypatch.setattr("orchestrator.cells.rungs._TIE", 0.0)
    _, undisturbed = raced(cell)
    doomed = undisturbed[CANDIDATES].number
    train = candidate_module.train

    def diverging(maps, training, validation, *, recipe, device):
        epochs = train(maps, training, validation, recipe=recipe, device=device)
        if recipe.hyperparameters.head_learning_rate == rate and validation.rows[0] == 10:
            raise TrainingDivergedError("the loss is nan")
            yield
        yield from epochs

    rate = undisturbed[CANDIDATES].values["head_learning_rate"]
    monkeypatch.setattr(candidate_module, "train", diverging)
    result, announced = raced(cell)
    records = latest(announced)

    assert records[doomed].state == "failed"
    assert records[doomed].error == "the loss is nan"
    assert sum(len(one.best_steps) > 1 for one in records) == 4
    assert sum(one.state == "complete" for one in records) == 2
    for stop in range(CANDIDATES, len(announced)):
        resumed, rest = raced(cell, latest(announced[:stop]))
        assert timeless(rest) == timeless(announced[stop:])
        assert timeless([resumed]) == timeless([result])


@pytest.mark.parametrize("objective", ["balanced_log_loss", "auc"])
def test_the_error_of_a_paired_difference_is_that_of_a_bootstrap(objective):
    """Its square root of the sum of squares is the spread of the difference when exams are drawn anew in each class."""
    random = np.random.default_rng(1)
    tracer, labels = np.repeat([0, 1], 60).astype(np.int8), np.tile([0, 0, 1], 40).astype(np.int8)
    rows = np.arange(120)
    split = InnerSplit(training=labelled(rows, labels), validation=labelled(rows, labels), patients=rows)
    common = random.normal(size=120) + 1.2 * labels
    one, other = common + 0.6 * random.normal(size=120), common + 0.6 * random.normal(size=120)
    found = influences(one, split, tracer, objective) - influences(other, split, tracer, objective)

    def drawn():
        places = np.concatenate(
            [
                random.choice(rows[(tracer == t) & (labels == c)], size=((tracer == t) & (labels == c)).sum())
                for t in (0, 1)
                for c in (0, 1)
            ]
        )
        again = replace(split, validation=labelled(places, labels))
        return fold_cost(one[places], again, tracer, objective) - fold_cost(other[places], again, tracer, objective)

    assert np.sqrt(np.square(found).sum()) == pytest.approx(np.std([drawn() for _ in range(1500)]), rel=0.1)


def test_a_tie_is_judged_by_patients_and_not_by_their_exams():
    """A difference that two exams of each patient agree on is worth one exam a patient: its error is larger."""
    random = np.random.default_rng(2)
    of_patients = random.normal(size=50) / 50
    influence = np.stack([np.zeros(100), np.repeat(of_patients, 2) / 2])
    error = float(np.sqrt(np.square(of_patients).sum()))
    costs = np.array([0.0, 0.2 * error])

    assert survivors(costs, influence, np.arange(100) // 2, keep=1) == [0, 1]
    # Taken as a hundred patients, the error is smaller by the square root of two, and .2 of it is .28.
    assert survivors(costs, influence, np.arange(100), keep=1) == [0]
    assert survivors(costs * 2, influence, np.arange(100) // 2, keep=1) == [0]


def test_patients_of_different_inner_folds_are_different(cell):
    """Numbers start anew in each fold; taken for the same patient, two people's differences would cancel."""
    task, _ = cell

    assert len(set(_patients(task, 2).tolist())) == 10


@pytest.mark.parametrize(
    ("settings", "races"),
    [({}, True), ({"strategy": "all_folds"}, False), ({"inner_folds": 1}, False), ({"scheme": "flat"}, False)],
    ids=str,
)
def test_candidates_race_where_there_are_folds_to_race_over(settings, races):
    """The default races; a flat search and a single hold-out have nothing to race over, whatever the strategy."""
    assert SearchSettings(**settings).races is races


def test_over_one_inner_fold_both_strategies_are_one(cell):
    """There is nothing to race over: the same candidates, in the same states, with the same winner."""
    task, context = cell
    alone = replace(task, inner=task.inner[:1])
    found = {}
    for strategy in ("race", "all_folds"):
        settings = replace(context.procedure.search, inner_folds=1, strategy=strategy)
        procedure = replace(context.procedure, search=settings, decision=DecisionSettings(calibration="none"))
        result, announced = raced((alone, replace(context, procedure=procedure)))
        found[strategy] = (timeless(announced), result.candidate, result.predictions)
    assert found["race"] == found["all_folds"]
