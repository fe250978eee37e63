"""What a pilot forecasts: closed forms where there is one, Optuna's own pruner where there is none."""

import json
import math
import random
from dataclasses import replace

import numpy as np
import optuna
import pandas as pd
import pytest

from mpi_model import training
from mpi_model.settings import TrainingSettings
from orchestrator.cells.study import PRUNING_WARM_UP, startup_candidates
from orchestrator.cells.timed import Kind, TimedTraining
from orchestrator.cli import main
from orchestrator.clusters.lint.prices import worker_types
from orchestrator.clusters.lint.reading import read_cluster_file
from orchestrator.driver import forecast as module
from orchestrator.driver import pilot
from orchestrator.driver.forecast import forecast
from orchestrator.driver.prepare import prepare
from orchestrator.driver.simulated_search import Workload, _Fold, _side_by_side
from orchestrator.driver.untimed_kinds import with_untimed
from orchestrator.experiment.file import load_experiment
from orchestrator.experiment.settings import SearchSettings
from orchestrator.ledger.reading import Run
from orchestrator.monitoring.progress import NullProgress
from orchestrator.report.build import report_of
from orchestrator.report.export import export
from orchestrator.statistics.intervals import Method

KIND = Kind(encoder_stages=None, freeze_depth=0)


def timed(seconds, epochs, ended=True, costs=None, first=False, setup=0.0, refit_epoch=None):
    """A training of equal epochs, in a refit as long unless told."""
    return TimedTraining(
        inputs="stress",
        kind=KIND,
        first=first,
        setup=setup,
        costs=tuple(costs or np.linspace(1.0, 0.5, epochs).tolist()),
        seconds=(seconds,) * epochs,
        refit_epoch=seconds if refit_epoch is None else refit_epoch,
        best=epochs,
        ended=ended,
    )


def workload(search, training, cells=50):
    """Cells of 160 exams with inner parts of 100, and a final one of 200."""
    exams = {"stress": (100.0, 160.0, 200.0)}
    return Workload(cells=cells, exams=exams, shares={KIND: 1.0}, calibrated=False, search=search, training=training)


@pytest.fixture
def certain(monkeypatch):
    """No error of the model itself: with equal trainings, nothing is left to chance."""
    monkeypatch.setattr(module, "_MODEL_ERROR", 0.0)


def test_whole_schedules_take_what_multiplication_says(certain):
    """Without pruning and patience a cell is candidates × folds × epochs, and the refits."""
    work = workload(SearchSettings(strategy="all_folds", prune=False), TrainingSettings(budget="schedule"))
    found = forecast([timed(0.5, 30)], work, workers=[1, 4], device="cpu")
    cell = 20 * 3 * 30 * 0.5 + 3 * 30 * 0.5 * 160 / 100

    assert found.cell_seconds["stress"].estimate == pytest.approx(cell)
    assert found.worker_hours.estimate == pytest.approx(cell * (50 + 200 / 160) / 3600)
    assert found.wall_hours[1].estimate == pytest.approx(found.worker_hours.estimate + module._START / 3600)
    # Fifty cells and a longer one in four workers: twelve rounds, two cells, and the final one beside or after them.
    assert found.wall_hours[4].estimate * 3600 == pytest.approx(cell * (12 + 200 / 160) + module._START)


def test_a_flat_search_takes_a_part_and_its_members(certain):
    """Twenty candidates without two folds, three members without one, and three more on each calibration fold."""
    work = workload(SearchSettings(scheme="flat"), TrainingSettings(budget="schedule"))
    found = forecast([timed(0.5, 30)], replace(work, calibrated=True), workers=[1], device="cpu")

    expected = 20 * 15.0 * 120 / 100 + 3 * 15.0 * 160 / 100 + 9 * 15.0
    assert found.cell_seconds["stress"].estimate == pytest.approx(expected)


def test_a_race_takes_the_sum_of_its_rungs(certain):
    """Twenty trainings on the first fold, ten on the second, five on the third."""
    work = workload(SearchSettings(strategy="race", prune=False), TrainingSettings(budget="schedule", members=1))
    found = forecast([timed(0.5, 30)], work, workers=[1], device="cpu")

    assert found.cell_seconds["stress"].estimate == pytest.approx(35 * 15.0 + 24.0)


def test_with_a_best_epoch_a_refit_takes_its_candidates_steps(certain):
    """More patients make an epoch longer, and not the refit: it takes twelve epochs' steps, as its candidate did."""
    work = workload(SearchSettings(strategy="all_folds", prune=False), TrainingSettings(budget="best_epoch", members=1))
    found = forecast([timed(0.5, 12)], work, workers=[1], device="cpu")

    assert found.cell_seconds["stress"].estimate == pytest.approx((20 * 3 + 1) * 12 * 0.5)


def test_refits_are_not_charged_for_scores_that_they_do_not_compute(certain):
    """A candidate scores its validation exams after each epoch, a refit nothing: three members at .3 s, not .5."""
    work = workload(SearchSettings(strategy="all_folds", prune=False), TrainingSettings(budget="schedule"))
    found = forecast([timed(0.5, 30, refit_epoch=0.3)], work, workers=[1], device="cpu")

    assert found.cell_seconds["stress"].estimate == pytest.approx(20 * 3 * 30 * 0.5 + 3 * 30 * 0.3 * 160 / 100)


def test_calibration_trains_every_member_once_more_on_every_fold(certain):
    """Three members on three folds of their own are nine more trainings, as long as refits of that size."""
    work = workload(SearchSettings(strategy="all_folds", prune=False), TrainingSettings(budget="schedule"))
    plain, calibrated = (
        forecast([timed(0.5, 30)], replace(work, calibrated=yes), workers=[1], device="cpu").cell_seconds["stress"]
        for yes in (False, True)
    )

    assert calibrated.estimate - plain.estimate == pytest.approx(9 * 15.0)


def test_what_a_worker_computes_once_is_not_counted_for_every_training(certain):
    """Features of frozen stages take a minute once a worker, however many trainings read them."""
    work = workload(
        SearchSettings(strategy="all_folds", prune=False), TrainingSettings(budget="schedule", members=1), cells=1
    )
    trainings = [timed(0.5, 30, first=True, setup=60.0), timed(0.5, 30)]
    with_filling, without = (forecast(some, work, workers=[1], device="cpu") for some in (trainings, trainings[1:]))
    more = (with_filling.worker_hours.estimate - without.worker_hours.estimate) * 3600

    assert more == pytest.approx(60.0)


def test_trainings_without_an_end_widen_the_interval():
    """A pilot that saw no end of a training does not pretend to know how long patience lets it go on."""
    work = workload(SearchSettings(prune=False), TrainingSettings())
    seen = [timed(0.5, 12) for _ in range(6)]
    sure, unsure = (forecast(some, work, workers=[1], device="cpu") for some in (seen, [timed(0.5, 3, ended=False)]))

    def width(found):
        return found.worker_hours.high - found.worker_hours.low

    assert width(unsure) > width(sure)
    assert sure.ended == 6
    assert unsure.ended == 0


def test_kinds_that_were_not_timed_cost_what_their_stages_cost():
    """Stages of 1, 2, 4 and 8 s beside .5 s for the rest: every other depth and end of the encoder is their sum."""
    cost = {1: 1.0, 2: 2.0, 3: 4.0, 4: 8.0}
    kinds = [Kind(encoder_stages=ends, freeze_depth=depth) for ends in range(1, 5) for depth in range(ends + 1)]
    exact = {
        kind: 0.5 + sum(cost[stage] for stage in range(kind.freeze_depth + 1, kind.encoder_stages + 1))
        for kind in kinds
    }
    some = [Kind(encoder_stages=ends, freeze_depth=depth) for ends, depth in ((4, 0), (4, 1), (4, 2), (3, 1), (2, 2))]
    seen = [replace(timed(exact[kind], 12), kind=kind) for kind in some]
    found = with_untimed(seen, kinds)

    assert {one.kind for one in found} == set(kinds)
    for one in found:
        assert np.median(one.seconds) == pytest.approx(exact[one.kind], rel=0.01)


def test_a_kind_that_was_not_timed_fills_no_cache_in_every_training():
    """The nearest kind's first training spent a minute on frozen stages; that is a worker's, not a candidate's."""
    near, far = Kind(encoder_stages=None, freeze_depth=1), Kind(encoder_stages=None, freeze_depth=2)
    seen = [timed(1.0, 12, setup=0.1), replace(timed(0.8, 12, first=True, setup=60.0), kind=near)]
    (copied,) = [one for one in with_untimed(seen, [KIND, near, far]) if one.kind == far]

    assert copied.setup == 0.1


def test_the_median_rule_is_optunas():
    """Ten searches of candidates with two folds: each candidate ends at the epoch at which Optuna ends it."""
    generator, search = np.random.default_rng(0), SearchSettings(inner_folds=2)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    stops = 0
    for _ in range(10):
        proposed = []
        for _ in range(search.candidates):
            level = generator.normal()
            folds = []
            for _ in range(2):
                length = int(generator.integers(7, 31))
                path = np.minimum.accumulate(level + generator.normal(size=30))
                path[length:] = path[length - 1]
                folds.append(_Fold(length, length, path))
            proposed.append((KIND, folds))
        tried = _side_by_side(proposed, search)
        random_ones = startup_candidates(search)
        study = optuna.create_study(
            pruner=optuna.pruners.MedianPruner(n_startup_trials=random_ones, n_warmup_steps=PRUNING_WARM_UP)
        )
        for one in tried:
            trial, most = study.ask(), max(fold.length for fold in one.folds)
            mean, stop = np.mean([fold.path for fold in one.folds], axis=0), None
            for epoch in range(1, most):
                trial.report(mean[epoch - 1], epoch)
                if trial.should_prune():
                    stop = epoch
                    break
            study.tell(trial, None if stop else mean[-1], state=optuna.trial.TrialState.PRUNED if stop else None)
            assert one.complete == (stop is None)
            assert list(one.epochs) == [min(fold.length, stop or fold.length) for fold in one.folds]
            stops += stop is not None
    assert stops > 20


def test_cells_end_when_a_queue_served_by_hand_ends():
    """The time by the clock is that of workers who take the next cell when they are free."""
    drawn = random.Random(3)
    cells = [drawn.uniform(1, 9) for _ in range(23)]
    free = [0.0, 0.0, 0.0]
    for seconds in cells:
        free[free.index(min(free))] += seconds

    assert module._makespan(cells, 3) == pytest.approx(max(free))


CLUSTER = """
provider: {type: aws, region: eu-central-1}
max_workers: 6
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}, max_workers: 0, node_config: {InstanceType: m6i.large}}
  plain: {max_workers: 4, node_config: {InstanceType: m5.xlarge}}
  many: {node_config: {InstanceType: m9z.2xlarge}}
  gpu: {resources: {CPU: 4, GPU: 1}, max_workers: 2, node_config: {InstanceType: g5.xlarge}}
"""


def test_a_pilot_says_hours_and_price_for_this_machine_and_the_clusters_nodes(tiny, tmp_path, capsys, monkeypatch):
    """The command trains, forecasts and prices; a GPU's hours are not guessed from a processor's."""
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    monkeypatch.setattr(pilot, "_SECONDS", 0.0)  # a glance of each kind only
    words = ["plan", str(tiny), "--pilot", "--workers", "3", "--cluster", str(tmp_path / "cluster.yaml")]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["pilot"]

    assert found["workers"] == 3
    # Of five freeze depths four get a glance when there is no time; what the fifth costs follows from them.
    assert found["run"]["trainings"] == 4 * len(found["run"]["cell_seconds"])
    assert 0 < found["run"]["worker_hours"]["low"] <= found["run"]["worker_hours"]["estimate"]
    plain, many, gpu = found["nodes"]
    assert (plain["workers"], many["workers"], gpu["workers"]) == (16, 48, 0)
    # The table's prices: 4 nodes at .23 and a head at .115 dollars an hour.
    assert plain["dollars"]["estimate"] == pytest.approx(plain["wall_hours"]["estimate"] * (4 * 0.23 + 0.115))
    assert many["dollars"] is None
    assert many["wall_hours"]["estimate"] > 0
    assert gpu["wall_hours"] is None

    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "with 3 cells side by side here (90% intervals)" in printed
    assert "2 × g5.xlarge (gpu): not known; run the pilot on such a node" in printed


def test_an_epoch_of_a_refit_is_timed_apart_from_what_surrounds_it(tiny, monkeypatch):
    """With a clock that counts optimiser steps, an epoch takes its batches, of a candidate and of a refit alike."""
    taken = []
    step = training._step

    def counted(*arguments):
        taken.append(1)
        return step(*arguments)

    monkeypatch.setattr(training, "_step", counted)
    monkeypatch.setattr("orchestrator.cells.pilot.time.process_time", lambda: float(len(taken)))
    monkeypatch.setattr(pilot, "_SECONDS", 0.0)
    prepared = prepare(load_experiment(tiny, ["training.batch_size=7"]), NullProgress())
    tasks = pilot._first_cells(prepared)
    timed, _ = pilot._timed(prepared, tasks, "cpu", NullProgress())

    assert timed
    for one in timed:
        batches = math.ceil(len(tasks[one.inputs].inner[0].training) / 7)
        assert set(one.seconds) == {batches}
        assert one.refit_epoch == batches


def test_what_a_pilot_is_told_needs_a_pilot(tiny, capsys):
    """Workers and cluster files say nothing to a plan that times nothing, so they are not ignored."""
    assert main(["plan", str(tiny), "--workers", "2"]) == 2
    assert "add `--pilot`" in capsys.readouterr().err
    assert main(["plan", str(tiny), "--pilot", "--workers", "0"]) == 2


def test_the_clusters_workers_are_those_that_its_file_allows(tmp_path):
    """A head that runs no cells is none of them, and the cluster's maximum bounds a type without one."""
    (tmp_path / "cluster.yaml").write_text(CLUSTER)
    found = {node.name: node for node in worker_types(read_cluster_file(tmp_path / "cluster.yaml"))}

    assert {name: node.nodes for name, node in found.items()} == {"plain": 4, "many": 6, "gpu": 2}
    assert {name: node.cores for name, node in found.items()} == {"plain": 4, "many": 8, "gpu": 4}
    assert found["many"].dollars is None


def test_after_a_run_plan_says_what_more_patients_would_buy(finished, paths_of, capsys):
    """From the run's own intervals and times; of more repeats nothing is said where the run has one."""
    assert main(["plan", str(finished), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = pd.DataFrame(told["further"])
    summary = Run(paths_of(finished)).summary
    default = summary[(summary["metric"] == "auc") & (summary["method"] == Method.WITHIN_FOLD) & summary["low"].notna()]

    assert len(found)
    assert set(found["repeats"]) == {1}
    for (tracer, inputs), rows in found.groupby(["tracer", "inputs"]):
        mine = default[(default["tracer"] == tracer) & (default["inputs"] == inputs) & (default["subgroup"] == "all")]
        (own,) = mine[mine["model"] == "network"].itertuples()
        assert rows["width"].iloc[0] == pytest.approx(own.high - own.low)
        assert rows["patients"].tolist() == [1.0, 1.5, 2.0, 4.0]
        assert rows["width"].is_monotonic_decreasing
        assert (rows["worker_hours"] / rows["patients"]).tolist() == pytest.approx([rows["worker_hours"].iloc[0]] * 4)

    assert main(["plan", str(finished)]) == 0
    printed = capsys.readouterr().out
    assert "what more would buy, Tc-99m (stress): the 95% interval is" in printed
    tested = [row for row in told["precision"] if row["partition"] == "test"]
    few = [row for row in tested if min(row["positive"], row["negative"]) < 10]
    assert printed.count("the report gives counts in place of an AUC") == len(few) > 0

    # The report has the same widths, and no hours: equal runs give equal reports.
    text = export(report_of(Run(paths_of(finished)), drawn=False), "markdown").partition("## What more would buy")[2]
    work, *lines = [line.split(" | ")[1:] for line in text.partition("\n\n")[2].partition("\n\n")[0].splitlines()[2:]]
    assert [cell.strip(" |") for cell in work] == ["1", "1.5", "2", "4"]
    widths = [rows["width"].map("{:.3f}".format).tolist() for _, rows in found.groupby(["tracer", "inputs"])]
    assert sorted([cell.strip(" |") for cell in line] for line in lines) == sorted(widths)
