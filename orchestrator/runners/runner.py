"""The interface of a runner: it is given cells and calls back with candidates and results, in the driver."""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from orchestrator.cells.records import CandidateResult, CellKey, CellResult, CellTask, Worker, WorkerContext
from orchestrator.experiment.processor import vector_instructions
from orchestrator.experiment.settings import ResourceSettings

RunnerName = Literal["ray", "inline"]
"""Ray Tune, in processes of its own, or this process, one cell after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A cell to do, with the candidates an earlier run had finished."""

    task: CellTask
    finished: tuple[CandidateResult, ...]


Work = Callable[[CellTask, WorkerContext, Sequence[CandidateResult], Callable[[CandidateResult], None]], CellResult]
"""What a worker does with a cell: `orchestrator.cells.guard.run_guarded`, or something else that is to be timed."""


def this_worker(node: str = "") -> Worker:
    """The process that asks, as a worker; `node` is Ray's id of its node."""
    return Worker(host=platform.node(), process=os.getpid(), processor=vector_instructions(), node=node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """A worker that gave no sign until its deadline."""

    attempt: int
    """Which try of the cell it was at."""
    worker: Worker | None
    """None where it had not said a word."""
    seconds: float
    """Of silence."""
    deadline: float
    stacks: str
    """What its threads were at: names of functions and lines, no values."""
    is_ended: bool = True
    """Whether it was ended; a process that is the driver itself is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """A worker on a node whose GPU does not compute; it has done nothing."""

    worker: Worker
    line: str
    """What does not work, with host, driver and remedy."""


class Events(Protocol):
    """What the driver does with work that comes back; the only place that writes the ledger."""

    def started(self, key: CellKey, worker: Worker, attempt: int) -> None:
        """A worker begins with a cell.

        Args:
            key: The cell.
            worker: Where.
            attempt: Which try of the cell it is, 1 for the first.
        """

    def candidate(self, key: CellKey, result: CandidateResult) -> None:
        """A candidate is finished."""

    def retried(self, key: CellKey, cause: str, attempt: int) -> None:
        """A cell was lost and is tried again from its last finished candidate.

        Args:
            key: The cell.
            cause: Why, in words.
            attempt: The attempt that begins; the same as before where the loss does not count.
        """

    def hung(self, key: CellKey, hang: Hang) -> None:
        """A worker gave no sign until its deadline; `retried` or `cell` follows where it was ended."""

    def waiting(self, message: str) -> None:
        """No node can do a cell, and what is waited for; empty once one can again."""

    def unfit(self, unfit: Unfit) -> None:
        """A node gets no more cells; the one that it was given is tried elsewhere."""

    def cell(self, result: CellResult, attempt: int) -> None:
        """A cell is finished, complete or failed."""


class Runner(Protocol):
    """Runs cells, in any order and as many at a time as its resources allow."""

    def run(self, jobs: Sequence[Job], context: WorkerContext, resources: ResourceSettings, events: Events) -> None:
        """Run every job to its end; results come through `events`, called in the driver's process.

        An error raised by `events` (a full disk) ends the run and is raised from here.
        """
