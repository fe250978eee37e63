"""Standard output that is full, closed, a broken pipe or ASCII: one line and a documented code."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

from orchestrator.report.figures.drawing import house_style

COMMAND = [sys.executable, "-P", "-m", "orchestrator"]


def _asked(
    words: list[str],
    stdout: int,
    *,
    cwd: Path | None = None,
    through: str = "",
    seconds: float = 120,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own; `through` is a line of a shell that ends as `exec "$@"` does."""
    return subprocess.run(
        [*(["bash", "-c", through, "-"] if through else []), *COMMAND, *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=cwd,
        text=True,
        check=False,
        env=os.environ | environment,
        timeout=seconds,
    )


def _one_line(found: subprocess.CompletedProcess[str], fragment: str) -> None:
    assert found.returncode == 2, found.stderr
    assert found.stderr.startswith("polarmap: ")
    assert len(found.stderr.splitlines()) == 1
    assert fragment in found.stderr
    assert "a bug" not in found.stderr


@pytest.mark.parametrize(
    "words",
    [
        *(["schema"], ["check", "experiment.toml"], ["check", "experiment.toml", "--json"]),
        *(["--help"], ["--version"], ["--print-completion", "bash"]),
    ],
    ids=" ".join,
)
def test_a_full_output_is_one_line(words, sound):
    """No room where standard output goes ends with code 2, and Python adds nothing of its own."""
    with Path("/dev/full").open("wb") as full:
        found = _asked(words, full.fileno(), cwd=sound)
    _one_line(found, "No space left")


@pytest.mark.parametrize("words", [["schema"], ["check", "experiment.toml"]])
def test_a_reader_that_went_away_is_one_line(words, sound):
    """`polarmap check … | head -0` ends with code 2 and says why."""
    reading, writing = os.pipe()
    os.close(reading)
    found = _asked(words, writing, cwd=sound)
    os.close(writing)
    _one_line(found, "ended before everything was written")


def test_a_closed_output_is_one_line():
    """Without a standard output nothing is begun: the next file that is opened would take its place."""
    _one_line(_asked(["schema"], subprocess.PIPE, through='exec "$@" >&-'), "standard output is closed")


def test_a_folder_that_was_deleted_is_one_line():
    """Torch's libraries ended the process in words of their own, with a code that happens to be 2."""
    found = _asked(["schema"], subprocess.PIPE, through='cd "$(mktemp -d)" && rmdir "$PWD" && exec "$@"')
    _one_line(found, "the current folder no longer exists")


def test_a_closed_standard_error_is_no_output(sound):
    """What would have gone to standard error goes nowhere: neither among the tables, nor into a file."""
    found = _asked(["check", "nowhere.toml"], subprocess.PIPE, cwd=sound, through='exec "$@" 2>&-')
    assert (found.returncode, found.stdout) == (2, "")


@pytest.mark.parametrize("date", ["today", "9" * 30, ""])
def test_a_build_date_that_is_none_is_one_line(date):
    """NumPy and Matplotlib read SOURCE_DATE_EPOCH as a date on import; a person was told that polarmap has a bug."""
    _one_line(_asked(["schema"], subprocess.DEVNULL, SOURCE_DATE_EPOCH=date), "SOURCE_DATE_EPOCH")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", "::::"),
        ("AWS_ENDPOINT_URL", "https://[::1"),
        ("AWS_ENDPOINT_URL", "ftp://storage"),
        ("AWS_REGION", "eu\x01"),
        ("AWS_ACCESS_KEY_ID", "a\nb"),
    ],
)
def test_an_address_of_storage_that_is_none_is_one_line(name, value):
    """The client of object storage ended the process with a traceback of its own."""
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", name: value}
    _one_line(
        _asked(["status", "s3://bucket/x"], subprocess.DEVNULL, **keys),
        f"{name} in the environment has a value that is not valid",
    )


def test_a_figure_needs_no_backend_of_the_environment(sound):
    """A name in MPLBACKEND that is none ended every command that draws, as a bug."""
    code = "from orchestrator.cli import main; main(['schema']); import matplotlib.figure"
    found = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.DEVNULL,
        check=False,
        env=os.environ | {"MPLBACKEND": "nonsense"},
        timeout=120,
    )
    assert found.returncode == 0


def test_a_persons_own_style_changes_no_figure():
    """Formulas by LaTeX, or another resolution, of a matplotlibrc in the current folder are not taken over."""
    with matplotlib.rc_context({"text.usetex": True, "savefig.dpi": 7, "axes.grid": True}), house_style():
        found = {name: matplotlib.rcParams[name] for name in ("text.usetex", "savefig.dpi", "axes.grid")}
    assert found == {"text.usetex": False, "savefig.dpi": "figure", "axes.grid": False}


def test_a_style_that_is_a_named_pipe_is_one_line(sound):
    """Matplotlib would wait for the writer of a pipe called matplotlibrc in the current folder."""
    os.mkfifo(sound / "matplotlibrc")
    found = _asked(["evaluate", "p.csv"], subprocess.DEVNULL, cwd=sound, seconds=20)
    _one_line(found, "matplotlibrc in this folder is not a file")


def test_patients_stay_apart_where_python_leaves_assertions_out():
    """Under `python -O` a patient in a training set and in its evaluation set is still refused."""
    code = (
        "import numpy as np; from orchestrator.cells.tasks import _assert_apart\n"
        "try: _assert_apart([(np.array([0]), np.array([1]))], np.array([7, 7]))\n"
        "except AssertionError: raise SystemExit(9)"
    )
    assert subprocess.run([sys.executable, "-OO", "-c", code], check=False, timeout=120).returncode == 9


def test_an_ascii_output_is_one_line(sound):
    """Letters that the output cannot hold end with code 2 and name the variable that helps."""
    found = _asked(["schema"], subprocess.DEVNULL, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    _one_line(found, "PYTHONIOENCODING=utf-8")
