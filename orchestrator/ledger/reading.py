"""A run opened for reading: its tables as pandas data frames, whoever wrote them."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mpi_model.errors import RunDirectoryError
from orchestrator.ledger.files import read_frame, read_json
from orchestrator.ledger.paths import RunPaths


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory; every attribute reads its file anew."""

    paths: RunPaths

    @property
    def description(self) -> dict[str, object]:
        """`experiment.json`: settings, hashes, versions, hardware."""
        return read_json(self.paths.experiment)

    @property
    def name(self) -> str:
        """The experiment's name."""
        return str(self.description["name"])

    @property
    def plan(self) -> str:
        """The fold plan's digest."""
        return str(self.description["plan"])

    @property
    def cohort(self) -> pd.DataFrame:
        """The exams, labels included."""
        return read_frame(self.paths.cohort)

    @property
    def folds(self) -> pd.DataFrame:
        """`repeat, patient_id, fold`."""
        return read_frame(self.paths.folds)

    @property
    def cells(self) -> pd.DataFrame:
        """One row a cell, with its chosen hyperparameters."""
        return read_frame(self.paths.table("cells"))

    @property
    def candidates(self) -> pd.DataFrame:
        """One row a candidate."""
        return read_frame(self.paths.table("candidates"))

    @property
    def epochs(self) -> pd.DataFrame:
        """One row an epoch of an inner fold of a candidate."""
        return read_frame(self.paths.table("epochs"))

    @property
    def predictions(self) -> pd.DataFrame:
        """One row an exam, member and cell, labels joined."""
        return read_frame(self.paths.table("predictions"))

    @property
    def timings(self) -> pd.DataFrame:
        """Seconds, attempts, hosts."""
        return read_frame(self.paths.table("timings"))

    @property
    def summary(self) -> pd.DataFrame:
        """The estimates with their intervals; one row a method."""
        return read_frame(self.paths.report / "summary.parquet")


def open_run(path: str | Path) -> Run:
    """Open a run directory for reading.

    Raises:
        RunDirectoryError: There is no run there.
    """
    paths = RunPaths(Path(path))
    if not paths.experiment.is_file():
        raise RunDirectoryError(
            f"{path} is not a run directory: it has no experiment.json; name RUNS/<experiment name>"
        )
    return Run(paths)
