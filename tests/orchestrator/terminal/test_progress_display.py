"""What a person or a program sees of a run that goes on."""

import io
import json
import os
import pty
import re

import pytest

from orchestrator.monitoring.progress import InputsProgress, RunningCell, RunProgress
from orchestrator.terminal import progress as displays
from orchestrator.terminal.progress import _JsonProgress, _Lines, progress_for
from orchestrator.terminal.wording import duration, rounded, sentence

STATE = RunProgress(
    cells=(
        InputsProgress(inputs="stress", complete=6, failed=1, under_way=1, left=8, best_validation=0.4121),
        InputsProgress(inputs="dual", complete=5, failed=0, under_way=1, left=11, best_validation=0.3809),
    ),
    objective="balanced_log_loss",
    running=(
        RunningCell(cell="stress-r01-f2", attempt=1, candidates=3, seconds=7.0),
        RunningCell(cell="dual-r01-f0", attempt=2, candidates=0, seconds=1.5),
    ),
    candidates=104,
    rate=1.9,
    seconds=55.0,
    seconds_left=250.0,
)


@pytest.fixture
def at_once(monkeypatch):
    """Lines come without the seconds between them."""
    monkeypatch.setattr(displays, "_SECONDS_BETWEEN_LINES", 0.0)


def test_a_plain_line_says_all_and_calls_the_score_a_validation_score(at_once):
    """One line holds cells, pace, time left, and a score that nobody can mistake for a result."""
    stream = io.StringIO()
    lines = _Lines(stream)
    lines.begin("training", 33)
    lines.show(STATE)

    assert stream.getvalue() == (
        "training: after 55 s 12 of 33 cells, 1 failed, 2 running; 104 candidates, 1.9 a second; "
        "best validation log loss: stress 0.412, dual 0.381; about 4 min left\n"
    )


def test_what_is_not_known_is_said_to_be_unknown():
    """Before the first cell has ended there is no time left, no rate and no score, and none is made up."""
    early = RunProgress(
        cells=(InputsProgress(inputs="rest", complete=0, failed=0, under_way=1, left=5, best_validation=None),),
        objective="auc",
        running=STATE.running[:1],
        candidates=0,
        rate=None,
        seconds=1,
        seconds_left=None,
    )
    assert sentence(early) == (
        "0 of 6 cells, 0 failed, 1 running; 0 candidates; time left: unknown until a cell has ended"
    )


def test_plain_lines_are_seconds_apart():
    """A log file is not flooded: a thousand steps in a moment make no line."""
    stream = io.StringIO()
    lines = _Lines(stream)
    lines.begin("training", 33)
    for _ in range(1000):
        lines.show(STATE)
    assert stream.getvalue() == ""


def test_json_lines_have_the_documented_keys_and_the_last_state_is_never_lost():
    """Programs read one object a line; however fast a run was, its last state comes before its end."""
    stream = io.StringIO()
    progress = _JsonProgress(stream)
    progress.begin("training", 33)
    progress.show(STATE)
    for _ in range(100):
        progress.show(STATE)
    progress.say("cell stress-r00-f0 failed: memory")
    progress.end()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]

    assert [line["event"] for line in lines] == ["begin", "run", "say", "run", "end"]
    assert lines[-2] == {
        "event": "run",
        "task": "training",
        "cells": 33,
        "complete": 11,
        "failed": 1,
        "running": 2,
        "candidates": 104,
        "candidates_per_second": 1.9,
        "objective": "balanced_log_loss",
        "best_validation": {"stress": 0.4121, "dual": 0.3809},
        "seconds": 55.0,
        "seconds_left": 250.0,
    }


def test_a_bar_on_a_terminal_and_lines_elsewhere():
    """The display is chosen by where it goes, unless somebody asked for one."""
    primary, secondary = pty.openpty()
    with os.fdopen(primary, "rb"), os.fdopen(secondary, "w") as terminal:
        assert type(progress_for("auto", terminal)).__name__ == "_Bar"
        assert type(progress_for("lines", terminal)).__name__ == "_Lines"
    assert type(progress_for("auto", io.StringIO())).__name__ == "_Lines"
    assert type(progress_for("bar", io.StringIO())).__name__ == "_Bar"


def test_the_bar_shows_cells_failures_and_the_best_validation_score():
    """The display of a terminal holds what the plain line holds."""
    stream = io.StringIO()
    bar = progress_for("bar", stream)
    bar.begin("training", 33)
    bar.show(STATE)
    bar.end()
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())

    assert "12/33" in shown
    assert "cells: 11 done, 2 running, 1 failed; 104 candidates, 1.9 a second" in shown
    assert "best validation log loss: stress 0.412, dual 0.381" in shown
    assert "4 min left" in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5370, "1 h 30 min"), (11100, "3 h 05 min"), (187200, "2 d 4 h")],
)
def test_durations_are_as_long_as_their_size_deserves(seconds, text):
    """Nobody reads 187200 s."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(117.3, 2, "120"), (98.6, 2, "99"), (99.6, 2, "100"), (4.86, 2, "4.9"), (1234.0, 3, "1230"), (0.012, 2, "0.012")],
)
def test_large_numbers_have_no_exponent(value, digits, shown):
    """A forecast of a hundred seconds was shown as 1e+02."""
    assert rounded(value, digits) == shown
