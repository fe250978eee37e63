"""How a run stands, asked while it goes on, after it was killed, and when it is over."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from mpi_model.errors import RunDirectoryError
from orchestrator.cells import guard
from orchestrator.cells.records import CellKey
from orchestrator.cli import main
from orchestrator.hashing import digest
from orchestrator.ledger.paths import RunPaths, run_paths
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.counters import RunCounters
from orchestrator.monitoring.heartbeat import heartbeat_thread
from orchestrator.monitoring.progress import InputsProgress, NullProgress, RunProgress
from orchestrator.monitoring.status import RunStatus, status_of
from orchestrator.storage.holder import holder_text, this_process
from orchestrator.storage.local import LocalStorage
from polarmap import open_run


class Onlooker(NullProgress):
    """Asks for the status whenever the run tells how far it is, as somebody in another terminal would."""

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths
        self.seen: list[tuple[RunProgress, RunStatus]] = []

    def show(self, run: RunProgress) -> None:
        """Look."""
        self.seen.append((run, status_of(self.paths)))


@pytest.mark.thorough
def test_while_it_goes_on_the_status_counts_what_the_driver_counts(tiny, run, paths_of):
    """Cells and candidates from the ledger agree with the driver's own, at every step, and the state is running."""
    onlooker = Onlooker(paths_of(tiny))
    run(tiny, progress=onlooker)

    assert len(onlooker.seen) > 18 + 6
    for told, status in onlooker.seen:
        assert status.state == "running"
        assert status.driver is not None
        assert status.driver.pid == os.getpid()
        assert status.progress.complete == told.complete
        assert status.candidates == told.candidates
        assert status.progress.best == told.best
        assert status.progress.total == told.total == 6
    assert status_of(paths_of(tiny)).state == "finished"


def test_candidates_that_wait_to_be_written_together_are_counted(mine, paths_of, folder_of, tried):
    """On object storage the ledger learns of them later: until then the status has them from the heartbeat."""
    before = status_of(paths_of(mine))
    key = CellKey(inputs="stress", partition="development", repeat=0, fold=1)
    shutil.rmtree(folder_of(mine) / "cells" / key.name)
    paths = RunPaths(LocalStorage(folder_of(mine), seconds_that_wait=30.0))
    cells = InputsProgress(inputs="stress", complete=0, failed=0, under_way=0, left=1, best_validation=None)
    state, counters = RunState.read(paths), RunCounters([cells], [key], {}, "balanced_log_loss")
    counters.start(key)
    with paths.storage.hold():
        for number in range(5):
            result = replace(tried(number, 1.0), objective=0.001)
            state.keep_candidate(key, result, "hash")
            counters.add(key, result)
        assert not any("/candidates-" in name for name in paths.storage.names("cells"))
        with heartbeat_thread(paths, counters):
            status = status_of(paths_of(mine))

    assert status.candidates == before.candidates - 3 + 5
    assert status.progress.best == before.progress.best | {"stress": 0.001}
    assert status_of(paths_of(mine)).candidates == before.candidates - 3


def test_a_run_killed_without_a_word_is_interrupted_and_its_candidates_are_counted(tiny, run, paths_of):
    """After kill -9 the last heartbeat still says running; the status does not, and the same command finishes."""
    command = [sys.executable, "-P", "-m", "orchestrator", "run", str(tiny), "--runner", "inline"]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    paths, deadline = paths_of(tiny), time.monotonic() + 120
    try:
        while sum("/candidates-" in name for name in paths.storage.names("cells")) < 2:
            assert time.monotonic() < deadline
            assert driver.poll() is None
            time.sleep(0.005)
        assert status_of(paths).state == "running"
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()

    status = status_of(paths)
    assert json.loads(paths.progress.read_bytes())["over"] is False
    assert status.state == "interrupted"
    assert sum(one.under_way for one in status.progress.cells) == 1
    assert status.candidates >= 2
    run(tiny)
    assert status_of(paths).state == "finished"


def test_failed_cells_are_named_with_their_reasons(tiny, run, paths_of, monkeypatch, capsys):
    """A run with a failed cell is incomplete, says which cell and why in one line, and exits with 0."""
    original = guard.run_cell

    def failing(task, *rest):
        if task.key.name == "stress-r00-f0":
            raise RuntimeError("the cosmic ray\nand more")
        return original(task, *rest)

    monkeypatch.setattr(guard, "run_cell", failing)
    run(tiny)

    assert main(["status", str(paths_of(tiny).root), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["state"] == "incomplete"
    assert status["failed"] == [
        {"cell": "stress-r00-f0", "reason": "RuntimeError: the cosmic ray (stress, repeat 0, fold 0, candidate 0)"}
    ]
    assert main(["status", str(paths_of(tiny).root)]) == 0
    shown = capsys.readouterr().out
    assert "failed: stress-r00-f0: RuntimeError: the cosmic ray (stress, repeat 0, fold 0, candidate 0)\n" in shown
    assert "--retry-failed" in shown


def test_the_status_of_a_finished_run_agrees_with_its_tables(finished, paths_of, capsys):
    """What the status says of candidates and best scores is what the candidates' table says."""
    assert main(["status", str(paths_of(finished).root), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    candidates = open_run(paths_of(finished).root).candidates

    assert status["candidates"] == len(candidates)
    best = candidates.groupby("inputs")["objective"].min().to_dict()
    assert {one["inputs"]: one["best_validation"] for one in status["cells"]} == best
    assert status["seconds_left"] is None
    assert status["running"] == []


def test_watching_ends_when_the_run_does(finished, paths_of, capsys):
    """`--watch` on a run that is over prints once and comes back."""
    assert main(["status", str(paths_of(finished).root), "--watch"]) == 0
    assert capsys.readouterr().out.count("tiny: finished") == 1


def test_a_word_from_another_host_is_believed_for_a_while(mine, paths_of, folder_of):
    """A driver elsewhere, whose lock cannot be seen from here, counts as running while it writes, and not for ever."""
    paths = paths_of(mine)
    elsewhere = replace(this_process(), host="elsewhere", machine="another boot")
    (folder_of(mine) / ".lock").write_bytes(holder_text(elsewhere))
    word = json.loads(paths.progress.read_bytes()) | {"host": "elsewhere", "over": False}
    del word["digest"]
    for written, state in (("2999-01-01T00:00:00+00:00", "running"), ("2020-01-01T00:00:00+00:00", "finished")):
        said = word | {"written": written}
        paths.progress.write_bytes(json.dumps(said | {"digest": digest(said)}).encode())
        assert status_of(paths).state == state


def test_a_folder_that_is_no_run_is_refused_with_what_to_name(tmp_path):
    """A person who names the wrong folder is told which one to name."""
    with pytest.raises(RunDirectoryError, match=r"no experiment\.json; name RUNS/"):
        status_of(run_paths(tmp_path))


@pytest.mark.parametrize("words", [["status", "{run}"], ["run", "{experiment}", "--open-test"]])
def test_answers_about_finished_work_wait_for_nothing_heavy(words, finished, paths_of):
    """`status`, and `run` of a finished run, import no torch, no Ray, no scipy and draw nothing."""
    known = {"run": str(paths_of(finished).root), "experiment": str(finished)}
    code = (
        "import sys; from orchestrator.cli import main\n"
        f"code = main({[word.format(**known) for word in words]!r})\n"
        "heavy = {'torch', 'ray', 'scipy', 'matplotlib', 'statsmodels', 'sklearn'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy)); sys.exit(code)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "heavy: []"
