"""What a cell costs in files and in requests: both are counted, on a disk and at a real S3 server."""

import os
import stat
from collections import Counter

import pytest

from orchestrator.cells.records import CellKey, CellResult
from orchestrator.ledger.compaction import compact
from orchestrator.ledger.description import read_description
from orchestrator.ledger.integrity import find_damage
from orchestrator.ledger.paths import RunPaths, run_paths
from orchestrator.ledger.state import RunState

CANDIDATES = 20
CELLS = [CellKey(inputs="stress", partition="development", repeat=0, fold=fold) for fold in (0, 1)]


def cell(key: CellKey) -> CellResult:
    """A finished cell."""
    return CellResult(
        key=key,
        state="complete",
        reason="",
        candidate=0,
        steps=10,
        values={"encoder_learning_rate": 1e-4, "head_learning_rate": 1e-3, "freeze_depth": 2},
        predictions=(),
        models=(),
        seconds=1.0,
        host="host",
        device="cpu",
        searched=CANDIDATES,
    )


def begun(finished: RunPaths, url: str) -> tuple[RunPaths, str]:
    """A run directory in a bucket without any cell, and its experiment's hash."""
    paths = run_paths(url)
    for name in ("experiment.json", "cohort.parquet"):
        paths.storage.write(name, finished.storage.read(name))
    return paths, read_description(paths).hash


def test_a_finished_cell_is_one_file_and_one_marker(finished):
    """A study of thousands of cells has two files of each; a final one also those that opening the test adds."""
    cells = finished.parent / "runs" / "tiny" / "cells"
    files = {folder.name: sorted(path.name for path in folder.iterdir()) for folder in cells.iterdir()}
    assert len(files) == 6
    for name, found in files.items():
        added = ["test_predictions.json", "test_predictions.parquet"] if name.endswith("-final") else []
        assert found == ["COMMIT.json", "results.parquet", *added]


@pytest.mark.parametrize(("seconds", "files"), [(0.1, 0), (3.0, 2), (120.0, 9)])
def test_a_cell_in_a_bucket_is_a_few_requests_however_long_it_takes(finished, bucket, s3_server, tried, seconds, files):
    """Candidates go together, what is lost without them stays bounded, and a cell's results are read once."""
    paths, experiment = begun(run_paths(finished.parent / "runs" / "tiny"), f"{bucket}/run")
    state = RunState.read(paths)
    before = len(s3_server.requests(bucket))
    for key in CELLS:
        for number in range(CANDIDATES):
            state.keep_candidate(key, tried(number, seconds), experiment)
            lost = sum(one.seconds for one in state.waiting.get(key.name, ()))
            assert lost < max(30.0, (number + 1) * seconds / 4)
        state.commit(cell(key), 1, experiment)
    asked = s3_server.requests(bucket)[before:]
    # The files under way, results, marker, and one deletion of all that the marker makes superfluous.
    assert len(asked) == len(CELLS) * (files + 2 + bool(files))
    assert set(paths.storage.names("cells")) == {
        f"cells/{key.name}/{name}" for key in CELLS for name in ("COMMIT.json", "results.parquet")
    }

    before = len(s3_server.requests(bucket))
    compact(state)
    read = Counter(name for method, name in s3_server.requests(bucket)[before:] if method == "GET" and "cells/" in name)
    assert sorted(read.values()) == [1] * len(CELLS)
    assert (files + 2 + bool(files)) + 1 < 15

    before = len(s3_server.requests(bucket))
    assert not find_damage(RunState.read(paths), experiment).is_of_results
    # A listing, and each marker and file once.
    assert len(s3_server.requests(bucket)) - before == 1 + 2 * len(CELLS)


def test_files_that_a_driver_left_between_marker_and_deletion_are_no_candidates(finished, bucket, tried):
    """Killed after the commit, a driver leaves garbage: it is known as such, and no row comes from it."""
    paths, experiment = begun(run_paths(finished.parent / "runs" / "tiny"), f"{bucket}/run")
    state = RunState.read(paths)
    for number in range(CANDIDATES):
        state.keep_candidate(CELLS[0], tried(number, 60.0), experiment)
    left = {name: paths.storage.read(name) for name in paths.storage.names("cells")}
    state.commit(cell(CELLS[0]), 1, experiment)
    for name, content in left.items():
        paths.storage.write(name, content)

    again = RunState.read(paths)
    assert set(again.leftovers) == set(left)
    assert again.finished(CELLS[0]) == ()
    assert again.state_of(CELLS[0]) == "complete"


def test_candidates_are_deleted_when_the_marker_is_on_the_disk(tmp_path, tried, monkeypatch):
    """After a power cut there is the marker, or there are the candidates: the marker's folder is flushed between."""
    done: list[str] = []
    fsync, unlink = os.fsync, os.unlink

    def flushing(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def deleting(name: str, *, dir_fd: int | None = None) -> None:
        unlink(name, dir_fd=dir_fd)
        done.append(name)

    monkeypatch.setattr(os, "fsync", flushing)
    monkeypatch.setattr(os, "unlink", deleting)
    paths = run_paths(tmp_path / "run")
    with paths.storage.hold():
        state = RunState.read(paths)
        for number in range(CANDIDATES):
            state.keep_candidate(CELLS[0], tried(number, 1.0), "hash")
        state.commit(cell(CELLS[0]), 1, "hash")
        assert done == [
            *["file"] * (CANDIDATES + 2),
            "folder",
            *(f"candidates-{number:04d}.json" for number in range(CANDIDATES)),
        ]
