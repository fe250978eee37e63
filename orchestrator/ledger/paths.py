"""The names of all files of a run directory; no other module knows them."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from orchestrator.cells.records import SEGMENTS, CellKey
from orchestrator.storage.base import Blob, Storage
from orchestrator.storage.locations import open_storage

CELL: Final = re.compile(r"(\w+)(?:-search)?-(?:r(\d+)-f(\d+)|final)")
"""A cell's folder; one in quarantine has a dot in its name."""
_CANDIDATES: Final = re.compile(r"candidates-(\d+)\.json")


class CellPart(StrEnum):
    """What a cell's folder holds. A marker is written after each part: without it the part is nothing."""

    RESULTS = "results"
    """The rows of a finished cell, of every table."""
    TEST_PREDICTIONS = "test_predictions"
    """What a final cell adds when the test is opened."""
    ATTRIBUTIONS = "attributions"
    """What `polarmap explain` adds: where the scores of the cell's exams come from."""

    @property
    def file(self) -> str:
        """The part's file, in the cell's folder."""
        return f"{self}.parquet"

    @property
    def marker(self) -> str:
        """Its marker, beside it; that of the results says that the cell is finished."""
        return "COMMIT.json" if self is CellPart.RESULTS else f"{self}.json"


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

    @staticmethod
    def candidates_number(name: str) -> int | None:
        """The number of such a file by its name in the cell's folder; None for another file."""
        found = _CANDIDATES.fullmatch(name)
        return int(found[1]) if found else None

    @property
    def compaction(self) -> Blob:
        """What the tables were made of; written after them and deleted before they change."""
        return Blob(self.storage, "tables/compaction.json")

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
