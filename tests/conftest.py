"""What every test may rely on: the real data where it is at hand, and an environment without surprises."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

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


def write_tiny_cohort(folder: Path, *, patients: int = 48, test_patients: int = 12, seed: int = 0) -> Path:
    """Write a cohort of two tracers whose positive exams have a dark inferior wall at stress; returns its manifest."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(patients + test_patients):
        tracer, label = ("Tc-99m", "Tl-201")[number % 2], (number // 2) % 2
        row = {"patient_id": f"patient-{number:03d}", "tracer": tracer, "label": label, "sex": "FM"[number // 4 % 2]}
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


@pytest.fixture
def tiny(tmp_path: Path, make_tiny: Callable[..., Path]) -> Path:
    """The tiny experiment in this test's folder."""
    return make_tiny(tmp_path)
