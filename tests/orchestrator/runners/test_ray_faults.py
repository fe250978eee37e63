"""Workers that die, err and break on real Ray, all in one run: what is lost, what is tried again, what is said."""

import os
import platform
import time
from pathlib import Path

import pytest

from orchestrator.runners.ray_tune import run_on_tune

pytestmark = [
    pytest.mark.ray,
    pytest.mark.thorough,
    pytest.mark.filterwarnings("ignore"),  # Ray 2.60's own
]
KILLED_ONCE, ALWAYS_KILLED, ERRING, FAULTY = "stress-r00-f0", "dual-r00-f0", "stress-r00-f1", "dual-r00-f1"
HANGING_ONCE = "stress-final"
DEADLINE = 8
"""Seconds; a candidate of cheap work takes a thousandth of one."""


@pytest.fixture(scope="module")
def troubled(tmp_path_factory, make_tiny, tune_folder, work_of, new_events, cheap_work, troubles):
    """The tiny experiment's six cells, two attempts each, in batches of four, with trouble in five of them."""
    folder = tmp_path_factory.mktemp("troubled")

    def trouble(key, number):
        if key.name == KILLED_ONCE and number == 1 and troubles.first_time(folder / "killed"):
            troubles.die()
        if key.name == ALWAYS_KILLED:
            troubles.die()
        if key.name == ERRING and number == 0:
            raise ImportError("no module named cardiology")
        if key.name == FAULTY and number == 0 and troubles.first_time(folder / "faulty"):
            (folder / "faulty").write_text(str(os.getpid()))
            return troubles.cell_of(key, state="failed", reason="CUDA error", fault="gpu_fault")
        if key.name == HANGING_ONCE and number == 1 and troubles.first_time(folder / "hanging"):
            troubles.hang()
        return None

    jobs, context, resources = work_of(
        make_tiny(folder), "resources.attempts=2", f"resources.candidate_deadline={DEADLINE}"
    )
    events, work = new_events(), cheap_work(folder / "trained", trouble)
    grid = run_on_tune(jobs, context, resources, events, tune_folder / "troubled", work, batch=4)
    return events, work, grid, folder


def outcome(events, name: str) -> tuple[str, int, str]:
    """State, attempt and reason of a cell that ended; there is exactly one."""
    ((result, attempt),) = [(result, attempt) for result, attempt in events.cells if result.key.name == name]
    return result.state, attempt, result.reason


def retries(events, name: str) -> list[tuple[str, int]]:
    """What was said of a cell that began again."""
    return [(cause, attempt) for key, cause, attempt in events.retries if key.name == name]


def test_a_dead_worker_costs_the_candidate_it_was_at_and_nothing_before(troubled):
    """Killed after two candidates, a cell goes on with its third: none is trained twice, and one attempt is spent."""
    events, work, _, _ = troubled

    assert outcome(events, KILLED_ONCE) == ("complete", 2, "")
    assert retries(events, KILLED_ONCE) == [("its worker process died", 2)]
    assert [number for cell, number in work.trained() if cell == KILLED_ONCE] == [0, 1, 2]


def test_a_cell_that_always_kills_its_worker_fails_alone(troubled):
    """After two tries such a cell is a failed row with its reason; the other cells end as if it were not there."""
    events, _, _, _ = troubled

    assert outcome(events, ALWAYS_KILLED) == ("failed", 2, "its worker process died (2 attempts)")
    assert outcome(events, "dual-final") == ("complete", 1, "")


def test_an_error_in_a_worker_is_not_tried_again_and_says_what_it_was(troubled):
    """What a library cannot do the first time is not tried twice; the traceback is kept for the log."""
    events, work, _, _ = troubled
    (failed,) = (result for result, _ in events.cells if result.key.name == ERRING)

    assert outcome(events, ERRING) == ("failed", 1, "an error in its worker: ImportError: no module named cardiology")
    assert "File" in failed.trace
    assert retries(events, ERRING) == []
    assert [number for cell, number in work.trained() if cell == ERRING] == [0]


def test_a_gpu_that_fails_takes_its_worker_with_it(troubled):
    """After a CUDA fault the process ends before another cell can meet its broken context; the cell comes again."""
    events, work, _, folder = troubled
    process, deadline = Path("/proc") / (folder / "faulty").read_text(), time.monotonic() + 20
    while process.exists() and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not process.exists()
    assert outcome(events, FAULTY) == ("complete", 2, "")
    assert retries(events, FAULTY) == [("the GPU failed under it", 2)]
    assert [number for cell, number in work.trained() if cell == FAULTY] == [0, 1, 2]


def test_a_worker_that_hangs_is_ended_with_its_stack_and_its_cell_goes_on(troubled):
    """Past the deadline the stack names the place, even where Python's lock is held; no candidate is trained twice."""
    events, work, _, _ = troubled
    ((key, hang),) = events.hangs

    assert key.name == HANGING_ONCE
    assert hang.worker in events.workers
    assert hang.seconds > DEADLINE
    assert "in hang" in hang.stacks
    assert outcome(events, HANGING_ONCE) == ("complete", 2, "")
    assert [attempt for _, attempt in retries(events, HANGING_ONCE)] == [2]
    assert "gave no sign" in retries(events, HANGING_ONCE)[0][0]
    assert [number for cell, number in work.trained() if cell == HANGING_ONCE] == [0, 1, 2]


def test_the_driver_knows_where_each_attempt_is(troubled):
    """Host, process and vector instructions of a worker are told before its first candidate, for each attempt."""
    events, _, _, _ = troubled

    assert {worker.host for worker in events.workers} == {platform.node()}
    assert all(worker.process and worker.node and worker.processor for worker in events.workers)
    assert len(events.workers) == len(events.begun) == 6 + 4  # a second attempt of four cells


def test_tune_is_given_no_more_trials_at_a_time_than_it_may_keep(troubled):
    """In batches of four the six cells with their retries still end, each once."""
    events, _, grid, _ = troubled

    assert len({result.key for result, _ in events.cells}) == len(events.cells) == 6
    assert len(grid) <= 4
