"""When a silent worker counts as hung, with a clock of the test's own, and what a hung process tells; no Ray."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from orchestrator.cells.records import CandidateResult, EpochRecord, failed_cell
from orchestrator.experiment.settings import CohortSettings, Experiment, ResourceSettings
from orchestrator.runners import inline
from orchestrator.runners.deadline import Pace, Watch
from orchestrator.runners.hung_worker import end_hung_worker
from orchestrator.runners.inline import InlineRunner

SETTINGS = Experiment(name="x", cohort=CohortSettings(manifest="manifest.csv", inputs=("stress",)))
HOURS = 3600.0
HANGING = """
import re, sys
from orchestrator.runners.hung_worker import let_stacks_be_read
let_stacks_be_read()
def lost_in_a_library():
    print("hangs", flush=True)
    re.match("(a+)+$", "a" * 64 + "b")
lost_in_a_library()
"""


class Clock:
    """Time goes on when the test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def pace(deadline="auto") -> Pace:
    """Of the default settings."""
    resources = ResourceSettings(candidate_deadline=deadline)
    return Pace(SETTINGS.training, SETTINGS.search, SETTINGS.decision, resources)


def candidate(seconds: float, epochs: int) -> CandidateResult:
    """A candidate of so many epochs."""
    epoch = EpochRecord(inner_fold=0, epoch=1, training_loss=1.0, validation_loss=1.0, validation_auc=0.5)
    return CandidateResult(
        number=0,
        state="complete",
        values={},
        objective=0.5,
        best_steps=(1,),
        inner_scores=(),
        reported=(),
        epochs=(epoch,) * epochs,
        error="",
        seconds=seconds,
    )


def silent_for(watch: Watch, clock: Clock, seconds: float) -> list[float]:
    """What is overdue, at a look a second, and after how many seconds."""
    found = []
    for second in range(int(seconds)):
        clock.now += 1.0
        found += [float(second + 1) for _ in watch.overdue()]
    return found


def test_a_deadline_is_far_beyond_what_the_runs_own_epochs_explain():
    """Hours before anything is known; then half an hour, or twenty schedules of the slowest epoch; more each try."""
    mine = pace()
    assert mine.deadline(1) == 6 * HOURS
    mine.add(candidate(3.0, 60))
    assert mine.deadline(1) == 0.5 * HOURS
    mine.add(candidate(0.0, 0))
    mine.add(candidate(100.0, 2))  # pruned early, and its epochs took fifty seconds each
    training, folds = SETTINGS.training, SETTINGS.search.inner_folds
    whole = 50.0 * training.epochs * max(folds, training.members * (1 + folds))
    assert mine.deadline(1) == pytest.approx(20 * whole)
    assert mine.deadline(3) == pytest.approx(16 * 20 * whole)
    assert pace(90.0).deadline(1) == pace(90.0).deadline(3) == 90.0


def test_an_attempt_is_overdue_once_and_a_word_begins_its_time_anew():
    """Silence is counted from the last word; what has ended is not waited for; the first word may take longer."""
    clock = Clock()
    watch = Watch(pace(60.0), clock)
    watch.begun(1, 1)
    assert silent_for(watch, clock, 800) == []  # libraries are still being imported
    watch.heard(1)
    assert silent_for(watch, clock, 59) == []
    watch.heard(1)
    assert silent_for(watch, clock, 200) == [61.0]
    watch.begun(2, 1)
    watch.heard(2)
    watch.ended(2)
    assert silent_for(watch, clock, 200) == []


def test_a_start_has_a_deadline_of_its_own_from_its_beginning_on():
    """Before anything is measured a worker that never speaks is lost after fifteen minutes, not after six hours."""
    clock = Clock()
    watch = Watch(pace(), clock)
    watch.begun(1, 1)  # its worker is being started
    assert silent_for(watch, clock, 600) == []
    watch.begun(1, 1)  # Ray called it up: its time does not begin anew
    assert silent_for(watch, clock, 600) == [301.0]
    watch.begun(2, 2)
    assert silent_for(watch, clock, 3700) == [3601.0]


def test_a_flat_searchs_parts_are_measured_by_their_whole_schedules():
    """A part trains each candidate once to the end and records no epochs; others measure nothing."""
    search = replace(SETTINGS.search, scheme="flat")
    mine = Pace(SETTINGS.training, search, SETTINGS.decision, ResourceSettings())
    mine.add(replace(candidate(0.0, 0), objective=0.4))  # judged by a cell: nothing was trained
    mine.add(replace(candidate(500.0, 0), state="failed"))
    assert mine.deadline(1) == 6 * HOURS
    mine.add(candidate(600.0, 0))
    refits = SETTINGS.training.members * (1 + search.inner_folds)
    assert mine.longest == pytest.approx(600.0 * refits)
    assert mine.deadline(1) == pytest.approx(20 * 600.0 * refits)


def test_a_driver_that_was_paused_itself_blames_nobody():
    """After SIGSTOP for a day the driver's own pause is no worker's silence, and a clock set by a year is no time."""
    clock = Clock()
    watch = Watch(pace(60.0), clock)
    watch.begun(1, 1)
    watch.heard(1)
    clock.now += 24 * HOURS
    assert list(watch.overdue()) == []
    assert silent_for(watch, clock, 100) == [56.0]


def started(code: str) -> subprocess.Popen:
    """A process that has said its first word."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_holds_pythons_lock_still_tells_where_it_is_and_is_ended():
    """Lost inside C, a worker can run no Python: its stack is read all the same, and it is gone afterwards."""
    with started(HANGING) as process:
        stacks = end_hung_worker(process.pid)
        assert process.wait(30) == -signal.SIGKILL
    assert "in lost_in_a_library" in stacks


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_stopped_process_is_ended_and_another_one_is_left_alone():
    """Of a stopped worker the state is told; a process that took a dead worker's number is never ended."""
    with started(HANGING) as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        assert "stopped" in end_hung_worker(process.pid)
        assert process.wait(30) == -signal.SIGKILL
    with started("import time; print(1, flush=True); time.sleep(600)") as other:
        assert end_hung_worker(other.pid) == "its process is gone"
        assert other.poll() is None
        other.kill()


def test_without_ray_a_silent_cell_is_told_with_its_stack_and_goes_on(tiny, work_of, collected, monkeypatch):
    """In one process nobody can end the worker but the person: the place is named, and the cell ends as it would."""
    monkeypatch.setattr(inline, "_SECONDS_BETWEEN_LOOKS", 0.01)
    jobs, context, resources = work_of(tiny)

    def lost_in_thought(task, context, finished, on_candidate):
        deadline = time.monotonic() + 60
        while not collected.hangs and time.monotonic() < deadline:
            time.sleep(0.01)
        return replace(failed_cell(task.key, "cpu", "", 0.0), state="complete")

    resources = replace(resources, candidate_deadline=1.0)
    InlineRunner(work=lost_in_thought).run(jobs[:1], context, resources, collected)

    ((key, hang),) = collected.hangs
    assert key == jobs[0].task.key
    assert "in lost_in_thought" in hang.stacks
    assert not hang.is_ended
    assert [result.state for result, _ in collected.cells] == ["complete"]
