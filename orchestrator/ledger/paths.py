"""The names of all files of a run directory; no other module knows them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.cells.records import SEGMENTS, CellKey
from orchestrator.storage.base import Blob, Storage
from orchestrator.storage.locations import open_storage

COMMIT: Final = "COMMIT.json"
"""The marker of a finished cell, in its folder."""
RESULTS_FILE: Final = "results.parquet"
"""The rows of a finished cell, beside it."""
TEST_PREDICTIONS: Final = "test_predictions"
"""What a final cell adds when the test is opened."""
TEST_COMMIT: Final = f"{TEST_PREDICTIONS}.json"
"""Their marker."""
ATTRIBUTIONS: Final = "attributions"
"""What `polarmap explain` adds to a cell: where the scores of its exams come from."""
ATTRIBUTIONS_COMMIT: Final = f"{ATTRIBUTIONS}.json"
"""Their marker."""
CELL: Final = re.compile(r"(\w+)(?:-search)?-(?:r(\d+)-f(\d+)|final)")
"""A cell's folder; one in quarantine has a dot in its name."""
CANDIDATES: Final = re.compile(r"candidates-(\d+)\.json")
"""What a cell under way has finished: a file for each time that something was written down."""


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The blobs of one run directory, `RUNS/<name>/`."""

    storage: Storage

    @property
    def root(self) -> str:
        """The location of the run directory: a folder, or a URL."""
        return self.storage.location

    @property
    def name(self) -> str:
        """The run directory's own name."""
        return self.root.rpartition("/")[2]

    @property
    def experiment(self) -> Blob:
        """Resolved settings, hashes, versions, hardware."""
        return Blob(self.storage, "experiment.json")

    @property
    def cohort(self) -> Blob:
        """The exams of the run, without pixels."""
        return Blob(self.storage, "cohort.parquet")

    @property
    def folds(self) -> Blob:
        """The fold plan."""
        return Blob(self.storage, "folds.parquet")

    @property
    def maps(self) -> Blob:
        """Fingerprints and segment means of the cohort's maps, in the row order of the cohort."""
        return Blob(self.storage, "maps.parquet")

    @property
    def log(self) -> Blob:
        """The driver's log."""
        return Blob(self.storage, "run.log")

    @property
    def progress(self) -> Blob:
        """The driver's heartbeat."""
        return Blob(self.storage, "progress.json")

    @property
    def metrics(self) -> Blob:
        """The same for Prometheus, of a local run."""
        return Blob(self.storage, "progress.prom")

    @property
    def summary(self) -> Blob:
        """The summary; written last and removed first, so while it is there, tables and report are current."""
        return self.report("summary.parquet")

    def blob(self, name: str) -> Blob:
        """Any file, by its name in the run directory."""
        return Blob(self.storage, name)

    def report(self, name: str) -> Blob:
        """A file of the report."""
        return Blob(self.storage, f"report/{name}")

    def table(self, name: str) -> Blob:
        """A compacted table."""
        return Blob(self.storage, f"tables/{name}.parquet")

    def cell(self, cell: str) -> str:
        """The folder of the cell of that name."""
        return f"cells/{cell}"

    def candidates(self, cell: str, number: int) -> Blob:
        """Finished candidates of a cell that is not finished itself; the files are numbered as they were written."""
        return self.in_cell(cell, f"candidates-{number:04d}.json")

    def results(self, key: CellKey) -> Blob:
        """A finished cell's rows of every table."""
        return self.in_cell(key.name, RESULTS_FILE)

    def commit(self, key: CellKey) -> Blob:
        """Written last: the cell is finished."""
        return self.in_cell(key.name, COMMIT)

    def test_predictions(self, key: CellKey) -> Blob:
        """What a final cell's networks predict for the test exams, once the test was opened."""
        return self.in_cell(key.name, f"{TEST_PREDICTIONS}.parquet")

    def test_commit(self, key: CellKey) -> Blob:
        """Written after them: they are whole."""
        return self.in_cell(key.name, TEST_COMMIT)

    @property
    def compaction(self) -> Blob:
        """What the tables were made of; written after them and deleted before they change."""
        return Blob(self.storage, "tables/compaction.json")

    def attributions(self, key: CellKey) -> Blob:
        """Where the scores of a cell's exams come from, once it was explained."""
        return self.in_cell(key.name, f"{ATTRIBUTIONS}.parquet")

    def attributions_commit(self, key: CellKey) -> Blob:
        """Written after them: they are whole."""
        return self.in_cell(key.name, ATTRIBUTIONS_COMMIT)

    def in_cell(self, cell: str, name: str) -> Blob:
        """A file of the cell of that name."""
        return Blob(self.storage, f"{self.cell(cell)}/{name}")

    def model(self, key: CellKey, member: int, suffix: str) -> Blob:
        """A final network's file."""
        return Blob(self.storage, f"models/{key.inputs}-member{member}.{suffix}")

    def reference_maps(self, inputs: str) -> Blob:
        """The mean normal maps that exams are compared with where a final network's score is explained."""
        return Blob(self.storage, f"models/{inputs}-reference.parquet")

    def baseline(self, key: CellKey) -> Blob:
        """What the final network is compared with."""
        return Blob(self.storage, f"models/{key.inputs}-{SEGMENTS}.json")


def run_paths(location: str | Path) -> RunPaths:
    """The run directory at a location."""
    return RunPaths(open_storage(location))
