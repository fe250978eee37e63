"""Nothing that is read from a finished run is believed unseen: single flipped bits in every kind of its files."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from mpi_model.errors import PolarmapError
from orchestrator.driver.open_test import final_networks
from orchestrator.ledger.openings import read_openings
from orchestrator.ledger.paths import run_paths
from orchestrator.ledger.reading import Run
from orchestrator.ledger.schemas import TABLES
from orchestrator.monitoring.status import status_of
from orchestrator.storage.local import LocalStorage

Reader = Callable[[Path], object]


def _network(inputs: str) -> Reader:
    def read(runs: Path) -> object:
        settings = Run(run_paths(runs / "tiny")).description.settings
        ((network, decisions),) = final_networks(run_paths(runs / "tiny"), inputs, settings)
        weights = {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}
        return weights, repr(decisions)

    return read


def _openings(runs: Path) -> object:
    folder = LocalStorage(runs / "test_openings")
    return [read_openings(folder, name) for name in folder.names("") if not name.startswith(".")]


def _status(runs: Path) -> object:
    """All but the last heartbeat, which may be missing."""
    found = status_of(run_paths(runs / "tiny"))
    return found.state, found.progress.cells, found.candidates, found.failed, found.lost


def _table(name: str) -> Reader:
    return lambda runs: Run(run_paths(runs / "tiny")).tables(name)[0]


READERS: dict[str, Reader] = {
    **{name: _table(name) for name in TABLES},
    "cohort": lambda runs: Run(run_paths(runs / "tiny")).cohort,
    "folds": lambda runs: Run(run_paths(runs / "tiny")).folds,
    "maps": lambda runs: Run(run_paths(runs / "tiny")).maps,
    "summary": lambda runs: Run(run_paths(runs / "tiny")).summary,
    "description": lambda runs: Run(run_paths(runs / "tiny")).description,
    "status": _status,
    "openings": _openings,
    "heartbeat": lambda runs: status_of(run_paths(runs / "tiny")).driver,
}


def _same(found: object, due: object) -> bool:
    return found.equals(due) if isinstance(found, pd.DataFrame) else found == due


def _affected(name: str) -> Iterator[str]:
    """The readers that look at a file of the run directory; the others cannot see it."""
    if name.startswith("models/") and "member" in name:
        yield f"network {name.split('/')[1].partition('-')[0]}"
    elif not name.startswith(("report/figures", "run.log")):
        yield from READERS


def _strike(finished: Path, folder: Path, flips: int, seed: int) -> tuple[int, list[str]]:
    """Flip single bits, one at a time.

    Returns:
        How many readings were refused, and the readings that gave another value than before.
    """
    runs = folder / "runs"
    shutil.copytree(finished.parent / "runs", runs)
    readers = READERS | {f"network {inputs}": _network(inputs) for inputs in ("stress", "dual")}
    due = {name: read(runs) for name, read in readers.items()}
    draw = random.Random(seed)
    # Kinds in turn, so that the few small files are struck as often as the many large ones.
    kinds: dict[str, list[Path]] = {}
    for path in sorted(path for path in runs.rglob("*") if path.is_file() and path.stat().st_size):
        kinds.setdefault(f"{path.parent.name}/{path.suffix}" if "cells" not in path.parts else path.name, []).append(
            path
        )
    refused, wrong = 0, []
    for number in range(flips):
        path = draw.choice(kinds[sorted(kinds)[number % len(kinds)]])
        content = path.read_bytes()
        place, bit = draw.randrange(len(content)), draw.randrange(8)
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
        name = path.relative_to(runs / "tiny").as_posix() if path.is_relative_to(runs / "tiny") else "test_openings"
        for reader in _affected(name):
            try:
                found = readers[reader](runs)
            except PolarmapError:
                refused += 1
                continue
            # A heartbeat that cannot be believed is none.
            if not _same(found, due[reader]) and not (reader == "heartbeat" and found is None):
                wrong.append(f"{name}, byte {place}, bit {bit}: {reader}")
        path.write_bytes(content)
    return refused, wrong


@pytest.mark.thorough
def test_no_flipped_bit_is_read_as_another_value(finished, tmp_path):
    """Forty bits over every kind of file: each reading gives the value that was written, or is refused."""
    refused, wrong = _strike(finished, tmp_path, 40, seed=1)

    assert wrong == []
    assert refused > 15


@pytest.mark.slow
def test_none_of_a_thousand_flipped_bits_is_read_as_another_value(finished, tmp_path):
    """A thousand bits over every kind of file, with every reader."""
    refused, wrong = _strike(finished, tmp_path, 1000, seed=2)

    assert wrong == []
    assert refused > 300


def test_an_edited_table_is_joined_again_from_the_cells_and_a_person_is_told(finished, tmp_path, caplog):
    """A label that was edited in the compacted predictions is not reported: the parts say what was predicted."""
    shutil.copytree(finished.parent / "runs", tmp_path / "runs")
    run = Run(run_paths(tmp_path / "runs" / "tiny"))
    due = run.predictions
    path = tmp_path / "runs" / "tiny" / "tables" / "predictions.parquet"
    due.assign(label=1 - due["label"], score=-due["score"]).to_parquet(path, index=False)

    assert run.predictions.equals(due)
    assert "predictions.parquet" in caplog.text
    assert "joined again" in caplog.text


@pytest.mark.thorough
def test_tables_of_other_cells_than_the_ledger_holds_are_left_alone(finished, tmp_path):
    """Tables that an old driver compacted from half of the cells are not taken for the run's."""
    shutil.copytree(finished.parent / "runs", tmp_path / "runs")
    run = Run(run_paths(tmp_path / "runs" / "tiny"))
    cell = next((tmp_path / "runs" / "tiny" / "cells").glob("stress-r*"))
    shutil.rmtree(cell)

    assert len(run.cells) == len(Run(run_paths(finished.parent / "runs" / "tiny")).cells) - 1
