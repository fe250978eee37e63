"""What the driver counts while a run goes on, with a clock of the test's own."""

from dataclasses import replace
from itertools import count

import pytest

from orchestrator.cells.records import CandidateResult, CellKey, CellResult, EpochRecord, Worker, failed_cell
from orchestrator.experiment.settings import CohortSettings, Experiment
from orchestrator.monitoring.counters import _LATELY, RunCounters
from orchestrator.monitoring.progress import InputsProgress
from orchestrator.runners.deadline import Pace

STRESS = [CellKey(inputs="stress", partition="development", repeat=0, fold=fold) for fold in range(4)]
DUAL = [CellKey(inputs="dual", partition="development", repeat=0, fold=fold) for fold in range(2)]
NUMBERS = count()
HERE = Worker(host="here", process=17, processor="avx2")


class Clock:
    """Time goes on when the test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def complete(key: CellKey) -> CellResult:
    """A cell that ended well."""
    return replace(failed_cell(key, "cpu", "", 1.0), state="complete")


def candidate(objective: float | None) -> CandidateResult:
    """A finished candidate, another one with every call."""
    return CandidateResult(
        number=next(NUMBERS),
        state="pruned" if objective is None else "complete",
        values={},
        objective=objective,
        best_steps=(),
        inner_scores=(),
        reported=(),
        epochs=(),
        error="",
        seconds=1.0,
    )


@pytest.fixture
def clock() -> Clock:
    """A new clock."""
    return Clock()


def counters_of(
    clock: Clock,
    keys: list[CellKey],
    begun: list[CellKey] | None = None,
    best: dict[str, float] | None = None,
    pace: Pace | None = None,
) -> RunCounters:
    """Counters of cells that are all to do."""
    ledger = [
        InputsProgress(
            inputs=name,
            complete=0,
            failed=0,
            under_way=0,
            left=sum(key.inputs == name for key in keys),
            best_validation=(best or {}).get(name),
        )
        for name in dict.fromkeys(key.inputs for key in keys)
    ]
    return RunCounters(ledger, keys, begun or {}, "balanced_log_loss", pace, clock)


def test_time_left_is_unknown_until_a_cell_of_this_call_has_ended(clock):
    """No number is shown that nothing supports: not before a cell ended, not from one that was half done before."""
    mine = counters_of(clock, STRESS, begun={STRESS[0]: 1})
    assert mine.progress().seconds_left is None
    mine.start(STRESS[0], HERE)
    clock.now += 10
    mine.end(complete(STRESS[0]))
    assert mine.progress().seconds_left is None
    mine.start(STRESS[1], HERE)
    clock.now += 30
    mine.end(complete(STRESS[1]))
    assert mine.progress().seconds_left == pytest.approx(2 * 30)


def test_two_workers_need_half_the_time(clock):
    """Time left divides by the cells that really went side by side."""
    mine = counters_of(clock, STRESS)
    for key in STRESS[:2]:
        mine.start(key, HERE)
    clock.now += 40
    for key in STRESS[:2]:
        mine.end(complete(key))

    assert mine.progress().seconds_left == pytest.approx(40)


def test_a_cell_under_way_counts_for_what_it_still_needs_and_dual_costs_what_dual_cost(clock):
    """Each input configuration has its own mean; a cell half done needs its other half."""
    mine = counters_of(clock, [STRESS[0], DUAL[0], STRESS[1], DUAL[1]])
    for key, seconds in ((STRESS[0], 10), (DUAL[0], 50)):
        mine.start(key, HERE)
        clock.now += seconds
        mine.end(complete(key))
    mine.start(STRESS[1], HERE)
    clock.now += 4

    assert mine.progress().seconds_left == pytest.approx(6 + 50)


def test_rates_look_back_a_little_while_only(clock):
    """A run that slowed down says so: candidates of long ago do not count as lately."""
    mine = counters_of(clock, STRESS)
    mine.start(STRESS[0], HERE)
    for _ in range(60):
        clock.now += 1
        mine.add(STRESS[0], candidate(0.5))
    assert mine.progress().rate == pytest.approx(1.0)
    clock.now += _LATELY + 1
    mine.add(STRESS[0], candidate(0.5))
    assert mine.progress().rate == pytest.approx(1 / _LATELY)


def test_the_best_score_is_the_lowest_loss_of_its_inputs_and_of_earlier_calls(clock):
    """Input configurations are never mixed, pruned candidates have no score, and earlier calls still count."""
    mine = counters_of(clock, [*STRESS, *DUAL], best={"stress": 0.4})
    for key, objective in ((STRESS[0], 0.6), (DUAL[0], 0.7), (DUAL[0], 0.3), (DUAL[0], None)):
        mine.add(key, candidate(objective))

    assert mine.progress().best == {"stress": 0.4, "dual": 0.3}


def test_a_cell_that_begins_again_is_the_same_cell_in_another_try(clock):
    """A lost worker does not make two cells of one, and its failed end counts as failed."""
    mine = counters_of(clock, STRESS)
    assert [mine.start(STRESS[0], HERE), mine.start(STRESS[0], HERE, 2)] == [False, True]
    (running,) = mine.progress().running
    assert (running.attempt, running.host, running.worker) == (2, "here", 17)
    mine.end(failed_cell(STRESS[0], "cpu", "lost", 0.0))

    now = mine.progress()
    assert (now.complete, now.failed, now.running, now.total) == (0, 1, (), 4)


def test_a_silence_is_slow_or_hung_by_what_the_run_itself_took(clock):
    """A cell is slow beyond what the epochs of its run explain, hung beyond five times that; a result resets it."""
    settings = Experiment(name="x", cohort=CohortSettings(manifest="manifest.csv", inputs=("stress",)))
    pace = Pace(settings.training, settings.search, settings.decision, settings.resources)
    mine = counters_of(clock, STRESS, pace=pace)
    mine.start(STRESS[0], HERE)
    clock.now += 10_000
    assert mine.progress().longest is None
    assert mine.progress().running[0].pace(None) == "usual"

    epoch = EpochRecord(inner_fold=0, epoch=1, training_loss=1.0, validation_loss=1.0, validation_auc=0.5)
    mine.add(STRESS[0], replace(candidate(0.5), seconds=4.0, epochs=(epoch,) * 8))
    work = max(settings.search.inner_folds, settings.training.members * (1 + settings.search.inner_folds))
    longest = 0.5 * settings.training.epochs * work
    assert mine.progress().longest == pytest.approx(longest)
    found = []
    for silence in (0.9, 1.1, 4.9, 5.1):
        clock.now = 11_000 + silence * longest
        found.append(mine.progress().running[0].pace(longest))
    assert found == ["usual", "slow", "slow", "hung"]
    mine.add(STRESS[0], candidate(0.5))
    assert mine.progress().running[0].pace(longest) == "usual"
