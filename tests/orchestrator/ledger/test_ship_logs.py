"""Logs of a machine that will end: what is sent, how much of it, and that nothing else is."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mpi_model.errors import RunDirectoryError
from orchestrator.storage import ship_logs
from orchestrator.storage.local import LocalStorage
from orchestrator.storage.ship_logs import _Shipment


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder as Ray's session has it."""
    folder = tmp_path / "logs"
    (folder / "old").mkdir(parents=True)
    (folder / "raylet.out").write_text("first\n")
    (folder / "old" / "worker-1.err").write_text("error\n")
    return folder


def sent(tmp_path: Path) -> dict[str, bytes]:
    """What has arrived."""
    target = tmp_path / "bucket"
    return {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def test_only_what_has_changed_is_sent_again(tmp_path, logs):
    """Every file once, below the host's name; afterwards those alone that have grown."""
    shipment = _Shipment(logs, LocalStorage(tmp_path / "bucket"), "worker-7")
    assert shipment.send() == 2
    assert sent(tmp_path) == {"worker-7/raylet.out": b"first\n", "worker-7/old/worker-1.err": b"error\n"}
    assert shipment.send() == 0
    with (logs / "raylet.out").open("a") as file:
        file.write("second\n")
    assert shipment.send() == 1
    assert sent(tmp_path)["worker-7/raylet.out"] == b"first\nsecond\n"


def test_sizes_and_numbers_are_bounded_and_the_newest_come_first(tmp_path, logs, monkeypatch):
    """Of a large file the last whole lines, of many files the newest, and never more than the bound together."""
    monkeypatch.setattr(ship_logs, "_MOST_OF_A_FILE", 100)
    monkeypatch.setattr(ship_logs, "_MOST_TOGETHER", 250)
    (logs / "gcs_server.out").write_text("".join(f"line {number}\n" for number in range(1000)))
    for number, name in enumerate(("old/worker-1.err", "raylet.out", "gcs_server.out")):
        os.utime(logs / name, (number, number))
    for number in range(10):
        (logs / f"big-{number}").write_text("x" * 99 + "\n")
        os.utime(logs / f"big-{number}", (100 + number, 100 + number))
    _Shipment(logs, LocalStorage(tmp_path / "bucket"), "h").send()
    assert sorted(sent(tmp_path)) == ["h/big-8", "h/big-9"]

    for path in logs.glob("big-*"):
        path.unlink()
    _Shipment(logs, LocalStorage(tmp_path / "bucket"), "h").send()
    end = sent(tmp_path)["h/gcs_server.out"]
    assert end.endswith(b"line 998\nline 999\n")
    assert end.startswith(b"line ")
    assert len(end) <= 100


def test_links_and_pipes_are_left_alone(tmp_path, logs):
    """A link out of the folder does not carry a cohort to the bucket, and a pipe does not hold up the others."""
    (tmp_path / "manifest.csv").write_text("patient_id\n1\n")
    (logs / "link").symlink_to(tmp_path / "manifest.csv")
    (logs / "folder").symlink_to(tmp_path)
    os.mkfifo(logs / "pipe")
    _Shipment(logs, LocalStorage(tmp_path / "bucket"), "h").send()

    assert sorted(sent(tmp_path)) == ["h/old/worker-1.err", "h/raylet.out"]


def test_a_storage_that_is_away_is_tried_again(tmp_path, logs):
    """What could not be sent is sent the next time."""
    target = tmp_path / "bucket"
    target.touch()  # no folder can be made there
    shipment = _Shipment(logs, LocalStorage(target), "h")
    with pytest.raises(RunDirectoryError):
        shipment.send()
    target.unlink()
    assert shipment.send() == 2


def test_the_last_lines_before_a_shutdown_arrive(tmp_path, logs):
    """SIGTERM, which a shutdown sends, is answered with one more sending, although the interval is long."""
    target = tmp_path / "bucket"
    command = [sys.executable, "-m", "orchestrator.storage.ship_logs", str(logs), str(target), "--seconds", "3600"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    with subprocess.Popen(command, env=environment) as process:
        # Its handler is set once Python has imported everything; before, the signal would end it.
        deadline = time.monotonic() + 60
        while not _catches_sigterm(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert [path.read_bytes() for path in target.rglob("raylet.out")] == [b"first\n"]


def _catches_sigterm(process: int) -> bool:
    """Whether a process has a handler for SIGTERM: bit 14 of SigCgt in proc_pid_status(5)."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) & 1 << (signal.SIGTERM - 1))
    return False
