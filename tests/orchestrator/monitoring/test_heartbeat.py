"""The driver's sign of life."""

import io
import json
import pickle
import time
from collections.abc import Callable

import pytest

from orchestrator.cells.records import CellKey, Worker, failed_cell
from orchestrator.driver.ledger_events import LedgerEvents
from orchestrator.ledger.paths import RunPaths, run_paths
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.counters import RunCounters
from orchestrator.monitoring.heartbeat import heartbeat_thread
from orchestrator.monitoring.progress import InputsProgress
from orchestrator.storage.local import LocalStorage
from orchestrator.terminal.progress import progress_for


@pytest.fixture
def counters() -> RunCounters:
    """Of a run that has not begun."""
    return RunCounters([], [], {}, "auc")


def test_the_heart_beats_while_nothing_happens_and_says_when_it_stops(tmp_path, counters):
    """A candidate may take an hour: the heartbeat goes on without news, and its last word is that it is over."""
    paths, deadline = run_paths(tmp_path), time.monotonic() + 60
    with heartbeat_thread(paths, counters, seconds=0.01):
        first = json.loads(paths.progress.read_bytes())
        assert first["over"] is False
        while json.loads(paths.progress.read_bytes())["progress"]["seconds"] == first["progress"]["seconds"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert json.loads(paths.progress.read_bytes())["over"] is True


def test_on_object_storage_a_heartbeat_is_written_for_cells_and_not_for_candidates(tmp_path, tried):
    """Each is a request: a cell of twenty candidates is told twice, and what it has finished goes with that."""
    key = CellKey(inputs="stress", partition="development", repeat=0, fold=0)
    none = InputsProgress(inputs="stress", complete=0, failed=0, under_way=0, left=1, best_validation=None)
    counters = RunCounters([none], [key], {}, "auc")
    paths = RunPaths(LocalStorage(tmp_path, seconds_that_wait=1000.0))
    looks, told, deadline = [], [], time.monotonic() + 60
    progress, counters.progress = counters.progress, lambda: looks.append(progress()) or looks[-1]

    def until(condition: Callable[[], bool]) -> None:
        """Wait for it, and note every heartbeat."""
        while not condition():
            assert time.monotonic() < deadline
            told.append(json.loads(paths.progress.read_bytes())["progress"])
            time.sleep(0.001)

    with heartbeat_thread(paths, counters, seconds=0.01):
        counters.start(key, Worker(host="here", process=17, processor="avx2"))
        until(lambda: bool(told and told[-1]["running"]))
        for number in range(20):
            counters.add(key, tried(number, 1.0))
        seen = len(looks)
        until(lambda: len(looks) > seen + 3)
        assert told[-1]["running"][0]["known"] == told[-1]["candidates"] == 0
        counters.end(failed_cell(key, "cpu", "", 0.0))
        until(lambda: told[-1]["candidates"] == 20)
    assert len({one["seconds"] for one in told}) <= 3


def test_an_interrupt_is_over_too(tmp_path, counters):
    """However the work ends, nobody on another host goes on believing in it."""
    paths = run_paths(tmp_path)
    with pytest.raises(KeyboardInterrupt), heartbeat_thread(paths, counters):
        raise KeyboardInterrupt
    assert json.loads(paths.progress.read_bytes())["over"] is True


def test_a_heartbeat_that_cannot_be_written_stops_nothing(tmp_path, counters):
    """The ledger decides whether a run can go on; a sign of life that fails is no reason to stop."""
    (tmp_path / "progress.json").mkdir()
    done = False
    with heartbeat_thread(run_paths(tmp_path), counters, seconds=0.01):
        done = True
    assert done


def test_tune_can_take_its_snapshot_of_the_driver(tmp_path, counters):
    """Tune pickles its callbacks, and the events with them: a lock or a display in there would end a run under Ray."""
    bar = progress_for("bar", io.StringIO())
    events = LedgerEvents(RunState.read(run_paths(tmp_path)), "hash", bar, counters)
    try:
        assert b"counters" not in pickle.dumps(events)
    finally:
        bar.end()
