"""What every test may rely on: the real data where it is at hand, and an environment without surprises."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

# For validation/: after what is installed, so that the packages tested are those of the wheel.
sys.path.append(str(Path(__file__).resolve().parents[1]))

# A busy machine is slow, not wrong: no property test fails for its time.
settings.register_profile("polarmap", deadline=None)
settings.load_profile("polarmap")


def _shared_data_folder() -> Path:
    beside_the_repository = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("POLARMAP_SHARED_DATA", beside_the_repository))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; a test that needs it is skipped, and says so, where it is absent."""
    folder = _shared_data_folder()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set POLARMAP_SHARED_DATA)")
    return folder


@pytest.fixture(autouse=True)
def _no_borrowed_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own weight cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch-home"))


@dataclass(frozen=True)
class S3Server:
    """An S3 server that really runs."""

    endpoint: str
    process: subprocess.Popen
    log: Path

    def requests(self, bucket: str) -> list[tuple[str, str]]:
        """Method and object of every request for a bucket until now, as the server wrote them down."""
        place = f"/{bucket.removeprefix('s3://').partition('/')[0]}"
        found = re.findall(r'"([A-Z]+) (/\S*) HTTP', self.log.read_text())
        return [(method, name) for method, name in found if name.startswith(place)]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server on a free port of loopback, in a process of its own, so that it can be stopped and go on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as file, subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield S3Server(endpoint=f"http://127.0.0.1:{port}", process=process, log=log)
        process.kill()


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new bucket, which this process and its children may use."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    request = urllib.request.Request(f"{s3_server.endpoint}/{name}", method="PUT")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
    return f"s3://{name}"


def write_tiny_cohort(
    folder: Path, *, patients: int = 48, test_patients: int = 12, seed: int = 0, called: str = "patient"
) -> Path:
    """Write a cohort of two tracers whose positive exams have a dark inferior wall at stress; returns its manifest."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(patients + test_patients):
        tracer, label = ("Tc-99m", "Tl-201")[number % 2], (number // 2) % 2
        row = {"patient_id": f"{called}-{number:03d}", "tracer": tracer, "label": label, "sex": "FM"[number // 4 % 2]}
        row["partition"] = "development" if number < patients else "test"
        for phase, depth in (("stress", 0.8), ("rest", 0.3)):
            counts = random.normal(100, 12, size=(16, 16)).clip(1)
            counts[10:, 4:12] *= 1 - depth * label * random.uniform(0.5, 1)
            row[phase] = f"{number:03d}-{phase}.npy"
            np.save(folder / row[phase], counts.astype(np.float32))
        rows.append(row)
    manifest = folder / "manifest.csv"
    pd.DataFrame(rows).to_csv(manifest, index=False)
    return manifest


TINY_EXPERIMENT = """
name = "tiny"
[cohort]
manifest = "manifest.csv"
inputs = ["stress", "dual"]
[images]
size = 16
[network]
backbone = "compact"
weights = "random"
[folds]
folds = 2
repeats = 1
[search]
space = "learning_rates_and_freeze_depth"
candidates = 3
inner_folds = 1
[training]
epochs = 3
members = 1
[resources]
gpus_per_cell = 0
"""


@pytest.fixture(scope="session")
def make_tiny() -> Callable[..., Path]:
    """Writes an experiment file beside a tiny two-tracer cohort: four cells of a second, two final ones."""

    def make(folder: Path, **cohort: int) -> Path:
        write_tiny_cohort(folder, **cohort)
        path = folder / "experiment.toml"
        path.write_text(TINY_EXPERIMENT)
        return path

    return make


@pytest.fixture(scope="session")
def make_cohort() -> Callable[..., Path]:
    """Writes such a cohort alone, for example of another centre."""
    return write_tiny_cohort


@pytest.fixture
def tiny(tmp_path: Path, make_tiny: Callable[..., Path]) -> Path:
    """The tiny experiment in this test's folder."""
    return make_tiny(tmp_path)


@pytest.fixture(scope="session")
def command_without() -> Callable[..., subprocess.CompletedProcess]:
    """Runs a command in a process of its own; it fails with 7 where one of the modules was imported."""

    def run(words: list[object], *modules: str) -> subprocess.CompletedProcess:
        code = (
            "import sys; from orchestrator.cli import main\n"
            f"code = main({[str(word) for word in words]!r})\n"
            f"sys.exit(7 if set({modules!r}) & set(sys.modules) else code)"
        )
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    return run
