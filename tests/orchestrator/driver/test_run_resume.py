"""A run that was stopped, damaged, changed or finished, and is run again."""

import shutil

import numpy as np
import pandas as pd
import pytest

from mpi_model.errors import RunDirectoryError
from orchestrator.cells.records import CellKey
from orchestrator.driver.ledger_events import LedgerEvents
from orchestrator.ledger.paths import run_paths
from orchestrator.ledger.state import RunState
from orchestrator.report.build import report_of
from polarmap import open_run

FIRST = CellKey(inputs="stress", partition="development", repeat=0, fold=0)


def test_a_finished_run_does_nothing_and_needs_no_torch(mine, run, paths_of, no_runner, folder_of):
    """Run again, a finished run changes no file and trains nothing."""
    before = {path: path.stat().st_mtime_ns for path in folder_of(mine).rglob("*") if path.is_file()}
    outcome = run(mine, open_test=True, runner=no_runner)

    assert outcome.done_now == 0
    assert not outcome.opened_now
    assert {path: path.stat().st_mtime_ns for path in folder_of(mine).rglob("*") if path.is_file()} == before


@pytest.mark.thorough
def test_a_report_that_a_crash_left_behind_is_made_anew(mine, run, digests, paths_of, no_runner, folder_of):
    """Killed after the test was predicted but before the report was written, a run reports the test when run again."""
    paths = paths_of(mine)
    before = digests(paths)
    paths.summary.unlink()
    shutil.rmtree(folder_of(mine) / "tables")

    assert set(open_run(paths.root).predictions["partition"]) == {"development", "test"}
    run(mine, open_test=True, runner=no_runner)
    assert digests(paths) == before
    assert set(open_run(paths.root).summary["partition"]) == {"development", "test"}


class Stopped(BaseException):
    """The process is killed."""


def test_a_run_killed_in_the_middle_of_a_cell_ends_like_an_undisturbed_one(
    tiny, finished, monkeypatch, run, digests, paths_of
):
    """Stopped after its fifth candidate and run again, a run has the same tables, byte for byte."""
    kept = LedgerEvents.candidate
    told = []

    def stop_after_five(self, key, result):
        kept(self, key, result)
        told.append(result)
        if len(told) == 5:
            raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(LedgerEvents, "candidate", stop_after_five)
        with pytest.raises(Stopped):
            run(tiny)
    paths = paths_of(tiny)
    state = RunState.read(paths)
    assert state.state_of(FIRST) == "complete"
    second = CellKey(inputs="dual", partition="development", repeat=0, fold=0)
    assert len(state.finished(second)) == 2
    assert report_of(open_run(paths.root)).cells["state"].tolist() == ["complete"]

    outcome = run(tiny, open_test=True)
    assert outcome.done_now == 5
    assert digests(paths) == digests(paths_of(finished))


@pytest.mark.thorough
def test_a_race_killed_on_its_second_inner_fold_goes_on_from_there(make_tiny, tmp_path, monkeypatch, run, digests):
    """What was trained on the second fold is kept over what was kept of the first, and the tables are the same."""
    settings = (
        *("search.strategy=race", "search.inner_folds=2", "search.winners=1", "search.candidates=4"),
        *('cohort.inputs=["stress"]', "statistics.baseline=none"),
    )
    undisturbed = run(make_tiny(tmp_path / "undisturbed"), *settings).paths
    kept = LedgerEvents.candidate
    told = []

    def stop_after_five(self, key, result):
        kept(self, key, result)
        told.append(result)
        if len(told) == 5:
            raise Stopped

    experiment = make_tiny(tmp_path / "killed")
    with monkeypatch.context() as patched:
        patched.setattr(LedgerEvents, "candidate", stop_after_five)
        with pytest.raises(Stopped):
            run(experiment, *settings)
    last = told[-1]
    assert len(last.best_steps) == 2
    paths = run_paths(experiment.parent / "runs" / "tiny")
    assert [one.number for one in RunState.read(paths).finished(FIRST)] == [0, 1, 2, 3]
    # As text, too: a whole number comes back as one.
    assert repr(RunState.read(paths).finished(FIRST)[last.number]) == repr(last)

    run(experiment, *settings)
    assert digests(paths) == digests(undisturbed)


@pytest.mark.thorough
def test_a_candidate_file_without_its_predecessor_is_not_trusted(mine, run, digests, paths_of, folder_of):
    """Candidates are replayed in order: one after a gap is trained again."""
    paths = paths_of(mine)
    folder = folder_of(mine) / "cells" / FIRST.name
    before = digests(paths)
    paths.in_cell(FIRST.name, "COMMIT.json").unlink()
    (folder / "candidates-0001.json").write_bytes(b"of no use any more")

    assert RunState.read(paths).finished(FIRST) == ()
    run(mine)
    assert digests(paths) == before


def test_another_experiment_is_refused_by_the_names_of_what_differs(mine, run, digests, paths_of, no_runner):
    """A changed setting, and changed pixels, are named; nothing is overwritten."""
    with pytest.raises(RunDirectoryError, match=r"differs in training.patience \(6 -> 2\)") as refused:
        run(mine, "training.patience=2", runner=no_runner)
    assert refused.value.exit_code == 2
    counts = np.load(mine.parent / "000-stress.npy")
    counts[0, 0] += 1
    np.save(mine.parent / "000-stress.npy", counts)
    before = digests(paths_of(mine))
    with pytest.raises(RunDirectoryError, match=r"differs in data \("):
        run(mine, runner=no_runner)
    assert digests(paths_of(mine)) == before


def test_resources_and_names_are_not_part_of_an_experiment(mine, run, no_runner):
    """More cores or attempts do not make another experiment: the run is recognised as finished."""
    assert run(mine, "resources.cpus_per_cell=2", "resources.attempts=1", runner=no_runner).done_now == 0


def test_a_fold_plan_that_was_changed_by_hand_is_refused(mine, run, folder_of, no_runner):
    """folds.parquet is verified on resume."""
    path = folder_of(mine) / "folds.parquet"
    folds = pd.read_parquet(path)
    folds["fold"] = 1 - folds["fold"]
    folds.to_parquet(path, index=False)
    with pytest.raises(RunDirectoryError, match=r"folds\.parquet"):
        run(mine, runner=no_runner)


def test_two_drivers_cannot_write_one_run(mine, run, paths_of, no_runner):
    """While one driver holds the run directory, another is refused at once."""
    with paths_of(mine).storage.hold(), pytest.raises(RunDirectoryError, match="another `polarmap run`"):
        run(mine, runner=no_runner)


@pytest.mark.thorough
def test_a_failed_cell_is_kept_as_a_row_and_done_again_when_asked(
    tiny, finished, failing_cells, capsys, run, digests, paths_of, no_runner, folder_of
):
    """One cell that cannot be trained fails alone; --retry-failed puts it into quarantine and finishes the run."""
    with failing_cells({FIRST.name: RuntimeError("the cosmic ray\nand more")}):
        outcome = run(tiny)
    assert outcome.failed == (FIRST,)
    tables = open_run(paths_of(tiny).root)
    failed = tables.cells[tables.cells["state"] == "failed"]
    assert failed["reason"].tolist() == ["RuntimeError: the cosmic ray (stress, repeat 0, fold 0, candidate 0)"]
    assert "Traceback" in paths_of(tiny).log.read_bytes().decode()
    assert "Traceback" not in capsys.readouterr().err
    refused = tables.summary[(tables.summary["inputs"] == "stress") & (tables.summary["partition"] == "development")]
    assert set(refused["state"]) == {"refused"}
    assert run(tiny, runner=no_runner).failed == (FIRST,)

    assert run(tiny, open_test=True, retry_failed=True).failed == ()
    assert digests(paths_of(tiny)) == digests(paths_of(finished))
    assert (folder_of(tiny) / "cells" / "stress-r00-f0.failed-1").is_dir()


def test_a_column_that_is_only_reported_is_part_of_the_experiment(mine, run, no_runner):
    """Sex corrected in the manifest changes subgroup rows: the old run is not passed off as the new one."""
    manifest = pd.read_csv(mine.parent / "manifest.csv")
    manifest.loc[manifest["partition"] == "test", "sex"] = "F"
    manifest.to_csv(mine.parent / "manifest.csv", index=False)
    with pytest.raises(RunDirectoryError, match=r"differs in data\.used"):
        run(mine, runner=no_runner)
