"""What the tests of the ledger share: a finished run, and a way to run again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.driver.resume import RunOptions, RunOutcome
from orchestrator.driver.run import run_experiment
from orchestrator.experiment.file import load_experiment
from orchestrator.monitoring.progress import NullProgress, Progress
from orchestrator.runners.inline import InlineRunner


class Heard(NullProgress):
    """A terminal that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Keep a remark."""
        self.lines.append(line)


@pytest.fixture(scope="session")
def run() -> Callable[..., RunOutcome]:
    """`polarmap run --runner inline` without the command line."""

    def run(experiment: Path, *overrides: str, open_test: bool = True, progress: Progress | None = None) -> RunOutcome:
        options = RunOptions(open_test=open_test)
        loaded = load_experiment(experiment, overrides)
        return run_experiment(loaded, options, progress or NullProgress(), InlineRunner())

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory, make_tiny, run) -> Path:
    """The experiment file of a finished tiny run with its test opened; copy before changing."""
    experiment = make_tiny(tmp_path_factory.mktemp("finished"))
    run(experiment)
    return experiment


@pytest.fixture
def mine(finished, tmp_path) -> Path:
    """A private copy of the finished run."""
    shutil.copytree(finished.parent, tmp_path / "copy")
    return tmp_path / "copy" / "experiment.toml"


@pytest.fixture
def heard() -> Heard:
    """A terminal that keeps what it was told."""
    return Heard()
