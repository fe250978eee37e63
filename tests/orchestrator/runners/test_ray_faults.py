"""Workers that die, err and break on real Ray: what is lost, what is tried again, what is said."""

import os
import time

import pytest

from orchestrator.runners.ray_tune import run_on_tune

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore"),  # Ray 2.60's own
]
THREE_EACH = [(cell, number) for cell in ("dual-final", "stress-final") for number in range(3)]


@pytest.fixture
def two_cells(tiny, work_of):
    """The two final cells of the tiny experiment, with everything that runs them."""

    def make(*overrides):
        jobs, bench, resources = work_of(tiny, *overrides)
        return jobs[-2:], bench, resources

    return make


def outcomes(collected) -> dict[str, tuple[str, int]]:
    """State and attempt of every cell that ended."""
    return {result.key.name: (result.state, attempt) for result, attempt in collected.cells}


def test_a_dead_worker_costs_the_candidate_it_was_at_and_nothing_before(
    two_cells, tune_folder, collected, cheap_work, troubles, tmp_path
):
    """Killed after two candidates, a cell goes on with its third: none is trained twice, and one attempt is spent."""

    def trouble(key, number):
        if key.name == "stress-final" and number == 1 and troubles.first_time(tmp_path / "killed"):
            troubles.die()

    work = cheap_work(trouble)
    run_on_tune(*two_cells(), collected, tune_folder / "worker", work)

    assert work.trained() == THREE_EACH
    assert outcomes(collected) == {"stress-final": ("complete", 2), "dual-final": ("complete", 1)}
    assert [(key.name, cause, attempt) for key, cause, attempt in collected.retries] == [
        ("stress-final", "its worker process died", 2)
    ]


def test_a_cell_that_always_kills_its_worker_fails_alone(two_cells, tune_folder, collected, cheap_work, troubles):
    """After `attempts` tries such a cell is a failed row with its reason; the other one is complete."""

    def trouble(key, number):
        if key.name == "stress-final":
            troubles.die()

    run_on_tune(*two_cells("resources.attempts=2"), collected, tune_folder / "always", cheap_work(trouble))

    assert outcomes(collected) == {"stress-final": ("failed", 2), "dual-final": ("complete", 1)}
    reasons = {result.key.name: result.reason for result, _ in collected.cells}
    assert reasons["stress-final"] == "its worker process died (2 attempts)"


def test_an_error_in_a_worker_is_not_tried_again_and_says_what_it_was(
    two_cells, tune_folder, collected, cheap_work, troubles
):
    """What a library cannot do the first time is not tried thrice; the traceback is kept for the log."""

    def trouble(key, number):
        if key.name == "stress-final":
            raise ImportError("no module named cardiology")

    work = cheap_work(trouble)
    run_on_tune(*two_cells(), collected, tune_folder / "error", work)
    (failed,) = (result for result, _ in collected.cells if result.state == "failed")

    assert failed.reason == "an error in its worker: ImportError: no module named cardiology"
    assert "Traceback" in failed.trace or "File" in failed.trace
    assert collected.retries == []
    assert ("stress-final", 1) not in work.trained()


def test_a_gpu_that_fails_takes_its_worker_with_it(two_cells, tune_folder, collected, cheap_work, troubles, tmp_path):
    """After a CUDA fault the process is gone before another cell can meet its broken context; the cell comes again."""

    def trouble(key, number):
        if key.name == "stress-final" and number == 0 and troubles.first_time(tmp_path / "faulty"):
            (tmp_path / "faulty").write_text(str(os.getpid()))
            return troubles.cell_of(key, state="failed", reason="CUDA error", fault="gpu_fault")
        return None

    work = cheap_work(trouble)
    run_on_tune(*two_cells("resources.cpus_per_cell=2"), collected, tune_folder / "fault", work)

    assert outcomes(collected) == {"stress-final": ("complete", 2), "dual-final": ("complete", 1)}
    assert work.trained() == THREE_EACH
    process, deadline = int((tmp_path / "faulty").read_text()), time.monotonic() + 20
    while os.path.exists(f"/proc/{process}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{process}")


def test_tune_is_given_no_more_cells_at_a_time_than_it_may_keep(
    tiny, work_of, tune_folder, collected, cheap_work, troubles, tmp_path
):
    """In batches of four every cell still ends once, a lost one of an earlier batch among them."""

    def trouble(key, number):
        if key.name == "dual-r00-f1" and troubles.first_time(tmp_path / "killed"):
            troubles.die()

    jobs, bench, resources = work_of(tiny)
    grid = run_on_tune(jobs, bench, resources, collected, tune_folder / "batches", cheap_work(trouble), batch=4)

    assert sorted(outcomes(collected)) == sorted(job.task.key.name for job in jobs)
    assert len(collected.cells) == 6
    assert len(grid) == 3
