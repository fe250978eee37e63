"""One cell: what it is told, what it chooses, what it survives."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy.special import expit

from mpi_model.determinism import single_threaded
from mpi_model.maps import FULL_SCALE, LabelledExams, Maps
from mpi_model.prediction import predict_scores
from mpi_model.settings import NetworkSettings, TrainingSettings
from mpi_model.training import Epoch, refit
from orchestrator.cells import candidate as candidate_module
from orchestrator.cells.cell import run_cell
from orchestrator.cells.decision import _best_threshold, _platt
from orchestrator.cells.guard import run_guarded
from orchestrator.cells.race import race
from orchestrator.cells.recipe import recipe_for
from orchestrator.cells.records import CandidateResult, CellKey, CellTask, InnerSplit, Procedure, WorkerContext
from orchestrator.cells.study import ranked, search
from orchestrator.experiment.settings import DecisionSettings, SearchSettings
from search_spaces.catalog import load_space


def maps_of(labels: np.ndarray, seed: int = 0) -> Maps:
    """Maps of one tracer whose positives have a dark patch at stress."""
    random = np.random.default_rng(seed)
    stress, rest = (random.uniform(0.5, 0.9, size=(len(labels), 1, 16, 16)) for _ in range(2))
    stress[labels == 1, :, 9:, 4:12] *= 0.4
    here = np.ones(len(labels), dtype=bool)
    stored = ((image * FULL_SCALE).astype(np.uint16) for image in (stress, rest))
    tracer = np.ones(len(labels), dtype=np.int8)
    return Maps(stress=next(stored), rest=next(stored), has_stress=here, has_rest=here, tracer=tracer)


def labelled(rows: np.ndarray, labels: np.ndarray) -> LabelledExams:
    """Those rows with their labels."""
    return LabelledExams(rows=rows.astype(np.int64), labels=labels[rows].astype(np.int8))


@pytest.fixture
def task_and_bench(tmp_path):
    """Forty training exams in two inner folds, ten to be judged, and a small search."""
    labels = np.arange(50) % 2
    rows = np.arange(50)
    training, evaluation = rows[:40], rows[40:]
    inner, again = (
        tuple(
            InnerSplit(
                training=labelled(halves[1 - part], labels),
                validation=labelled(halves[part], labels),
                patients=np.arange(20),
            )
            for part in (0, 1)
        )
        for halves in ((training[:20], training[20:]), (training[10:30], np.r_[training[:10], training[30:]]))
    )
    key = CellKey(inputs="stress", partition="development", repeat=0, fold=0)
    task = CellTask(
        key=key,
        plan="plan",
        training=labelled(training, labels),
        inner=inner,
        calibration=again,
        evaluation=evaluation,
    )
    procedure = Procedure(
        network=NetworkSettings(backbone="compact", weights="random"),
        training=TrainingSettings(epochs=4, batch_size=8, patience=2, budget="best_epoch", members=1),
        search=SearchSettings(candidates=5, inner_folds=2, strategy="all_folds"),
        decision=DecisionSettings(threshold="balanced_accuracy", calibration="platt"),
        space=load_space("learning_rates_and_freeze_depth", tmp_path, 4),
    )
    bench = WorkerContext(
        maps=maps_of(labels), procedure=procedure, state=None, device="cpu", facts={"experiment": "e"}
    )
    with single_threaded():
        yield task, bench


def collected(task, bench, finished=()):
    """A cell's result with the candidates it announced."""
    announced = []
    return run_cell(task, bench, finished, announced.append), announced


def test_an_interrupted_search_ends_as_the_undisturbed_one(task_and_bench):
    """Replaying the first candidates gives the same remaining candidates, choice and predictions."""
    task, bench = task_and_bench
    whole, candidates = collected(task, bench)
    resumed, rest = collected(task, bench, candidates[:3])

    same = {"seconds": 0.0}
    assert [replace(candidate, **same) for candidate in rest] == [
        replace(candidate, **same) for candidate in candidates[3:]
    ]
    assert replace(resumed, **same) == replace(whole, **same)
    assert len(whole.predictions) == 10


@pytest.mark.parametrize("find", [search, race])
def test_an_interrupted_search_prunes_as_the_undisturbed_one(task_and_bench, monkeypatch, find):
    """The pruner knows the same values of a replayed candidate, also where patience ended it before the schedule."""

    def wandering(maps, training, validation, *, recipe, device):
        random, loss = np.random.default_rng(recipe.seed), 0.8
        for epoch in range(1, 17):
            loss -= random.choice([0, 0, 0, 0.05, 0.1]) * random.random()
            scores = random.normal(size=len(validation))
            yield Epoch(
                epoch=epoch,
                steps=epoch,
                training_loss=loss,
                validation_loss=loss,
                validation_auc=0.5,
                validation_scores=scores,
            )

    monkeypatch.setattr(candidate_module, "train", wandering)
    task, bench = task_and_bench
    training = replace(bench.procedure.training, epochs=16, patience=4)
    settings = replace(bench.procedure.search, candidates=12)
    context = replace(bench, procedure=replace(bench.procedure, training=training, search=settings))
    for plan in map(str, range(6)):
        announced, drawn = [], replace(task, plan=plan)
        find(drawn, context, (), announced.append)
        for stop in (5, 7, 9):
            rest = []
            find(drawn, context, announced[:stop], rest.append)
            states = [[(one.state, len(one.reported)) for one in some] for some in (rest, announced[stop:])]
            assert states[0] == states[1]


def test_a_ledger_of_another_search_is_not_replayed(task_and_bench):
    """Candidates whose hyperparameters the study would not propose end the cell, not silently change it."""
    task, bench = task_and_bench
    _, candidates = collected(task, bench)
    foreign = replace(candidates[0], values={**candidates[0].values, "head_learning_rate": 0.5})

    result = run_guarded(task, bench, [foreign], lambda _: None)
    assert result.state == "failed"
    assert "other hyperparameters than its replay" in result.reason


def test_the_choice_is_the_candidate_whose_last_epochs_are_best(task_and_bench):
    """With whole schedules, the last epoch of each inner fold counts, whatever a lucky one before it showed."""
    task, bench = task_and_bench
    procedure = replace(bench.procedure, training=replace(bench.procedure.training, budget="schedule"))
    result, candidates = collected(task, replace(bench, procedure=procedure))

    def mean_last_loss(candidate):
        return np.mean(
            [
                next(item.validation_loss for item in candidate.epochs if (item.inner_fold, item.epoch) == (fold, 4))
                for fold in (0, 1)
            ]
        )

    complete = [candidate for candidate in candidates if candidate.state == "complete"]
    winner = min(complete, key=mean_last_loss)
    assert result.candidate == winner.number
    assert winner.objective == pytest.approx(mean_last_loss(winner))
    assert winner.best_steps == (12, 12), "20 exams are 3 batches of at most 8, for 4 epochs"
    assert result.steps == 20, "40 exams are 5 batches, for as many epochs"


def test_with_the_budget_of_the_best_epoch_the_refit_takes_its_median_steps(task_and_bench):
    """The winner has the smallest mean of best losses over inner folds, recomputed here from the epochs."""
    task, bench = task_and_bench
    result, candidates = collected(task, bench)

    def mean_best_loss(candidate):
        return np.mean(
            [min(epoch.validation_loss for epoch in candidate.epochs if epoch.inner_fold == fold) for fold in (0, 1)]
        )

    complete = [candidate for candidate in candidates if candidate.state == "complete"]
    winner = min(complete, key=mean_best_loss)
    assert result.candidate == winner.number
    assert winner.objective == pytest.approx(mean_best_loss(winner))
    batches = 3
    best_epochs = [
        min((epoch.validation_loss, epoch.epoch) for epoch in winner.epochs if epoch.inner_fold == fold)[1]
        for fold in (0, 1)
    ]
    assert result.steps == round(float(np.median([epoch * batches for epoch in best_epochs])))


def test_members_are_refits_of_the_winners_in_turn(task_and_bench):
    """Of three members with two winners, the second alone is the runner-up's; all three decide and are calibrated."""
    task, bench = task_and_bench
    procedure = replace(
        bench.procedure,
        training=replace(bench.procedure.training, members=3, budget="schedule"),
        search=replace(bench.procedure.search, winners=2, prune=False),
    )
    bench = replace(bench, procedure=procedure)
    result, candidates = collected(task, bench)
    first, second = sorted(candidates, key=lambda candidate: candidate.objective)[:2]

    def alone(candidate, member, training=task.training, judged=task.evaluation, *fold):
        # Five batches an epoch of all 40 exams, three of 20, for four epochs.
        steps = 12 if fold else 20
        network = refit(
            bench.maps,
            training,
            recipe=recipe_for(task, bench, candidate.values, "calibration" if fold else "member", member, *fold),
            steps=steps,
            horizon=steps,
            device=torch.device("cpu"),
        )
        return predict_scores(network, bench.maps, judged, device=torch.device("cpu")).tolist()

    scores = [[item.score for item in result.predictions if item.member == member] for member in range(3)]
    assert scores == [alone(first, 0), alone(second, 1), alone(first, 2)]
    labels = np.concatenate([split.validation.labels for split in task.inner])
    inner = (2 * np.asarray(first.inner_scores) + np.asarray(second.inner_scores)) / 3
    again = [
        [alone(one, member, split.training, split.validation.rows, fold) for fold, split in enumerate(task.calibration)]
        for member, one in enumerate((first, second, first))
    ]
    slope, intercept = _platt(
        np.mean([np.concatenate(member) for member in again], axis=0),
        np.concatenate([split.validation.labels for split in task.calibration]),
    )
    cut = _best_threshold(inner, labels)
    assert [item.threshold for item in result.predictions] == pytest.approx([expit(slope * cut + intercept)] * 30)


def test_other_inputs_and_other_searches_train_from_the_same_seeds(task_and_bench):
    """A stress and a dual cell of one fold, and cells of different spaces, share seeds: they are paired."""
    task, bench = task_and_bench
    only = replace(bench.procedure, search=replace(bench.procedure.search, candidates=1))
    one, _ = collected(task, replace(bench, procedure=only))
    more, _ = collected(task, replace(bench, procedure=replace(only, decision=DecisionSettings(calibration="none"))))

    assert [item.score for item in one.predictions] == [item.score for item in more.predictions]


def test_a_diverging_candidate_is_a_failed_row_and_the_cell_goes_on(task_and_bench, tmp_path):
    """A learning rate that explodes fails its candidate; when every candidate fails, the cell says why."""
    task, bench = task_and_bench
    (tmp_path / "wild.toml").write_text(
        '[encoder_learning_rate]\nkind = "fixed"\nvalue = 1e30\n'
        '[head_learning_rate]\nkind = "choice"\nchoices = [1e30]\n'
    )
    wild = replace(bench.procedure, space=load_space("wild.toml", tmp_path, 4))
    result, candidates = collected(task, replace(bench, procedure=wild))

    assert {candidate.state for candidate in candidates} == {"failed"}
    assert all(candidate.error and candidate.objective is None for candidate in candidates)
    assert result.state == "failed"
    assert "none of 5 candidates could be trained" in result.reason
    assert ranked(candidates, wild.search) == []


def test_members_differ_and_are_numbered(task_and_bench):
    """Each member is refitted with a seed of its own."""
    task, bench = task_and_bench
    procedure = replace(
        bench.procedure,
        training=replace(bench.procedure.training, members=2),
        search=replace(bench.procedure.search, candidates=1),
    )
    result, _ = collected(task, replace(bench, procedure=procedure))
    scores = {member: [item.score for item in result.predictions if item.member == member] for member in (0, 1)}

    assert len(scores[0]) == len(scores[1]) == 10
    assert scores[0] != scores[1]


def test_the_objective_can_be_an_auc(task_and_bench):
    """With `objective = "auc"` candidates carry AUCs and the largest wins."""
    task, bench = task_and_bench
    procedure = replace(bench.procedure, search=replace(bench.procedure.search, objective="auc", prune=False))
    result, candidates = collected(task, replace(bench, procedure=procedure))
    objectives = [candidate.objective for candidate in candidates]

    assert all(0 <= objective <= 1 for objective in objectives)
    assert objectives[result.candidate] == max(objectives)


def test_nothing_a_worker_receives_has_a_place_for_a_held_out_label():
    """Labels exist only inside `LabelledExams`; evaluation is row numbers, scores are of exams in `inner`."""
    assert {field.name for field in fields(Maps)} == {"stress", "rest", "has_stress", "has_rest", "tracer"}
    assert {field.name for field in fields(CellTask)} == {
        "key",
        "plan",
        "training",
        "inner",
        "calibration",
        "evaluation",
        "scores",
    }
    assert {field.name for field in fields(InnerSplit)} == {"training", "validation", "patients"}


def test_what_cannot_be_told_of_a_candidate_fails_no_cell(task_and_bench):
    """A standard error that went away, or a full disk behind it, ends the run: the cell is not committed as failed."""
    task, bench = task_and_bench

    def gone(candidate) -> None:
        raise BrokenPipeError

    def work(task, context, finished, on_candidate):
        on_candidate(CandidateResult(number=0, state="pruned", values={}, objective=None))

    with pytest.raises(BrokenPipeError):
        run_guarded(task, bench, (), gone, work)
