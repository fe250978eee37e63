"""A run in the hands of other programs: Optuna and its dashboard, DuckDB, pandas, polars."""

import json
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import duckdb
import optuna
import pandas as pd
import polars as pl
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from mpi_model.errors import ExperimentError
from orchestrator.cells.records import CandidateResult
from orchestrator.cli import main
from orchestrator.driver.ledger_events import LedgerEvents
from orchestrator.export.optuna_journal import export_studies
from orchestrator.ledger.paths import RunPaths
from orchestrator.ledger.reading import open_run

Brought = dict[str, list[CandidateResult]]


@pytest.fixture(scope="module")
def brought(
    tmp_path_factory: pytest.TempPathFactory, make_tiny: Callable[..., Path], run, paths_of
) -> tuple[RunPaths, Brought]:
    """A run with pruning, and every candidate as its worker brought it, by cell."""
    experiment = make_tiny(tmp_path_factory.mktemp("brought"))
    found: dict[str, dict[int, CandidateResult]] = {}
    kept = LedgerEvents.candidate

    def remember(self, key, result):
        kept(self, key, result)
        # In a race a candidate comes again after each of its inner folds; the last record counts.
        found.setdefault(key.name, {})[result.number] = result

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LedgerEvents, "candidate", remember)
        run(experiment, "search.candidates=6", "training.epochs=7", "search.inner_folds=2")
    return paths_of(experiment), {name: list(results.values()) for name, results in found.items()}


@pytest.fixture(scope="module")
def journal(brought: tuple[RunPaths, Brought]) -> Path:
    """The exported file."""
    path = Path(brought[0].root).parent / "candidates.journal"
    assert main(["export-optuna", str(brought[0].root), str(path)]) == 0
    return path


@pytest.mark.thorough
def test_every_search_is_a_study_that_says_what_its_worker_said(brought, journal):
    """Names, states, values, parameters and each epoch's score, against what workers reported while it ran."""
    storage = JournalStorage(JournalFileBackend(str(journal)))
    assert sorted(study.study_name for study in storage.get_all_studies()) == sorted(brought[1])
    for name, results in brought[1].items():
        study = optuna.load_study(study_name=name, storage=storage)
        assert study.direction == optuna.study.StudyDirection.MINIMIZE
        assert [trial.state.name.lower() for trial in study.trials] == [result.state for result in results]
        for trial, result in zip(study.trials, results, strict=True):
            assert trial.value == result.objective
            assert trial.params == {key: value for key, value in result.values.items() if value is not None}
            assert list(trial.intermediate_values.values()) == pytest.approx(list(result.reported), rel=1e-12)
            assert trial.duration.total_seconds() == pytest.approx(result.seconds, abs=1e-5)
        assert study.best_value == min(result.objective for result in results if result.objective is not None)
    assert {result.state for results in brought[1].values() for result in results} == {"complete", "pruned"}


@pytest.mark.thorough
def test_an_export_overwrites_nothing_and_is_private(brought, journal):
    """A file that is there is refused, and what is written only its user can read."""
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    with pytest.raises(ExperimentError, match="exists already"):
        export_studies(open_run(brought[0].root), journal)


@pytest.mark.slow
@pytest.mark.thorough
def test_optuna_dashboard_lists_the_studies(brought, journal):
    """The dashboard's own HTTP interface knows every cell and all of its trials."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("optuna-dashboard")), str(journal), "--port", str(port), "--quiet"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        studies = _ask(f"http://127.0.0.1:{port}/api/studies")["study_summaries"]
        assert {study["study_name"] for study in studies} == set(brought[1])
        for study in studies:
            detail = _ask(f"http://127.0.0.1:{port}/api/studies/{study['study_id']}")
            assert len(detail["trials"]) == len(brought[1][study["study_name"]])
    finally:
        server.terminate()
        server.wait()


def _ask(address: str) -> dict[str, list[dict[str, object]]]:
    """The server's answer, once it is up."""
    deadline = time.monotonic() + 300
    while True:
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                found: dict[str, list[dict[str, object]]] = json.load(answer)
                return found
        except urllib.error.URLError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize("name", ["cells", "candidates", "epochs", "predictions", "timings"])
def test_tables_read_the_same_in_duckdb_pandas_and_polars(finished, folder_of, name):
    """A table is plain Parquet: every reader finds the same columns and the same values, nulls included."""
    path = folder_of(finished) / "tables" / f"{name}.parquet"
    frame = pd.read_parquet(path)
    expected = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()

    assert [list(row) for row in pl.read_parquet(path).iter_rows()] == expected
    found = duckdb.connect().execute(f"select * from '{path}'")
    assert [column[0] for column in found.description] == list(frame.columns)
    assert [list(row) for row in found.fetchall()] == expected
