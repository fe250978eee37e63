"""Followers of a run: TensorBoard's event files and the text file for Prometheus."""

import re
import struct

import pytest
from tensorboardX.proto.event_pb2 import Event

from orchestrator.driver.resume import RunOptions
from orchestrator.driver.run import run_experiment
from orchestrator.experiment.file import load_experiment
from orchestrator.monitoring.progress import InputsProgress, NullProgress, RunProgress
from orchestrator.monitoring.prometheus import metrics_text
from orchestrator.runners.inline import InlineRunner
from polarmap import open_run


def points(path) -> list[tuple[str, int, float]]:
    """The scalars of an event file, read record by record: length, its checksum, content, its checksum."""
    content, found = path.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + length])
        found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        content = content[16 + length :]
    return found


@pytest.mark.thorough
def test_event_files_hold_what_the_ledger_holds(tiny, tmp_path, paths_of):
    """Every candidate's objective stands in the event file of its cell; without the option there is no such file."""
    options = RunOptions(tensorboard=tmp_path / "events")
    run_experiment(load_experiment(tiny, ()), options, NullProgress(), InlineRunner())
    candidates = open_run(paths_of(tiny).root).candidates
    told = candidates[(candidates["inputs"] == "dual") & (candidates["repeat"] == 0) & (candidates["fold"] == 1)]
    (path,) = (tmp_path / "events" / "dual-r00-f1").iterdir()
    found = {step: value for tag, step, value in points(path) if tag == "search/balanced_log_loss"}
    expected = told.dropna(subset=["objective"])
    assert found == pytest.approx(dict(zip(expected["candidate"], expected["objective"], strict=True)), abs=1e-6)
    (whole,) = (tmp_path / "events" / "run").iterdir()
    assert [value for tag, _, value in points(whole) if tag == "cells/complete"] == [1, 2, 3, 4, 5, 6]
    assert b"patient-" not in path.read_bytes() + whole.read_bytes()


@pytest.mark.thorough
def test_metrics_are_prometheus_text(tiny, run, folder_of):
    """The file beside `progress.json` parses line by line, counts the cells and says that the driver is over."""
    run(tiny)
    text = (folder_of(tiny) / "progress.prom").read_text()
    line = re.compile(r'(# (HELP|TYPE) polarmap_\w+ .+)|(polarmap_\w+\{run="tiny"(,state="\w+")?\} [0-9.]+)')
    assert all(line.fullmatch(one) for one in text.splitlines())
    assert 'polarmap_cells{run="tiny",state="complete"} 6' in text
    assert 'polarmap_cells{run="tiny",state="failed"} 0' in text
    assert 'polarmap_driver_over{run="tiny"} 1' in text


def test_seconds_since_the_last_result_and_its_time_agree():
    """A collector can tell a slow cell from a dead driver: both are there, on one clock; names are escaped."""
    cells = InputsProgress(inputs="dual", complete=3, failed=1, under_way=2, left=4, best_validation=None)
    progress = RunProgress(
        cells=(cells,),
        objective="auc",
        running=(),
        candidates=7,
        rate=None,
        seconds=9.0,
        seconds_left=None,
    )
    text = metrics_text('a"b\\c', progress, since_result=12.34, now=1_000_000.0, over=False)
    assert 'polarmap_seconds_since_last_result{run="a\\"b\\\\c"} 12.3\n' in text
    assert 'polarmap_last_result_timestamp_seconds{run="a\\"b\\\\c"} 999987.7\n' in text
    assert 'state="under_way"} 2\n' in text
    assert 'state="left"} 4\n' in text
