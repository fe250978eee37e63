"""Standard output that is full, closed, a broken pipe or ASCII: one line and a documented code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-P", "-m", "orchestrator"]


def _asked(words: list[str], stdout: int, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | environment,
        timeout=120,
    )


def _one_line(found: subprocess.CompletedProcess[str], fragment: str) -> None:
    assert found.returncode == 2, found.stderr
    assert found.stderr.startswith("polarmap: ")
    assert len(found.stderr.splitlines()) == 1
    assert fragment in found.stderr
    assert "a bug" not in found.stderr


@pytest.mark.parametrize("words", [["schema"], ["check", "experiment.toml"], ["check", "experiment.toml", "--json"]])
def test_a_full_output_is_one_line(words, sound):
    """No room where standard output goes ends with code 2, and Python adds nothing of its own."""
    with Path("/dev/full").open("wb") as full:
        found = subprocess.run(
            [*COMMAND, *words], cwd=sound, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120
        )
    _one_line(found, "No space left")


@pytest.mark.parametrize("words", [["schema"], ["check", "experiment.toml"]])
def test_a_reader_that_went_away_is_one_line(words, sound):
    """`polarmap check … | head -0` ends with code 2 and says why."""
    reading, writing = os.pipe()
    os.close(reading)
    found = subprocess.run(
        [*COMMAND, *words], cwd=sound, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=120
    )
    os.close(writing)
    _one_line(found, "ended before everything was written")


def test_a_closed_output_is_one_line():
    """Without a standard output nothing is begun: the next file that is opened would take its place."""
    found = subprocess.run(
        ["bash", "-c", 'exec "$@" >&-', "-", *COMMAND, "schema"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    _one_line(found, "standard output is closed")


def test_a_build_date_that_is_no_number_is_one_line():
    """NumPy and Matplotlib read SOURCE_DATE_EPOCH as a number on import; a person was told that polarmap has a bug."""
    _one_line(_asked(["schema"], subprocess.DEVNULL, SOURCE_DATE_EPOCH="today"), "SOURCE_DATE_EPOCH")


def test_an_ascii_output_is_one_line(sound):
    """Letters that the output cannot hold end with code 2 and name the variable that helps."""
    found = _asked(["schema"], subprocess.DEVNULL, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    _one_line(found, "PYTHONIOENCODING=utf-8")
