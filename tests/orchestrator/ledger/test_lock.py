"""One driver at a time: who is refused learns by whom, who is gone holds nobody up, who lost the lock stops."""

import getpass
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from mpi_model.errors import RunDirectoryError
from orchestrator.storage import holder, lease, object_store
from orchestrator.storage.holder import holder_in, holder_text, this_process
from orchestrator.storage.locations import open_storage

HOLD = """
import sys
from orchestrator.storage.locations import open_storage
with open_storage(sys.argv[1]).hold():
    print("held", flush=True)
    sys.stdin.read()
"""


RACE = """
import sys, time
from mpi_model.errors import RunDirectoryError
from orchestrator.storage.locations import open_storage
print("ready", flush=True)
for line in sys.stdin:
    location, moment, name = line.split()
    storage = open_storage(location)
    while time.time() < float(moment):
        pass
    try:
        with storage.hold():
            storage.create("cells/a/COMMIT.json", name.encode())
            print("won", flush=True)
            sys.stdin.readline()
    except RunDirectoryError as error:
        print(error, flush=True)
        sys.stdin.readline()
    print("over", flush=True)
"""
SLEEPER = """
import sys, time
from mpi_model.errors import RunDirectoryError
from orchestrator.storage import lease
from orchestrator.storage.locations import open_storage
lease._BEAT, lease._CONFIRMED = 0.2, 1.0
storage = open_storage(sys.argv[1])
try:
    with storage.hold():
        for number in range(10_000):
            storage.write(f"cells/{number}", b"mine")
            print(number, flush=True)
            time.sleep(0.01)
except RunDirectoryError as error:
    print(error, flush=True)
"""


@contextmanager
def driver(location: str) -> Iterator[subprocess.Popen]:
    """Another process that holds the storage until it is killed or the block ends."""
    command = [sys.executable, "-c", HOLD, location]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process


def until(done: Callable[[], bool], seconds: float = 30) -> None:
    """Look again until it is so."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


@pytest.fixture(params=["folder", "bucket"])
def location(request, tmp_path):
    """A local folder, or a prefix of a bucket."""
    return str(tmp_path / "run") if request.param == "folder" else f"{request.getfixturevalue('bucket')}/run"


def test_the_second_driver_is_told_who_the_first_is(location):
    """User, host, process and time of the holder stand in the refusal; once it has ended, the lock is free and gone."""
    storage = open_storage(location)
    with driver(location) as process:
        with pytest.raises(RunDirectoryError) as refused, storage.hold():
            pass
        who = rf"{getpass.getuser()}@{re.escape(socket.gethostname())}, pid {process.pid}, since 20\d\d-"
        assert re.search(who, str(refused.value))
        assert refused.value.exit_code == 2
        process.stdin.close()
        assert process.wait(30) == 0
    with storage.hold():
        assert holder_in(storage.read(".lock")).pid == this_process().pid
    assert not storage.exists(".lock")


@pytest.mark.parametrize("spoiled", [{"pid": "1"}, {"pid": "\0"}, {"machine": ["x"]}, {"host": 5}, {"user": None}])
def test_a_record_of_other_types_names_no_holder(spoiled):
    """A lock that somebody has edited is no driver's, and no error of `polarmap status`."""
    record = json.loads(holder_text(this_process()))
    assert holder_in(json.dumps(record).encode()) == this_process()
    assert holder_in(json.dumps(record | spoiled).encode()) is None


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"[" * 100_000, b"\xff{", b"{}"])
def test_what_is_no_record_names_no_holder(content):
    """Neither half a file nor brackets by the thousand end a command."""
    assert holder_in(content) is None


def test_a_killed_driver_holds_nobody_up(location):
    """After kill -9 the next driver on this machine takes the lock at once."""
    with driver(location) as process:
        process.kill()
        process.wait(30)
        process.stdin.close()
    storage = open_storage(location)
    with storage.hold():
        assert holder_in(storage.read(".lock")).pid == this_process().pid
        storage.write("result", b"1")
    assert storage.read("result") == b"1"


def test_a_silent_lock_of_another_machine_is_taken_over_only_when_it_is_old(bucket, monkeypatch):
    """Nobody can ask a process elsewhere: its lock stands until its heartbeat is older than the bound."""
    storage = open_storage(f"{bucket}/run")
    elsewhere = replace(this_process(), host="elsewhere", machine="another boot")
    storage.write(".lock", holder_text(elsewhere, token="t", beat=3))
    with pytest.raises(RunDirectoryError, match="@elsewhere"), storage.hold():
        pass
    monkeypatch.setattr(lease, "_STALE", 1.0)

    def taken() -> bool:
        try:
            with storage.hold():
                return holder_in(storage.read(".lock")).host == socket.gethostname()
        except RunDirectoryError:
            return False

    until(taken)


def test_a_lock_with_a_heartbeat_is_not_taken_over(bucket, monkeypatch):
    """A holder that beats keeps its lock beyond the bound, and its record changes with every beat."""
    monkeypatch.setattr(lease, "_BEAT", 0.1)
    monkeypatch.setattr(lease, "_STALE", 2.0)
    storage, other = open_storage(f"{bucket}/run"), open_storage(f"{bucket}/run")
    monkeypatch.setattr(lease, "has_died", lambda holder: False)
    with storage.hold():
        begun = time.monotonic()
        while time.monotonic() - begun < 4:
            with pytest.raises(RunDirectoryError, match="another `polarmap run`"), other.hold():
                pass
        storage.write("result", b"1")


@pytest.mark.parametrize(("beat", "confirmed"), [(0.05, 45.0), (60.0, 1.0)], ids=["by its heartbeat", "before a write"])
def test_a_driver_that_lost_its_lock_writes_nothing_more(bucket, monkeypatch, beat, confirmed):
    """Stopped for long and taken over, a driver learns it from its heartbeat or before its next write, and stops."""
    monkeypatch.setattr(lease, "_BEAT", beat)
    monkeypatch.setattr(lease, "_CONFIRMED", confirmed)
    storage, other = open_storage(f"{bucket}/run"), open_storage(f"{bucket}/run")
    successor = holder_text(replace(this_process(), host="elsewhere"), token="other", beat=0)
    with storage.hold():
        storage.write("mine", b"1")
        other.write(".lock", successor)

        def refused() -> bool:
            try:
                storage.write("late", b"1")
            except RunDirectoryError as error:
                return "was taken over by another driver" in str(error) and "@elsewhere" in str(error)
            return False

        until(refused)
        other.delete("late")
        for change in (lambda: storage.write("late", b"1"), lambda: storage.delete("mine")):
            with pytest.raises(RunDirectoryError, match="stops writing"):
                change()
    assert not other.exists("late")
    assert other.exists("mine")
    assert other.read(".lock") == successor


def test_a_driver_stopped_beyond_its_lease_and_continued_writes_nothing_more(bucket, monkeypatch):
    """SIGSTOP, another driver takes over, SIGCONT: the first one's next write is refused, and it says by whom."""
    url = f"{bucket}/run"
    storage = open_storage(url)
    monkeypatch.setattr(lease, "_STALE", 2.0)
    with subprocess.Popen([sys.executable, "-c", SLEEPER, url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "0\n"
        process.send_signal(signal.SIGSTOP)

        def taken() -> bool:
            try:
                stack.enter_context(storage.hold())
            except RunDirectoryError:
                return False
            return True

        with ExitStack() as stack:
            until(taken)
            before = storage.names("cells")
            process.send_signal(signal.SIGCONT)
            *_, last = process.stdout.read().splitlines()
            assert process.wait(30) == 0
            assert "taken over by another driver" in last
            assert storage.names("cells") == before
            assert holder_in(storage.read(".lock")).pid == this_process().pid


@pytest.mark.slow  # half a minute on object storage: fifty races of two processes
def test_of_two_drivers_in_the_same_moment_one_wins_fifty_times(location):
    """Two processes ask at one moment: one holds the run and commits, the other is refused, nothing is lost."""
    both = [
        subprocess.Popen([sys.executable, "-c", RACE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
        for number in range(50):
            place, moment = f"{location}/{number}", time.time() + 0.05
            for name, process in enumerate(both):
                print(place, moment, f"driver-{name}", file=process.stdin, flush=True)
            said = [process.stdout.readline() for process in both]
            assert sorted(line == "won\n" for line in said) == [False, True], said
            winner = said.index("won\n")
            # On a folder the lock holds a moment before its record names the winner.
            assert "another `polarmap run`" in said[1 - winner]
            for process in both:
                print(file=process.stdin, flush=True)
            assert [process.stdout.readline() for process in both] == ["over\n"] * 2
            storage = open_storage(place)
            assert storage.read("cells/a/COMMIT.json") == f"driver-{winner}".encode()
            assert list(storage.names("")) == ["cells/a/COMMIT.json"]
    finally:
        for process in both:
            process.kill()
            process.communicate()


def test_a_holder_that_this_user_may_not_see_is_not_dead(monkeypatch):
    """Where /proc hides other users' processes (hidepid), a living driver's lock is not taken over."""
    other = replace(this_process(), pid=1, process="5")
    began = holder._began
    monkeypatch.setattr(holder, "_began", lambda pid: "" if pid == 1 else began(pid))
    monkeypatch.setattr(holder.Path, "exists", lambda path: False)

    def forbidden(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(holder.os, "kill", forbidden)
    assert not holder.has_died(other)

    def gone(pid: int, number: int) -> None:
        raise ProcessLookupError

    monkeypatch.setattr(holder.os, "kill", gone)
    assert holder.has_died(other)


def test_a_beat_whose_answer_was_lost_is_no_other_driver(bucket, monkeypatch):
    """A heartbeat that the storage took, and whose answer never came, leaves the lock with its holder."""
    storage = object_store.ObjectStorage(f"{bucket}/run")
    replaced, lost = object_store.ObjectStorage.replace, [True]

    def answer_lost(self, name, content, tag):
        found = replaced(self, name, content, tag)
        if lost:
            lost.pop()
            raise RunDirectoryError("could not be reached for 15 s")
        return found

    monkeypatch.setattr(lease, "_CONFIRMED", 0.2)
    with storage.hold():
        monkeypatch.setattr(object_store.ObjectStorage, "replace", answer_lost)
        time.sleep(0.3)
        storage.write("one", b"1")
        assert not lost
    assert not storage.exists(".lock")
