"""The run's log: JSON lines that tell what happened, and nothing about patients."""

import json
import logging
import os
from pathlib import Path

import pytest

from mpi_model.errors import RunDirectoryError
from orchestrator.cli import main
from orchestrator.driver import ledger_events
from orchestrator.driver.ledger_events import LedgerEvents
from orchestrator.storage.locations import open_storage
from orchestrator.storage.log_files import AppendedLog


def events_of(paths) -> list[dict[str, object]]:
    """Every line of the log."""
    return [json.loads(line) for line in paths.log.read_bytes().decode("utf-8").splitlines()]


@pytest.mark.thorough
def test_the_log_tells_a_run_from_its_beginning_to_its_end(tiny, run, paths_of):
    """One line each for the run, its cells and its end, with the keys that programs read."""
    run(tiny)
    lines = events_of(paths_of(tiny))

    assert [line["event"] for line in lines] == ["run_begun", *["cell_started", "cell_finished"] * 6, "ended"]
    assert {"time", "level", "message", "host", "pid", "runner", "device", "versions"} <= set(lines[0])
    assert all(line["time"].endswith("+00:00") for line in lines)
    assert all(line["seconds"] > 0 and line["attempt"] == 1 for line in lines if line["event"] == "cell_finished")
    assert lines[-1]["complete"] == 6


def test_a_finished_run_adds_nothing_to_the_log(mine, run, paths_of, no_runner):
    """Looking at a finished run again leaves its log alone."""
    before = paths_of(mine).log.read_bytes()
    run(mine, runner=no_runner)
    assert paths_of(mine).log.read_bytes() == before


@pytest.mark.thorough
def test_a_failed_cell_is_logged_with_its_traceback_and_an_interrupt_as_one(tiny, run, paths_of, failing_cells):
    """Whoever looks for the reason finds the traceback at the cell, in one line of JSON; a resumed run says so."""
    errors = {"stress-r00-f0": RuntimeError("the cosmic ray"), "stress-r00-f1": KeyboardInterrupt()}
    with failing_cells(errors), pytest.raises(KeyboardInterrupt):
        run(tiny)
    run(tiny)
    lines = events_of(paths_of(tiny))

    (failed,) = [line for line in lines if line["event"] == "cell_failed"]
    assert failed["cell"] == "stress-r00-f0"
    assert failed["level"] == "error"
    assert "RuntimeError: the cosmic ray" in failed["traceback"]
    assert "interrupted" in [line["event"] for line in lines]
    (resumed,) = [line for line in lines if line["event"] == "run_resumed"]
    assert "4 of 6 cells" in resumed["message"]


@pytest.mark.parametrize(
    ("error", "event", "said"),
    [(KeyError("patient-007"), "crashed", False), (RunDirectoryError("the disk is full"), "stopped", True)],
)
def test_a_bug_is_logged_by_kind_and_place_and_a_refusal_by_its_words(
    tiny, run, paths_of, monkeypatch, error, event, said
):
    """What an unexpected error says may quote a patient: its place is logged, its words are not."""

    def broken(self, result, attempt):
        raise error

    monkeypatch.setattr(LedgerEvents, "cell", broken)
    with pytest.raises(type(error)):
        run(tiny)
    line = events_of(paths_of(tiny))[-1]

    assert line["event"] == event
    assert ("the disk is full" in line["message"]) is said
    assert "patient-007" not in paths_of(tiny).log.read_bytes().decode("utf-8")
    assert said or "test_run_log.py" in line["traceback"]


def test_a_refused_right_is_no_bug_and_little_room_is_told_before_there_is_none(tiny, paths_of, monkeypatch, capsys):
    """The system's refusal ends a run with 2 and its cause in the log, without the file's name; one notice of room."""
    monkeypatch.setattr(ledger_events, "_LITTLE_ROOM", 1 << 62)

    def refused(self, result, attempt):
        raise PermissionError(13, "Permission denied", "/data/patient-007.npy")

    monkeypatch.setattr(LedgerEvents, "cell", refused)
    for _ in range(2):
        assert main(["run", str(tiny), "--runner", "inline"]) == 2
    said = capsys.readouterr().err
    lines = events_of(paths_of(tiny))

    assert "refuses to go on (Permission denied)" in said.splitlines()[-1]
    assert [line["event"] for line in lines].count("stopped") == 2
    assert "Permission denied" in lines[-1]["message"]
    assert "patient-007" not in said + json.dumps(lines)
    (first, _) = [line for line in lines if line["event"] == "disk_filling"]
    found = os.statvfs(tiny.parent)
    assert first["free"] == pytest.approx(found.f_bavail * found.f_frsize, rel=0.2)
    assert "make room before it is full" in said


@pytest.mark.thorough
def test_a_cell_that_begins_again_is_logged_as_a_retry(tiny, run, paths_of, monkeypatch):
    """A worker that was lost leaves a line with the number of the try and the cause."""
    started = LedgerEvents.started

    def twice(self, key, worker, attempt):
        started(self, key, worker, attempt)
        if key.name == "stress-r00-f0":
            self.retried(key, "its worker was killed", 2)
            started(self, key, worker, 2)

    monkeypatch.setattr(LedgerEvents, "started", twice)
    run(tiny)
    (retried,) = [line for line in events_of(paths_of(tiny)) if line["event"] == "cell_retried"]
    assert (retried["cell"], retried["attempt"], retried["cause"]) == ("stress-r00-f0", 2, "its worker was killed")


def test_a_bug_on_the_command_line_quotes_nobody(tiny, monkeypatch, capsys):
    """The last door names an unexpected error's kind and place; its words may hold a patient's id."""

    def broken(self, result, attempt):
        raise KeyError("patient-007")

    monkeypatch.setattr(LedgerEvents, "cell", broken)
    assert main(["run", str(tiny), "--runner", "inline"]) == 1
    said = capsys.readouterr().err.splitlines()[-1]

    assert "a bug: KeyError at line" in said
    assert "test_run_log.py" in said
    assert "patient-007" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_log_without_room_says_nothing_over_the_error_of_the_ledger(capsys):
    """On a full disk a log's lines are lost; neither writing nor closing it prints a traceback or raises."""
    handler = AppendedLog(Path("/dev/full"), encoding="utf-8", delay=True)
    handler.emit(logging.LogRecord("polarmap", logging.ERROR, "", 0, "the run stops", None, None))
    handler.close()

    assert capsys.readouterr().err == ""


def test_a_line_that_was_cut_off_spoils_no_other_one(tmp_path):
    """After a log that ends in half a line, the next line is whole: it begins on a line of its own."""
    (tmp_path / "run.log").write_text('{"whole": 1}\n{"ha')
    handler = open_storage(tmp_path).log_handler("run.log")
    handler.emit(logging.LogRecord("polarmap", logging.INFO, "", 0, "next", None, None))
    handler.close()

    assert (tmp_path / "run.log").read_text().splitlines() == ['{"whole": 1}', '{"ha', "next"]
