"""A tiny run, whole and in one process, for every test of the orchestrator."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cells import guard
from orchestrator.cells.records import CandidateResult, CellResult, CellTask, EpochRecord
from orchestrator.driver.resume import RunOptions, RunOutcome
from orchestrator.driver.run import run_experiment
from orchestrator.experiment.file import load_experiment
from orchestrator.ledger.paths import RunPaths, run_paths
from orchestrator.monitoring.progress import NullProgress, Progress
from orchestrator.runners.inline import InlineRunner
from orchestrator.runners.runner import Runner

TABLES = ("cells", "candidates", "epochs", "predictions")


def _tried(number: int, seconds: float) -> CandidateResult:
    """A finished candidate."""
    return CandidateResult(
        number=number,
        state="complete",
        values={"encoder_learning_rate": 1e-4, "head_learning_rate": 1e-3, "freeze_depth": 2},
        objective=0.5 + number / 100,
        best_steps=(10,),
        inner_scores=(0.1, -0.2),
        reported=(0.7, 0.6),
        epochs=(EpochRecord(inner_fold=0, epoch=1, training_loss=0.7, validation_loss=0.6, validation_auc=None),),
        error="",
        seconds=seconds,
    )


class _NoRunner:
    """A runner for runs that should need none: using it fails the test."""

    def run(self, *_: object) -> None:
        raise AssertionError("something was trained")


def _run(
    experiment: Path,
    *overrides: str,
    open_test: bool = False,
    retry_failed: bool = False,
    runner: Runner | None = None,
    progress: Progress | None = None,
) -> RunOutcome:
    options = RunOptions(open_test=open_test, retry_failed=retry_failed)
    loaded = load_experiment(experiment, overrides)
    return run_experiment(loaded, options, progress or NullProgress(), runner or InlineRunner())


def _digests(paths: RunPaths) -> dict[str, str]:
    return {name: hashlib.sha256(paths.table(name).read_bytes()).hexdigest() for name in TABLES}


def _paths_of(experiment: Path) -> RunPaths:
    return run_paths(experiment.parent / "runs" / "tiny")


@pytest.fixture(scope="session")
def no_runner() -> Runner:
    """A runner for runs that should need none: using it fails the test."""
    return _NoRunner()


@pytest.fixture(scope="session")
def tried() -> Callable[[int, float], CandidateResult]:
    """Makes a finished candidate of that number and of so many seconds."""
    return _tried


@pytest.fixture(scope="session")
def run() -> Callable[..., RunOutcome]:
    """`polarmap run --runner inline` without the command line."""
    return _run


@pytest.fixture(scope="session")
def digests() -> Callable[[RunPaths], dict[str, str]]:
    """SHA-256 of every table that must not depend on who ran what when."""
    return _digests


@pytest.fixture(scope="session")
def paths_of() -> Callable[[Path], RunPaths]:
    """The run directory beside an experiment file."""
    return _paths_of


@pytest.fixture(scope="session")
def folder_of() -> Callable[[Path], Path]:
    """The run directory beside an experiment file as a folder, for a look that does not go through the ledger."""
    return lambda experiment: experiment.parent / "runs" / "tiny"


@pytest.fixture
def failing_cells(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Mapping[str, BaseException]], AbstractContextManager[None]]:
    """A block in which cells fail: the errors by the name of the cell that raises each."""

    @contextmanager
    def failing(errors: Mapping[str, BaseException]) -> Iterator[None]:
        original = guard.run_cell

        def run_cell(task: CellTask, *others: Any) -> CellResult:
            if task.key.name in errors:
                raise errors[task.key.name]
            return original(task, *others)

        with monkeypatch.context() as patched:
            patched.setattr(guard, "run_cell", run_cell)
            yield

    return failing


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, make_tiny: Callable[..., Path]) -> Path:
    """A finished run of the tiny experiment with its test opened; copy before changing."""
    experiment = make_tiny(tmp_path_factory.mktemp("finished"))
    _run(experiment, open_test=True)
    return experiment


@pytest.fixture
def mine(finished: Path, tmp_path: Path) -> Path:
    """A private copy of the finished run."""
    shutil.copytree(finished.parent, tmp_path / "copy")
    return tmp_path / "copy" / "experiment.toml"
