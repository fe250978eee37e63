"""Event files for TensorBoard: one line of points a cell, while the run goes on. Off unless a folder is named."""

from pathlib import Path

from tensorboardX import SummaryWriter

from orchestrator.cells.records import CandidateResult, CellKey, CellResult
from orchestrator.experiment.settings import Objective
from orchestrator.monitoring.progress import RunProgress, best_of

_SECONDS: int = 5
"""Between two writings to the disk."""


class EventFiles:
    """A folder of event files, one below it for every cell under way; no patient and no label is in them."""

    def __init__(self, folder: Path, objective: Objective) -> None:
        self._folder = folder
        self._objective = objective
        self._run = SummaryWriter(str(folder / "run"), flush_secs=_SECONDS)
        self._cells: dict[str, SummaryWriter] = {}
        self._best: dict[str, float | None] = {}

    def candidate(self, key: CellKey, result: CandidateResult) -> None:
        """A finished candidate: its objective, the best until now, and its epochs, by its number."""
        if key.name not in self._cells:
            self._cells[key.name] = SummaryWriter(str(self._folder / key.name), flush_secs=_SECONDS)
        self._best[key.name] = best_of((self._best.get(key.name), result.objective), self._objective)
        points = {
            f"search/{self._objective}": result.objective,
            f"search/best_{self._objective}": self._best[key.name],
            "search/epochs": max((epoch.epoch for epoch in result.epochs), default=0),
        }
        for name, value in points.items():
            # A pruned or failed candidate has no objective; a gap says so.
            if value is not None:
                self._cells[key.name].add_scalar(name, value, result.number)

    def cell(self, result: CellResult, progress: RunProgress) -> None:
        """A finished cell; its file is closed, because a run has hundreds of them."""
        done = progress.complete + progress.failed
        self._run.add_scalar("cells/complete", progress.complete, done)
        self._run.add_scalar("cells/failed", progress.failed, done)
        self._run.add_scalar("cells/seconds", result.seconds, done)
        if (writer := self._cells.pop(result.key.name, None)) is not None:
            writer.close()

    def close(self) -> None:
        """Write what is left."""
        for writer in (*self._cells.values(), self._run):
            writer.close()
