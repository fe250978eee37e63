"""Where everything of a run directory lies; the only module that knows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.cells.records import CellKey

COMMIT: Final = "COMMIT.json"
"""The marker of a finished cell, in its directory."""


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The files of one run directory, `RUNS/<name>/`."""

    root: Path

    @property
    def experiment(self) -> Path:
        """Resolved settings, hashes, versions, hardware."""
        return self.root / "experiment.json"

    @property
    def cohort(self) -> Path:
        """The exams of the run, without pixels."""
        return self.root / "cohort.parquet"

    @property
    def folds(self) -> Path:
        """The fold plan."""
        return self.root / "folds.parquet"

    @property
    def lock(self) -> Path:
        """Held by the one driver that may write."""
        return self.root / ".lock"

    @property
    def log(self) -> Path:
        """The driver's log."""
        return self.root / "run.log"

    @property
    def progress(self) -> Path:
        """The driver's heartbeat."""
        return self.root / "progress.json"

    @property
    def cells(self) -> Path:
        """The ledger: a directory for each cell."""
        return self.root / "cells"

    @property
    def models(self) -> Path:
        """Final networks."""
        return self.root / "models"

    @property
    def report(self) -> Path:
        """Summary, report and figures."""
        return self.root / "report"

    @property
    def summary(self) -> Path:
        """The summary; written last and removed first, so while it is there, tables and report are current."""
        return self.report / "summary.parquet"

    def table(self, name: str) -> Path:
        """A compacted table."""
        return self.root / "tables" / f"{name}.parquet"

    def cell(self, key: CellKey) -> Path:
        """A cell's directory."""
        return self.cells / key.name

    def candidate(self, key: CellKey, number: int) -> Path:
        """A finished candidate of a cell that is not finished itself."""
        return self.cell(key) / f"candidate-{number:04d}.parquet"

    def part(self, key: CellKey, table: str) -> Path:
        """A finished cell's rows of one table."""
        return self.cell(key) / f"{table}.parquet"

    def commit(self, key: CellKey) -> Path:
        """Written last: the cell is finished."""
        return self.cell(key) / COMMIT

    def test_predictions(self, key: CellKey) -> Path:
        """What a final cell's networks say of the test exams, once the test was opened."""
        return self.cell(key) / "test_predictions.parquet"

    def model(self, key: CellKey, member: int, suffix: str) -> Path:
        """A final network's file."""
        return self.models / f"{key.inputs}-member{member}.{suffix}"
