"""Every slot of a cluster is put to work, however short its cells are."""

import os
import time

import pytest

from orchestrator.runners.ray_tune import run_on_tune

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_a_free_worker_never_ends_one_that_is_starting(tiny, tune_folder, work_of, collected, troubles, tmp_path):
    """Cells much shorter than a worker's start: all slots come to work; by Tune's own choice most stay out."""
    slots = (os.cpu_count() or 1) * 2
    repeats = 4 * slots
    jobs, context, resources = work_of(tiny, "resources.cpus_per_cell=0.5", f"folds.repeats={repeats}")

    def work(task, context, finished, on_candidate):
        (tmp_path / f"worker-{os.getpid()}").touch()
        time.sleep(0.4)
        return troubles.cell_of(task.key)

    run_on_tune(jobs, context, resources, collected, tune_folder / "workers", work)

    assert len(collected.cells) == len(jobs)
    assert len(list(tmp_path.glob("worker-*"))) == slots
