"""A run on simulated patients with every kind of head and every input configuration, quickly trained, for exports."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.ledger.reading import Run, open_run
from orchestrator.phantom.writer import write_cohort
from polarmap.models import export

EXPERIMENT = """
name = "{heads}"
[cohort]
manifest = "cohort/manifest.csv"
patients = "available"
[images]
size = 24
[network]
backbone = "compact"
weights = "random"
heads = "{heads}"
[folds]
folds = 2
repeats = 1
[search]
space = "learning_rates"
candidates = 1
inner_folds = 1
[training]
epochs = 8
members = 2
[decision]
threshold = "balanced_accuracy"
calibration = "platt"
[resources]
gpus_per_cell = 0
"""
EXAMS = 200


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with simulated patients to train on, and 200 exams of others to predict."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_cohort(folder / "cohort", patients=80, tracer_mix={"Tc-99m": 0.4, "Tl-201": 0.4}, seed=1, size=32)
    write_cohort(folder / "new", patients=200, tracer_mix={"Tc-99m": 0.4, "Tl-201": 0.4}, seed=2, size=40)
    rows = pd.read_csv(folder / "new" / "manifest.csv")
    # Half of each tracer, with both phases, so that one list serves every input configuration.
    both = rows[rows["stress"].notna() & rows["rest"].notna()]
    chosen = pd.concat([mine.head(EXAMS // 2) for _, mine in both.groupby("tracer")])
    assert len(chosen) == EXAMS
    chosen.drop(columns="label").to_csv(folder / "new" / "exams.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def hub(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run's network for dual input as a hub folder; copy before changing."""
    return export(finished.parent / "runs" / "tiny", tmp_path_factory.mktemp("hub") / "hub", "hub", inputs="dual")


@pytest.fixture
def own_hub(hub: Path, tmp_path: Path) -> Path:
    """A private copy."""
    return Path(shutil.copytree(hub, tmp_path / "hub"))


@pytest.fixture(scope="session")
def run_with(phantoms: Path, run: Callable[..., object]) -> Callable[[str], Run]:
    """The run of a kind of head, trained once."""
    made: dict[str, Run] = {}

    def of(heads: str) -> Run:
        if heads not in made:
            experiment = phantoms / f"{heads}.toml"
            experiment.write_text(EXPERIMENT.format(heads=heads))
            run(experiment)
            made[heads] = open_run(phantoms / "runs" / heads)
        return made[heads]

    return of
