"""A run opened for reading, finished or going on: its tables as pandas data frames."""

import logging
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from orchestrator.ledger.compaction import current_table, read_compaction
from orchestrator.ledger.description import RunDescription, read_description
from orchestrator.ledger.files import read_frame
from orchestrator.ledger.joining import MADE_ANEW, joined, read_cohort
from orchestrator.ledger.paths import RunPaths, run_paths
from orchestrator.ledger.schemas import SUMMARY_DTYPES
from orchestrator.ledger.seals import read_sealed
from orchestrator.ledger.state import RunState
from orchestrator.storage.base import Blob

_LOG = logging.getLogger("polarmap.ledger")


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory; every attribute reads its files anew.

    The tables of a run that is going on, or was stopped, are joined from its committed cells.
    """

    paths: RunPaths
    tables_are_current: bool = False
    """Whether the tables are known to be current: the driver has just written them, and no summary yet."""

    def tables(self, *names: str) -> tuple[pd.DataFrame, ...]:
        """Several tables at one moment: compacted ones where they are current, otherwise joined from the parts.

        Args:
            names: Of `cells`, `candidates`, `epochs`, `predictions`, `timings`.

        Raises:
            RunDirectoryError: A part is not what was committed.
        """
        if self.tables_are_current:
            return tuple(read_frame(self.paths.table(name)) for name in names)
        state, record = RunState.read(self.paths), read_compaction(self.paths, self.description.hash)
        # Tables of other cells than the ledger holds are left alone: a run is going on, or an old driver wrote them.
        current = record if record is not None and record.is_of(state) else None
        found: dict[str, pa.Table] = (
            {name: current_table(self.paths, current, name) for name in names} if current else {}
        )
        missing = [name for name in names if found.get(name) is None]
        for name in missing if current else ():
            _LOG.warning("%s is not what was compacted; it is joined again from the cells", self.paths.table(name))
        # Together: a cell's file has rows of every table, and is read once.
        tables = {**found, **(joined(state, *missing) if missing else {})}
        return tuple(tables[name].to_pandas() for name in names)

    @property
    def description(self) -> RunDescription:
        """`experiment.json`: settings, hashes, versions, hardware."""
        return read_description(self.paths)

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.description.name

    @property
    def plan(self) -> str:
        """The fold plan's digest."""
        return self.description.plan

    @property
    def cohort(self) -> pd.DataFrame:
        """The exams, labels included."""
        frame: pd.DataFrame = read_cohort(self.paths, self.description.hash).to_pandas()
        return frame

    @property
    def folds(self) -> pd.DataFrame:
        """`repeat, patient_id, fold`."""
        return self._sealed(self.paths.folds)

    @property
    def maps(self) -> pd.DataFrame:
        """Fingerprints and segment means of the cohort's maps, in the rows of `cohort`."""
        return self._sealed(self.paths.maps)

    def _sealed(self, blob: Blob) -> pd.DataFrame:
        frame: pd.DataFrame = read_sealed(blob, self.description.hash, MADE_ANEW).to_pandas()
        return frame

    @property
    def cells(self) -> pd.DataFrame:
        """One row a cell, with its chosen hyperparameters."""
        return self.tables("cells")[0]

    @property
    def candidates(self) -> pd.DataFrame:
        """One row a candidate."""
        return self.tables("candidates")[0]

    @property
    def epochs(self) -> pd.DataFrame:
        """One row an epoch of an inner fold of a candidate."""
        return self.tables("epochs")[0]

    @property
    def predictions(self) -> pd.DataFrame:
        """One row an exam, member and cell, labels joined."""
        return self.tables("predictions")[0]

    @property
    def attributions(self) -> pd.DataFrame:
        """Where scores come from, by groups of exams; the table is there once the run was explained."""
        return self._sealed(self.paths.table("attributions"))

    @property
    def exam_attributions(self) -> pd.DataFrame:
        """The same, one row an exam, phase and cell."""
        return self._sealed(self.paths.table("exam_attributions"))

    @property
    def timings(self) -> pd.DataFrame:
        """Seconds, attempts, hosts."""
        return self.tables("timings")[0]

    @property
    def summary(self) -> pd.DataFrame:
        """The estimates with their intervals; one row a method."""
        rows = read_sealed(self.paths.summary, self.description.hash, "`polarmap run` makes the report again")
        frame: pd.DataFrame = rows.to_pandas().astype(SUMMARY_DTYPES)
        return frame


def open_run(location: str | Path) -> Run:
    """Open a run directory for reading.

    Args:
        location: A folder, or `s3://bucket/prefix/name`.

    Raises:
        RunDirectoryError: There is no run there, or its `experiment.json` was changed.
    """
    paths = run_paths(location)
    read_description(paths)
    return Run(paths)
