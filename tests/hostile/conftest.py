"""A cohort as small as folds allow, and the one way in which every hostile input is tried."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from asking import ask

Folder = Path


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, make_tiny: Callable[..., Path]) -> Path:
    """A sound experiment with its cohort; tests work on copies."""
    folder = tmp_path_factory.mktemp("template")
    make_tiny(folder, patients=32, test_patients=4)
    return folder


@pytest.fixture
def sound(template: Path, tmp_path: Path) -> Path:
    """A copy of it to be spoiled."""
    folder = tmp_path / "sound"
    shutil.copytree(template, folder)
    return folder


@pytest.fixture
def refused(sound: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Asks for a command in the spoiled folder, and checks how it ends."""
    monkeypatch.chdir(sound)

    def check(words: list[str], code: int, *fragments: str) -> str:
        found = ask(words)
        errors = capsys.readouterr().err
        assert found == code, errors
        assert "a bug" not in errors
        assert "Traceback" not in errors
        for fragment in fragments:
            assert fragment in errors
        # What is said is a few lines that a person reads, and none of them commands the terminal.
        assert len(errors) < 20_000
        assert all(line.isprintable() for line in errors.replace("\t", " ").splitlines())
        return errors

    yield check
    signal.alarm(0)
