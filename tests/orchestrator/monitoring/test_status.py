"""How a run stands, asked while it goes on, after it was killed, and when it is over."""

import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count

import pytest

from mpi_model.errors import RunDirectoryError
from orchestrator.cells.records import CellKey, Worker
from orchestrator.cli import main
from orchestrator.driver.ledger_events import LedgerEvents
from orchestrator.hashing import digest, digest_as_stored
from orchestrator.ledger.paths import RunPaths, run_paths
from orchestrator.ledger.state import RunState
from orchestrator.monitoring import status as looking
from orchestrator.monitoring.counters import RunCounters
from orchestrator.monitoring.heartbeat import heartbeat_thread, read_heartbeat
from orchestrator.monitoring.log import logging_to
from orchestrator.monitoring.progress import InputsProgress, NullProgress, RunProgress
from orchestrator.monitoring.status import RunStatus, status_of
from orchestrator.runners.runner import Unfit
from orchestrator.storage.holder import holder_text, this_process
from orchestrator.storage.local import LocalStorage
from orchestrator.storage.locations import open_storage
from polarmap import open_run


class Interrupts(NullProgress):
    """Control-C when the first candidate is finished."""

    def show(self, run: RunProgress) -> None:
        """Look."""
        if run.candidates:
            raise KeyboardInterrupt


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
    counters.start(key, Worker(host="here", process=17, processor="avx2"))
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


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_failed_cells_are_named_with_their_reasons(tiny, run, paths_of, failing_cells, capsys):
    """A run with a failed cell is incomplete, says which cell and why in one line, and exits with 0."""
    with failing_cells({"stress-r00-f0": RuntimeError("the cosmic ray\nand more")}):
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


def test_a_driver_elsewhere_is_believed_while_it_beats_whatever_its_clock_says(mine, paths_of, folder_of, monkeypatch):
    """Its lock cannot be seen from here: a beat that changes counts, by a clock a year off too; an old one not."""
    paths = paths_of(mine)
    elsewhere = replace(this_process(), host="elsewhere", machine="another boot")
    (folder_of(mine) / ".lock").write_bytes(holder_text(elsewhere))
    word = json.loads(paths.progress.read_bytes()) | {"host": "elsewhere", "over": False}
    del word["digest"]
    seconds = count(1)

    def beat(written: str) -> None:
        said = word | {"written": written, "progress": word["progress"] | {"seconds": float(next(seconds))}}
        paths.progress.write_bytes(json.dumps(said | {"digest": digest(said)}).encode())

    now = datetime.datetime.now(datetime.UTC)
    for written in (now + datetime.timedelta(days=365), now - datetime.timedelta(days=365), now):
        for goes_on, state in ((True, "running"), (False, "finished" if written != now else "running")):
            text = written.isoformat(timespec="seconds")
            beat(text)
            monkeypatch.setattr(looking.time, "sleep", lambda _, text=text, on=goes_on: beat(text) if on else None)
            assert status_of(paths).state == state


def test_slow_and_hung_cells_are_named_with_worker_and_host_and_a_paused_driver_too(
    tiny, run, paths_of, folder_of, monkeypatch, capsys
):
    """Whoever is on call reads which cell is behind, where, for how long and against what; in JSON, too."""
    with pytest.raises(KeyboardInterrupt):
        run(tiny, progress=Interrupts())
    paths = paths_of(tiny)
    (folder_of(tiny) / ".lock").write_bytes(holder_text(this_process()))
    word = json.loads(paths.progress.read_bytes()) | {"over": False}
    del word["digest"]
    place = {"attempt": 1, "candidates": 0, "seconds": 900.0, "host": "node-7", "worker": 4711}
    cells = [{**place, "cell": "stress-r00-f1", "silent": 21.0}, {**place, "cell": "dual-r00-f1", "silent": 500.0}]
    waiting = "waiting for 8 GPUs, 2 nodes starting, since 2026-11-26 21:04:10 UTC"
    word["progress"] |= {"running": cells, "longest": 20.0, "waiting": waiting}

    def said(*words: str, written: str) -> str:
        content = word | {"written": written}
        paths.progress.write_bytes(json.dumps(content | {"digest": digest(content)}).encode())
        assert main(["status", str(paths.root), *words]) == 0
        return capsys.readouterr().out

    now = datetime.datetime.now(datetime.UTC)
    shown = said(written=now.isoformat())
    assert "slow: stress-r00-f1 on node-7, process 4711: no result for 21 s (in this run 20 s at most)" in shown
    assert "looks hung: dual-r00-f1 on node-7, process 4711: no result for 8 min" in " ".join(shown.split())
    assert "the driver gives no sign" not in shown
    assert waiting in shown
    told = json.loads(said("--json", written=now.isoformat()))
    assert [one["pace"] for one in told["running"]] == ["slow", "hung"]
    assert told["waiting"] == waiting

    monkeypatch.setattr(looking.time, "sleep", lambda _: None)
    paused = said(written=(now - datetime.timedelta(minutes=10)).isoformat())
    assert "the driver gives no sign since 10 min: it is paused" in " ".join(paused.split())
    assert "time left: unknown" in paused


def test_what_is_waited_for_reaches_heartbeat_log_and_terminal(mine, paths_of):
    """While no node can do a cell, each of the three says so; afterwards the heartbeat does not any more."""
    paths, said = paths_of(mine), []

    class Heard(NullProgress):
        def say(self, line: str) -> None:
            said.append(line)

    counters = RunCounters([], [], {}, "balanced_log_loss")
    unfit = Unfit(worker=Worker(host="node-7", process=1, processor="", node="n"), line="CUDA does not work on node-7")
    with logging_to(paths):
        events = LedgerEvents(RunState.read(paths), "hash", Heard(), counters)
        with heartbeat_thread(paths, counters):
            events.waiting("waiting for 8 GPUs")
        waited = read_heartbeat(paths)
        events.unfit(unfit)
        events.waiting("")
        with heartbeat_thread(paths, counters):
            pass
    lines = [json.loads(line) for line in paths.log.read_bytes().decode().splitlines()][-3:]

    assert waited is not None
    assert waited.progress.waiting == "waiting for 8 GPUs"
    assert read_heartbeat(paths).progress.waiting == ""
    assert [(line["event"], line["message"]) for line in lines] == [
        ("waiting", "waiting for 8 GPUs"),
        ("node_unfit", "CUDA does not work on node-7"),
        ("waiting_over", said[2]),
    ]
    assert said[:2] == ["waiting for 8 GPUs", "CUDA does not work on node-7"]


def test_a_run_in_a_bucket_is_asked_for_by_its_url(finished, folder_of, paths_of, bucket, capsys):
    """From any machine, without the cluster: `polarmap status s3://…` says what the same run in a folder says."""
    storage, folder = open_storage(f"{bucket}/runs/tiny"), folder_of(finished)
    for path in folder.rglob("*"):
        if path.is_file() and path.name != ".lock":
            storage.write(path.relative_to(folder).as_posix(), path.read_bytes())
    assert main(["status", f"{bucket}/runs/tiny", "--json"]) == 0
    there = json.loads(capsys.readouterr().out)
    assert main(["status", str(paths_of(finished).root), "--json"]) == 0

    assert there == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "changed",
    [{"host": "\x1b[31mred", "over": True}, {"written": "yesterday"}, {"written": "2026-01-01T00:00:00"}],
    ids=["escape", "no time", "no time zone"],
)
def test_a_heartbeat_that_somebody_has_written_ends_and_commands_nothing(changed, mine, folder_of, capsys):
    """A beat with a right digest and wrong words is none, or is printed as text."""
    path = folder_of(mine) / "progress.json"
    beat = json.loads(path.read_text()) | {"over": False} | changed
    content = {key: value for key, value in beat.items() if key != "digest"}
    path.write_text(json.dumps(content | {"digest": digest_as_stored(content)}))
    # The lock of a machine that cannot be seen from here: its driver is believed by its beats.
    path.with_name(".lock").write_bytes(holder_text(replace(this_process(), machine="another")))
    assert main(["status", str(path.parent)]) == 0
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


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
