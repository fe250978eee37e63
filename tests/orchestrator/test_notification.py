"""`--notify COMMAND`: what it is told, and that whatever it does changes nothing."""

import os
import time
from pathlib import Path

import pytest

from orchestrator.cli import main
from orchestrator.commands import notification


def told(file: Path) -> dict[str, str]:
    """What a command found in its environment."""
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def test_the_command_is_told_how_the_run_ended_and_how_far_it_is(mine, tmp_path):
    """After a run that has nothing left to do: its code, its name, its place and its cells."""
    out = tmp_path / "told"
    assert main(["run", str(mine), "--notify", f"env | grep ^POLARMAP_ > {out}"]) == 0

    found = told(out)
    assert (found["POLARMAP_EXIT_CODE"], found["POLARMAP_OUTCOME"]) == ("0", "done")
    assert found["POLARMAP_NAME"] == "tiny"
    assert Path(found["POLARMAP_RUN"]).samefile(mine.parent / "runs" / "tiny")
    assert found["POLARMAP_CELLS"] == found["POLARMAP_CELLS_COMPLETE"] == "6"
    assert found["POLARMAP_CELLS_FAILED"] == found["POLARMAP_CELLS_LEFT"] == "0"


def test_a_run_that_could_not_begin_is_told_too(tmp_path, monkeypatch):
    """Whoever sleeps learns of a refused experiment file, by code 2."""
    monkeypatch.delenv("POLARMAP_TEST_INSTALLED", raising=False)  # from `make test`
    out = tmp_path / "told"
    assert main(["run", str(tmp_path / "missing.toml"), "--notify", f"env | grep ^POLARMAP_ > {out}"]) == 2
    assert told(out) == {"POLARMAP_EXIT_CODE": "2", "POLARMAP_OUTCOME": "refused"}


@pytest.mark.parametrize("command", ["exit 7", "kill -9 $$", "no-such-program", "echo '"])
def test_a_command_that_fails_changes_no_exit_code(command, mine, capsys):
    """The run's own code stays, and one line says what became of the command."""
    assert main(["run", str(mine), "--notify", command]) == 0
    assert "the notification command ended with code" in capsys.readouterr().err.splitlines()[-1]


def test_what_it_says_is_bounded_and_commands_no_terminal(mine, capsys):
    """A megabyte of output and escape sequences end as a few plain lines on standard error."""
    command = r"printf '\033[2J\007red\n'; head -c 1000000 /dev/zero | tr '\0' x; echo"
    assert main(["run", str(mine), "--notify", command]) == 0
    said = capsys.readouterr()

    lines = [line for line in said.err.splitlines() if "notify:" in line]
    assert lines[0] == r"polarmap: notify: \x1b[2J\x07red"
    assert sum(map(len, lines)) < 5000
    assert "\x1b" not in said.err
    assert "notify" not in said.out


def test_a_command_that_does_not_end_is_ended_with_what_it_started(mine, tmp_path, capsys, monkeypatch):
    """It has its time, and no more; what it left in the background does not hold up the end either."""
    monkeypatch.setattr(notification, "_SECONDS", 0.5)
    command = f"sleep 600 & echo $! > {tmp_path / 'child'}; sleep 600"
    assert main(["run", str(mine), "--notify", command]) == 0

    assert "was ended after" in capsys.readouterr().err.splitlines()[-1]
    child, deadline = int((tmp_path / "child").read_text()), time.monotonic() + 20
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(child)


def is_alive(process: int) -> bool:
    """Whether there is such a process that has not ended; one whose end nobody fetched is a zombie."""
    try:
        return (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_reads_nothing_from_the_terminal(mine, tmp_path):
    """A command that asks gets an end of file, and waits for nobody."""
    reading, writing = os.pipe()
    before = os.dup(0)
    try:
        os.dup2(reading, 0)
        assert main(["run", str(mine), "--notify", f"cat > {tmp_path / 'read'}"]) == 0
    finally:
        os.dup2(before, 0)
        for handle in (reading, writing, before):
            os.close(handle)
    assert (tmp_path / "read").read_bytes() == b""
