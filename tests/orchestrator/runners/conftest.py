"""Jobs, events and cheap work for the tests of runners."""

import os
import re
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ray import cloudpickle

from orchestrator.cells.records import CandidateResult, CellKey, CellResult, Worker, cell_keys
from orchestrator.driver.prepare import prepare
from orchestrator.driver.resume import _facts_of
from orchestrator.driver.run import pending_jobs
from orchestrator.driver.training import worker_context
from orchestrator.experiment.file import load_experiment
from orchestrator.experiment.processor import device_for
from orchestrator.ledger.paths import run_paths
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.progress import NullProgress
from orchestrator.runners.ray_session import ray_session
from orchestrator.runners.runner import Hang, Unfit

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file


@pytest.fixture(scope="module")
def tune_folder() -> Iterator[Path]:
    """Ray on this machine, for all tests of a module."""
    with ray_session(None) as folder:
        yield folder


class Collected:
    """Events that only remember."""

    def __init__(self) -> None:
        self.begun: list[CellKey] = []
        self.candidates: list[tuple[CellKey, CandidateResult]] = []
        self.cells: list[tuple[CellResult, int]] = []
        self.workers: list[Worker] = []
        self.hangs: list[tuple[CellKey, Hang]] = []
        self.retries: list[tuple[CellKey, str, int]] = []
        self.waits: list[str] = []
        self.unfit_nodes: list[Unfit] = []

    def started(self, key: CellKey, worker: Worker, attempt: int) -> None:
        self.begun.append(key)
        self.workers.append(worker)

    def hung(self, key: CellKey, hang: Hang) -> None:
        self.hangs.append((key, hang))

    def waiting(self, message: str) -> None:
        self.waits.append(message)

    def unfit(self, unfit: Unfit) -> None:
        self.unfit_nodes.append(unfit)

    def candidate(self, key: CellKey, result: CandidateResult) -> None:
        self.candidates.append((key, result))

    def retried(self, key: CellKey, cause: str, attempt: int) -> None:
        self.retries.append((key, cause, attempt))

    def cell(self, result: CellResult, attempt: int) -> None:
        self.cells.append((result, attempt))


@pytest.fixture
def collected() -> Collected:
    """Events that only remember."""
    return Collected()


@pytest.fixture(scope="session")
def new_events() -> type[Collected]:
    """Makes events that only remember, for what outlives a test."""
    return Collected


@pytest.fixture(scope="session")
def work_of() -> Callable[..., tuple]:
    """Jobs, worker context and resources of an experiment of which nothing has run."""

    def make(experiment: Path, *overrides: str) -> tuple:
        prepared = prepare(load_experiment(experiment, overrides), NullProgress())
        settings = prepared.loaded.experiment
        facts = _facts_of(prepared, None, device_for(settings.resources))
        keys = cell_keys(settings)
        jobs = pending_jobs(prepared, RunState.read(run_paths(experiment.parent / "nothing")), keys)
        context = worker_context(prepared, None, "cpu", facts)
        return jobs, context, settings.resources

    return make


def candidate_of(number: int) -> CandidateResult:
    """A candidate without a training."""
    return CandidateResult(
        number=number,
        state="complete",
        values={},
        objective=0.5,
        best_steps=(1,),
        inner_scores=(),
        reported=(),
        epochs=(),
        error="",
        seconds=0.0,
    )


def cell_of(key: CellKey, **fields: object) -> CellResult:
    """A cell without a training."""
    empty = {"candidate": 0, "steps": 1, "values": {}, "predictions": (), "models": (), "seconds": 0.0}
    return CellResult(**{"key": key, "state": "complete", "reason": "", "host": "", "device": "cpu", **empty, **fields})


class CheapWork:
    """Three candidates that train nothing but leave a file each; trouble is asked before (-1) and after each."""

    def __init__(self, folder: Path, trouble: Callable[..., CellResult | None]) -> None:
        self.folder = folder
        self.trouble = trouble
        folder.mkdir()

    def __call__(self, task, context, finished, on_candidate):
        self.trouble(task.key, -1)
        for number in range(len(finished), 3):
            (self.folder / f"{task.key.name} {number} {uuid.uuid4().hex}").touch()
            on_candidate(candidate_of(number))
            failed = self.trouble(task.key, number)
            if failed is not None:
                return failed
        return cell_of(task.key)

    def trained(self) -> list[tuple[str, int]]:
        """Every candidate that was computed, as often as it was."""
        names = [path.name.split() for path in self.folder.iterdir()]
        return sorted((cell, int(number)) for cell, number, _ in names)


def first_time(path: Path) -> bool:
    """Whether nobody asked for this path before."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def die() -> None:
    """End this process as the kernel would."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def hang() -> None:
    """Never come back, inside C and with Python's lock held."""
    re.match("(a+)+$", "a" * 64 + "b")


@pytest.fixture(scope="session")
def cheap_work() -> type[CheapWork]:
    """Makes cheap work around some trouble, in a new folder."""
    return CheapWork


@pytest.fixture(scope="session")
def troubles() -> type:
    """What can be done to a worker, for tests that are pickled with it."""

    class Troubles:
        first_time = staticmethod(first_time)
        die = staticmethod(die)
        hang = staticmethod(hang)
        cell_of = staticmethod(cell_of)

    return Troubles
