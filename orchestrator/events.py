"""What the driver does with work that comes back: the ledger is written, the eye is told."""

import logging

from orchestrator.cells.records import CandidateResult, CellKey, CellResult
from orchestrator.ledger.parts import commit_cell, write_candidate
from orchestrator.ledger.paths import RunPaths
from orchestrator.progress import Progress

LOG = logging.getLogger("polarmap.run")


class LedgerEvents:
    """Writes what workers bring into the ledger, in the driver, and counts it for the eye."""

    def __init__(self, paths: RunPaths, experiment: str, progress: Progress, cells: int, left: int) -> None:
        self.paths = paths
        self.experiment = experiment
        self.progress = progress
        self.done = cells - left
        self.candidates = 0
        progress.begin("training", cells)
        progress.advance(self.done, "starting workers")

    def started(self, key: CellKey) -> None:
        """Nothing is written when a cell begins."""
        self._show(key.name)

    def candidate(self, key: CellKey, result: CandidateResult) -> None:
        """Keep a finished candidate."""
        write_candidate(self.paths, key, result)
        self.candidates += 1
        self._show(key.name)

    def cell(self, result: CellResult, attempt: int) -> None:
        """Commit a finished cell; a failed one is said at once."""
        commit_cell(self.paths, result, attempt, self.experiment)
        self.done += 1
        self._show(result.key.name)
        if result.state == "failed":
            self.progress.say(f"cell {result.key.name} failed: {result.reason}")
            LOG.error("cell %s failed: %s\n%s", result.key.name, result.reason, result.trace)

    def _show(self, cell: str) -> None:
        self.progress.advance(self.done, f"{self.candidates} candidates, at {cell}")
