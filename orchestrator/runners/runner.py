"""The interface of a runner: it is given cells and calls back with candidates and results, in the driver."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.cells.records import CandidateResult, CellKey, CellResult, CellTask, WorkerContext
from orchestrator.experiment.settings import ResourceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A cell to do, with the candidates an earlier run had finished."""

    task: CellTask
    finished: tuple[CandidateResult, ...]


Work = Callable[[CellTask, WorkerContext, Sequence[CandidateResult], Callable[[CandidateResult], None]], CellResult]
"""What a worker does with a cell: `orchestrator.cells.guard.run_guarded`, or something else that is to be timed."""


class Events(Protocol):
    """What the driver does with work that comes back; the only place that writes the ledger."""

    def started(self, key: CellKey) -> None:
        """A cell begins."""

    def candidate(self, key: CellKey, result: CandidateResult) -> None:
        """A candidate is finished."""

    def retried(self, key: CellKey, cause: str, attempt: int) -> None:
        """A cell was lost and is tried again from its last finished candidate.

        Args:
            key: The cell.
            cause: Why, in words.
            attempt: The attempt that begins; the same as before where the loss does not count.
        """

    def cell(self, result: CellResult, attempt: int) -> None:
        """A cell is finished, complete or failed."""


class Runner(Protocol):
    """Runs cells, in any order and as many at a time as its resources allow."""

    def run(self, jobs: Sequence[Job], context: WorkerContext, resources: ResourceSettings, events: Events) -> None:
        """Run every job to its end; results come through `events`, called in the driver's process.

        An error raised by `events` (a full disk) ends the run and is raised from here.
        """
