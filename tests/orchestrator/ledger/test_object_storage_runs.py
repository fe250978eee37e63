"""A whole run on object storage: a real S3 server on loopback, the inline runner, everything else as it is."""

import hashlib
import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from obstore.exceptions import GenericError

from mpi_model.errors import RunDirectoryError
from orchestrator.cli import main
from orchestrator.experiment.file import load_experiment
from orchestrator.ledger.parts import delivery_in
from orchestrator.monitoring.progress import NullProgress, RunProgress
from orchestrator.storage import object_store as object_storage
from orchestrator.storage.locations import open_storage
from polarmap import open_run

TABLES = ("cells", "candidates", "epochs", "predictions")


def in_folder(experiment: Path) -> dict[str, str]:
    """SHA-256 of the files of a run in a folder that must not depend on who ran what when."""
    root = experiment.parent / "runs" / "tiny"
    files = [*(root / "tables" / f"{name}.parquet" for name in TABLES), *(root / "models").iterdir()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def in_bucket(url: str) -> dict[str, str]:
    """The same of a run in a bucket."""
    storage = open_storage(url)
    names = [*(f"tables/{name}.parquet" for name in TABLES), *storage.names("models")]
    return {name: hashlib.sha256(storage.read(name)).hexdigest() for name in names}


class AfterSteps(NullProgress):
    """Does something once when the training has shown so many steps: five a cell, one before."""

    def __init__(self, steps: int, action: Callable[[], None]) -> None:
        self.left = steps
        self.action = action

    def show(self, progress: RunProgress) -> None:
        """Count what the driver tells of the training."""
        self.left -= 1
        if self.left == 0:
            self.action()


def interrupt() -> None:
    """As Control-C does."""
    raise KeyboardInterrupt


@pytest.mark.thorough
def test_a_run_in_a_bucket_is_interrupted_resumed_and_ends_in_the_bytes_of_a_local_run(
    tiny, finished, bucket, run, capsys, tmp_path
):
    """Tables and models in the bucket equal the local run's; every verb that reads a run reads it there."""
    runs = f"storage.runs={bucket}/study"
    with pytest.raises(KeyboardInterrupt):
        run(tiny, runs, progress=AfterSteps(9, interrupt))
    url = load_experiment(tiny, [runs]).run_directory
    assert url == f"{bucket}/study/tiny"
    committed = [name for name in open_storage(url).names("cells") if name.endswith("COMMIT.json")]
    assert 0 < len(committed) < 6
    # Two candidates of the next cell were finished, and waited for more: an interrupt writes them down.
    (left,) = (name for name in open_storage(url).names("cells") if "/candidates-" in name)
    assert len(delivery_in(open_storage(url).read(left), left.split("/")[1], 0).candidates) == 2
    outcome = run(tiny, runs)
    assert outcome.done_now == 6 - len(committed)

    assert in_bucket(url) == in_folder(finished)
    root = finished.parent / "runs" / "tiny"
    here = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    # What a node exporter reads is a local file.
    assert set(open_storage(url).names("")) == here - {"progress.prom"}
    assert run(tiny, runs).done_now == 0
    assert open_run(url).summary.equals(open_run(root).summary)
    openings = open_storage(f"{bucket}/study/test_openings")
    (logbook,) = openings.names("")
    assert [json.loads(line)["experiment"] for line in openings.read(logbook).splitlines()] == ["tiny"]

    assert main(["report", url, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["test_openings"] == 1
    out = tmp_path / "predicted.csv"
    assert main(["predict", url, str(tiny.parent / "manifest.csv"), "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 1 + 2 * 60
    assert main(["compare", url, f"{url}/"]) == 3
    assert "compared with itself" in capsys.readouterr().err


@pytest.mark.thorough
def test_a_storage_that_is_away_for_a_while_costs_time_and_nothing_else(
    tiny, finished, bucket, s3_server, run, monkeypatch
):
    """Requests time out, are tried again and find the storage back: the run ends in the same bytes."""
    monkeypatch.setattr(object_storage, "_REQUEST_SECONDS", 1)
    monkeypatch.setattr(object_storage, "_LARGE_REQUEST_SECONDS", 1)
    thaw = threading.Timer(4, s3_server.process.send_signal, [signal.SIGCONT])

    def freeze() -> None:
        s3_server.process.send_signal(signal.SIGSTOP)
        thaw.start()

    run(tiny, f"storage.runs={bucket}", progress=AfterSteps(3, freeze))
    thaw.join()

    assert in_bucket(f"{bucket}/tiny") == in_folder(finished)
    log = open_storage(f"{bucket}/tiny").read("run.log").decode()
    assert "storage is away, trying again" in log
    assert "patient-0" not in log


def test_a_storage_that_stays_away_ends_the_run_with_the_remedy(bucket, s3_server, monkeypatch):
    """After the bound, one line says what was tried, that nothing is lost and what to check."""
    monkeypatch.setattr(object_storage, "_REQUEST_SECONDS", 1)
    storage = object_storage.ObjectStorage(f"{bucket}/run", timeout=3)
    storage.write("one", b"1")
    s3_server.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(RunDirectoryError, match=r"could not be reached for \d s .* kept: .* same command again"):
            storage.write("two", b"2")
    finally:
        s3_server.process.send_signal(signal.SIGCONT)
    assert storage.read("one") == b"1"


def test_what_cannot_work_is_said_in_a_line(bucket, tiny, capsys, monkeypatch):
    """A missing bucket, a run that is not there and an endpoint without encryption: exit code 2, one line, a remedy."""
    missing = f"{bucket}-missing"
    assert main(["run", str(tiny), "--runner", "inline", "--set", f"storage.runs={missing}"]) == 2
    assert "make the bucket" in capsys.readouterr().err
    assert main(["report", f"{bucket}/nothing"]) == 2
    assert "is not a run directory" in capsys.readouterr().err
    for elsewhere in ("storage.example.org", "localhost.example.org", "127.example.org"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{elsewhere}:9000")
        assert main(["report", f"{bucket}/nothing"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "unencrypted" in line


def test_a_blob_that_is_never_taken_ends_the_run_while_others_are(bucket, monkeypatch):
    """A proxy that refuses large bodies is found out, although heartbeats beside them are answered."""
    storage = object_storage.ObjectStorage(f"{bucket}/run", timeout=100)
    seconds = [0.0]

    def sleep(pause: float) -> None:
        seconds[0] += pause
        storage.write("progress.json", b"{}")
        assert seconds[0] < 1000, "it is tried for ever"

    monkeypatch.setattr(object_storage, "time", SimpleNamespace(monotonic=lambda: seconds[0], sleep=sleep))
    put = object_storage.ObjectStorage._put

    def too_large(self, store, name, content):
        if len(content) > 1000:
            raise GenericError("Server returned non-2xx status code: 413 Payload Too Large")
        return put(self, store, name, content)

    monkeypatch.setattr(object_storage.ObjectStorage, "_put", too_large)
    with pytest.raises(RunDirectoryError, match=r"could not be reached for \d\d s .*413"):
        storage.write("models/final.safetensors", bytes(2000))
