"""The driver's sign of life."""

import io
import json
import pickle
import time

import pytest

from orchestrator.driver.ledger_events import LedgerEvents
from orchestrator.ledger.paths import run_paths
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.counters import RunCounters
from orchestrator.monitoring.heartbeat import heartbeat_thread
from orchestrator.terminal.progress import progress_for


@pytest.fixture
def counters() -> RunCounters:
    """Of a run that has not begun."""
    return RunCounters([], [], [], "auc")


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
