"""What people do wrong: each case as typed at the command line, with its exit code and what the message must say."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from orchestrator.cli import main

Change = Callable[[Path], None]


def replaced(old: str, new: str, name: str = "experiment.toml") -> Change:
    """A text of a file replaced; the text must be there."""

    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def map_of(values: np.ndarray) -> Change:
    """The first stress map replaced."""
    return lambda folder: np.save(folder / "000-stress.npy", values)


def weights(content: object) -> Change:
    """A weights file beside the experiment, which names it."""

    def change(folder: Path) -> None:
        torch.save(content, folder / "weights.pth")
        replaced('weights = "random"', 'weights = "weights.pth"')(folder)

    return change


def copied(source: str, target: str) -> Change:
    """One patient's map is also another's."""
    return lambda folder: shutil.copy(folder / source, folder / target) and None


def unwritable(folder: Path) -> None:
    """The folder of the runs is a file."""
    (folder / "runs").write_text("not a folder")


FIRST_ROW = "patient-000,Tc-99m,0,F,development,000-stress.npy,000-rest.npy"
CASES: dict[str, tuple[Change, int, tuple[str, ...]]] = {
    "broken TOML": (replaced("folds = 2", "folds = "), 2, ("not valid TOML", "line")),
    "unknown key": (replaced("candidates", "candidate"), 2, ("unknown key `candidate`", "did you mean `candidates`?")),
    "wrong type": (replaced("epochs = 3", 'epochs = "3"'), 2, ("`training.epochs` must be a whole number",)),
    "no such experiment": (lambda folder: (folder / "experiment.toml").unlink(), 2, ("polarmap init",)),
    "no manifest": (lambda folder: (folder / "manifest.csv").unlink(), 3, ("manifest.csv",)),
    "missing image": (lambda folder: (folder / "000-stress.npy").unlink(), 3, ("row 1", "stress")),
    "unreadable image": (lambda folder: (folder / "000-stress.npy").write_text("no"), 3, ("row 1", "stress")),
    "empty image": (map_of(np.zeros((16, 16))), 3, ("row 1", "stress")),
    "NaN": (map_of(np.full((16, 16), np.nan)), 3, ("row 1", "stress")),
    "wrong label": (replaced(FIRST_ROW, FIRST_ROW.replace(",0,", ",2,"), "manifest.csv"), 3, ("row 1", "label")),
    "unknown tracer": (
        replaced(FIRST_ROW, FIRST_ROW.replace("Tc-99m", "F-18"), "manifest.csv"),
        3,
        ("row 1", "tracer"),
    ),
    "unknown partition": (
        replaced(FIRST_ROW, FIRST_ROW.replace("development", "train"), "manifest.csv"),
        3,
        ("row 1",),
    ),
    "duplicate exam": (
        replaced("patient-002,Tc-99m", "patient-000,Tc-99m", "manifest.csv"),
        3,
        ("rows 1 and 3 (lines 2 and 4) have one exam_id",),
    ),
    "one image, two patients": (
        copied("000-stress.npy", "002-stress.npy"),
        3,
        ("rows 1 and 3 (lines 2 and 4)", "one image under two patients"),
    ),
    "exam without a phase": (
        replaced(FIRST_ROW, "patient-000,Tc-99m,0,F,development,,", "manifest.csv"),
        3,
        ("row 1",),
    ),
    "impossible folds": (replaced("folds = 2", "folds = 9"), 3, ("`folds.folds` = 9", "would work")),
    "runs is a file": (unwritable, 2, ("cannot write the run directory",)),
    "no such weights": (replaced('weights = "random"', 'weights = "mine.pth"'), 2, ("mine.pth",)),
    "weights of another network": (weights({"fc.weight": torch.zeros(3)}), 2, ("network.weights", "weights.pth")),
    "damaged weights": (
        lambda folder: (weights({})(folder), (folder / "weights.pth").write_bytes(b"no"))[0],
        2,
        ("network.weights", "weights.pth"),
    ),
    "too small an image": (replaced("size = 16", "size = 8"), 2, ("16",)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_named_with_its_remedy_and_exit_code(name, tiny, capsys):
    """Rule, place and remedy on standard error, the documented exit code, no traceback, no patient, nothing written."""
    change, code, fragments = CASES[name]
    change(tiny.parent)
    before = {path: path.read_bytes() for path in tiny.parent.rglob("*") if path.is_file()}
    verb = ["run", "--runner", "inline"] if code == 2 else ["check"]

    assert main([verb[0], str(tiny), *verb[1:]]) == code
    errors = capsys.readouterr().err
    assert all(fragment in errors for fragment in fragments), errors
    assert "Traceback" not in errors
    assert "patient-0" not in errors
    assert {path: path.read_bytes() for path in before} == before


def test_a_patient_in_both_partitions_is_refused(tiny, capsys):
    """Two exams of one patient on two sides of the cohort stop everything."""
    rows = (tiny.parent / "manifest.csv").read_text()
    (tiny.parent / "manifest.csv").write_text(rows.replace("patient-050,", "patient-001,"))

    assert main(["check", str(tiny)]) == 3
    assert "rows 2 and 51 (lines 3 and 52) are one patient in development and in test" in capsys.readouterr().err


def test_shifted_columns_do_not_print_what_they_hold(tiny, capsys):
    """A file name or a name with a space in the wrong column is not quoted in any message."""
    shifted = FIRST_ROW.replace("Tc-99m,0", "maps/Papadopoulos_s.png,Papadopoulos 1950 x")
    replaced(FIRST_ROW, shifted, "manifest.csv")(tiny.parent)

    assert main(["check", str(tiny)]) == 3
    errors = capsys.readouterr().err
    assert "row 1" in errors
    assert "Papadopoulos" not in errors


def test_all_problems_of_a_cohort_come_together(tiny, capsys):
    """Three mistakes of different kinds are three lines of one answer."""
    map_of(np.zeros((16, 16)))(tiny.parent)
    replaced("patient-003,Tl-201,1", "patient-003,Tl-201,7", "manifest.csv")(tiny.parent)
    (tiny.parent / "005-rest.npy").unlink()

    assert main(["check", str(tiny)]) == 3
    lines = capsys.readouterr().err.strip().splitlines()
    assert {
        next(row for row in ("row 1", "row 4", "row 6") if f"{row}:" in line or f"{row} " in line or row in line)
        for line in lines
    } == {
        "row 1",
        "row 4",
        "row 6",
    }


def test_a_file_that_exists_is_never_overwritten(tiny, capsys, monkeypatch):
    """`init`, `synth` and `import` leave what is there as it is."""
    before = tiny.read_text()
    assert main(["init", str(tiny)]) == 2
    assert main(["synth", str(tiny.parent), "--patients", "4"]) == 2
    assert tiny.read_text() == before
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["synth"], "needs a folder"),
        (["synth", "new", "--patients", "-3"], "patients"),
        (["synth", "new", "--size", "-1"], "size"),
        (["synth", "new", "--tracer-mix", "Tc-99m=0.9,Tl-201=0.9"], "0.9"),
        (["synth", "new", "--tracer-mix", "half"], "--tracer-mix takes"),
        (["report", "nowhere"], "not a run directory"),
        (["report", "no\0where"], "null character"),
        (["status", "x" * 5000], "File name too long"),
        (["report", "s3://"], "is no s3://bucket/prefix"),
        (["status", "s3://bucket/../x"], "is no s3://bucket/prefix"),
        (["compare", "nowhere", "elsewhere"], "not a run directory"),
        (["evaluate", "nowhere.csv"], "there is no table of predictions nowhere.csv"),
        (["permute", "nowhere.toml", "--times", "0"], "`--times` must be at least 1"),
    ],
)
def test_a_command_called_wrongly_says_how(words, fragment, tmp_path, monkeypatch, capsys):
    """Usage errors end with code 2 and name the argument."""
    monkeypatch.chdir(tmp_path)

    assert main(words) == 2
    errors = capsys.readouterr().err
    assert fragment in errors
    assert len(errors) < 600
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes, where the user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.thorough
def test_a_full_disk_keeps_what_is_finished_and_the_run_goes_on_later(tiny, small_disk, capsys):
    """No space left ends the run with code 2; with room again, the same command finishes it from its cells."""
    ballast = small_disk / "ballast"
    command = [
        "run",
        str(tiny),
        "--runner",
        "inline",
        "--set",
        f"storage.runs={small_disk}",
        "--set",
        "search.candidates=1",
    ]
    ballast.write_bytes(b"0" * (4_194_304 - 120_000))

    assert main(command) == 2
    assert "No space left" in capsys.readouterr().err
    ballast.unlink()
    assert main(command) == 0


@pytest.mark.thorough
def test_an_interrupt_ends_with_130_and_the_run_resumes(tiny):
    """Control-C, and a scheduler's SIGTERM, end the run in one line; run again, it goes on."""
    command = [sys.executable, "-P", "-m", "orchestrator", "run", str(tiny), "--runner", "inline"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=os.environ)
    assert process.stderr is not None
    for line in process.stderr:
        if "loading torch" in line:
            break
    process.terminate()
    rest = process.stderr.read()
    process.stderr.close()

    assert process.wait(timeout=60) == 130
    assert "interrupted; the same command goes on" in rest
    assert "Traceback" not in rest
    assert main(["run", str(tiny), "--runner", "inline"]) == 0


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_an_interrupt_within_an_import_ends_with_130_too(tmp_path, number):
    """An interrupt of an `exec`, which dataclasses do on import, made Python end by the signal and without a code."""
    (tmp_path / "struck.py").write_text(
        "import os, signal, sys\n"
        "import orchestrator.commands.checks as checks\n"
        "from orchestrator.cli import main\n"
        f"blow = f'import os\\nos.kill(os.getpid(), {{int(signal.{number})}})\\nwhile True: pass'\n"
        "checks.check = lambda arguments: exec(blow)\n"
        "sys.exit(main(['check', 'x']))\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    found = subprocess.run(
        [sys.executable, "-P", "-m", "struck"],
        env=os.environ | {"PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    assert found.returncode == 130
    assert "interrupted; the same command goes on" in found.stderr
