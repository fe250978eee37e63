"""The contract of a runner, held by the one on real Ray: what the inline runner writes, it writes."""

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
import ray
from ray import tune

from mpi_model.errors import ExperimentError, RunDirectoryError
from orchestrator.driver.resume import RunOptions
from orchestrator.driver.run import run_experiment
from orchestrator.experiment.file import load_experiment
from orchestrator.monitoring.progress import NullProgress
from orchestrator.runners.inline import InlineRunner
from orchestrator.runners.ray_runner import RayRunner
from orchestrator.runners.ray_tune import run_on_tune

pytestmark = [
    pytest.mark.ray,
    # Ray 2.60's own modules warn on import and at shutdown; none of it is ours to mend.
    pytest.mark.filterwarnings("ignore"),
]
TABLES = ("cells", "candidates", "epochs", "predictions")


def test_a_run_on_ray_writes_what_the_inline_runner_writes(tmp_path, make_tiny, tune_folder):
    """Tables and models of both runners are the same bytes, of a search that comes back to its candidates, too."""
    written = []
    for runner in (InlineRunner(), RayRunner()):
        experiment = make_tiny(tmp_path / type(runner).__name__)
        options = RunOptions(open_test=True)
        loaded = load_experiment(experiment, ["search.strategy=race", "search.inner_folds=2", "search.winners=1"])
        paths = run_experiment(loaded, options, NullProgress(), runner).paths
        root = Path(paths.root)
        files = [*(root / "tables" / f"{name}.parquet" for name in TABLES), *sorted((root / "models").iterdir())]
        written.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files})

    assert written[0] == written[1]
    assert len(written[0]) == 10  # four tables; a network in two files and a baseline in one, for two inputs


def test_workers_have_the_priority_of_the_driver(tune_folder):
    """Beside other work a worker gets its fair share of the processor; Ray's own setting leaves it next to nothing."""

    @ray.remote(num_cpus=0)
    def nice() -> int:
        return os.getpriority(os.PRIO_PROCESS, 0)

    assert ray.get(nice.remote()) == os.getpriority(os.PRIO_PROCESS, 0)


@pytest.mark.thorough
def test_a_flat_search_on_ray_writes_what_the_inline_runner_writes(tmp_path, make_tiny, tune_folder):
    """Its two stages, parts and then cells that choose by them, give the same tables from both runners."""
    written = []
    settings = ("search.scheme=flat", "folds.folds=3", 'cohort.inputs=["stress"]', "training.epochs=1")
    for runner in (InlineRunner(), RayRunner()):
        loaded = load_experiment(make_tiny(tmp_path / type(runner).__name__), settings)
        root = Path(run_experiment(loaded, RunOptions(), NullProgress(), runner).paths.root)
        written.append([(root / "tables" / f"{name}.parquet").read_bytes() for name in TABLES])

    assert written[0] == written[1]


@pytest.mark.thorough
def test_every_cell_is_a_trial_of_tunes_grid_with_the_resources_asked_for(tiny, tune_folder, work_of, collected):
    """Tune's result grid has one result a cell, no errors, and the processors that `cpus_per_cell` reserved."""
    jobs, context, resources = work_of(tiny, "search.candidates=1", "training.epochs=1", "resources.cpus_per_cell=2")
    grid = run_on_tune(jobs, context, resources, collected, tune_folder / "grid")

    assert grid.num_errors == 0
    assert {Path(result.path).name for result in grid} == {job.task.key.name for job in jobs}
    assert len(grid) == 6
    assert {result.metrics["resources"]["CPU"] for result in grid} == {2.0}
    assert {result.metrics["state"] for result in grid} == {"complete"}
    assert sorted(result.key.name for result, _ in collected.cells) == sorted(job.task.key.name for job in jobs)
    assert len(collected.candidates) == 6
    assert {key.name for key in collected.begun} == {job.task.key.name for job in jobs}


@pytest.mark.thorough
def test_a_worker_is_sent_its_own_cell_and_no_other(tiny, tune_folder, work_of, collected, monkeypatch):
    """What all workers share holds references, not jobs: no cell's labels travel to another cell's worker."""
    shared = {}
    original = tune.with_parameters

    def watched(trainable, **parameters):
        shared.update(parameters)
        return original(trainable, **parameters)

    monkeypatch.setattr(tune, "with_parameters", watched)
    jobs, context, resources = work_of(tiny, "search.candidates=1", "training.epochs=1")
    run_on_tune(jobs[:1], context, resources, collected, tune_folder / "shared")

    assert set(shared) == {"context", "work", "self_test"}
    assert {field.name for field in fields(shared["context"])} == {"maps", "procedure", "state", "device", "facts"}


def test_what_no_node_can_give_is_refused_at_once(tiny, tune_folder, work_of, collected):
    """More cores than any node has would be waited for silently; the request is named instead."""
    jobs, context, resources = work_of(tiny, "resources.cpus_per_cell=4096")
    with pytest.raises(ExperimentError, match=r"reserves 4096 CPUs .* no node has them"):
        run_on_tune(jobs, context, resources, collected, tune_folder / "room")


@pytest.mark.thorough
def test_a_terminated_ray_run_ends_in_one_line_and_goes_on_later(tiny):
    """A scheduler's SIGTERM during a run on Ray gives exit code 130, not Ray's abort."""
    command = [sys.executable, "-P", "-m", "orchestrator", "run", str(tiny), "--set", "training.epochs=30"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    cells, deadline = tiny.parent / "runs" / "tiny" / "cells", time.monotonic() + 600
    while not any(cells.glob("*/candidates-*.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.terminate()
    _, rest = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "interrupted; the same command goes on" in rest


@pytest.mark.thorough
@pytest.mark.parametrize("error", [RunDirectoryError("no space left"), BrokenPipeError("no space left")], ids=repr)
def test_what_cannot_be_kept_or_shown_ends_the_run_with_its_own_error(tiny, tune_folder, work_of, collected, error):
    """A full disk, or a reader that went away, stops every trial and reaches the caller as what it is."""
    jobs, context, resources = work_of(tiny, "training.epochs=1")
    remember = collected.candidate

    def full(key, result):
        remember(key, result)
        raise error

    collected.candidate = full
    with pytest.raises(type(error), match="no space left"):
        run_on_tune(jobs, context, resources, collected, tune_folder / type(error).__name__)

    assert len(collected.candidates) == 1
    assert collected.cells == []


def test_the_session_folder_is_private_and_ray_asks_nobody_home(tune_folder):
    """Ray's world-open session lies in a folder only its user can enter; usage statistics are off."""
    assert tune_folder.stat().st_mode & 0o077 == 0
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    assert session.is_relative_to(tune_folder)
    assert not ray._common.usage.usage_lib.usage_stats_enabled()


@pytest.mark.thorough
def test_the_driver_on_ray_does_without_torch(tiny, command_without):
    """Workers import torch; the driver, which only writes what they bring, starts in half the time without it."""
    found = command_without(["run", tiny, "--progress", "none"], "torch")
    assert found.returncode == 0, found.stderr
