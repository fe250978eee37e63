"""A run opened for reading, finished or going on: its tables as pandas data frames."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mpi_model.errors import RunDirectoryError
from orchestrator.ledger.compaction import joined
from orchestrator.ledger.files import read_frame, read_json
from orchestrator.ledger.paths import RunPaths, run_paths
from orchestrator.ledger.schemas import SUMMARY_DTYPES


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory; every attribute reads its files anew.

    The tables of a run that is going on, or was stopped, are joined from its committed cells.
    """

    paths: RunPaths

    def _table(self, name: str) -> pd.DataFrame:
        """A compacted table where it is current, otherwise the same from the parts."""
        if self.paths.summary.exists():
            return read_frame(self.paths.table(name))
        frame: pd.DataFrame = joined(self.paths, name).to_pandas()
        return frame

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
        return self._table("cells")

    @property
    def candidates(self) -> pd.DataFrame:
        """One row a candidate."""
        return self._table("candidates")

    @property
    def epochs(self) -> pd.DataFrame:
        """One row an epoch of an inner fold of a candidate."""
        return self._table("epochs")

    @property
    def predictions(self) -> pd.DataFrame:
        """One row an exam, member and cell, labels joined."""
        return self._table("predictions")

    @property
    def timings(self) -> pd.DataFrame:
        """Seconds, attempts, hosts."""
        return self._table("timings")

    @property
    def summary(self) -> pd.DataFrame:
        """The estimates with their intervals; one row a method."""
        return read_frame(self.paths.summary).astype(SUMMARY_DTYPES)


def open_run(location: str | Path) -> Run:
    """Open a run directory for reading.

    Args:
        location: A folder, or `s3://bucket/prefix/name`.

    Raises:
        RunDirectoryError: There is no run there.
    """
    paths = run_paths(location)
    if not paths.experiment.exists():
        raise RunDirectoryError(
            f"{location} is not a run directory: it has no experiment.json; name RUNS/<experiment name>"
        )
    return Run(paths)
