"""Which cell comes next, with what it has delivered and what it has been through; no Ray here.

Every try of a cell is a ticket. A lost ticket puts its cell back at the head of the queue, to go on from the
candidates that the driver holds by then; a ticket that has ended is forgotten, and what still comes from it is not
heard.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.cells.records import CandidateResult
from orchestrator.runners.faults import COUNTED, Cause
from orchestrator.runners.packing import doubled
from orchestrator.runners.runner import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One try of a cell."""

    number: int
    cell: int
    """The cell's place among the jobs."""
    attempt: int
    """1, and one more for every loss that counts."""
    gpus: float
    pilot: bool
    """Whether this try ends after its first candidate, to tell what a cell needs of a GPU."""


class CellQueue:
    """The cells of a run that have not ended."""

    def __init__(self, jobs: Sequence[Job], *, attempts: int, gpus: float, pilot: bool) -> None:
        self.jobs = jobs
        self.attempts = attempts
        self.gpus = gpus
        """What the next cell reserves."""
        self.measuring = pilot
        self.waiting = deque(range(len(jobs)))
        self.issued = 0
        self._underway: dict[int, Ticket] = {}
        self._delivered: dict[int, list[CandidateResult]] = {}
        self._spent: Counter[int] = Counter()

    @property
    def finished(self) -> bool:
        """Whether every cell has ended."""
        return not (self.waiting or self._underway)

    def next(self) -> Ticket | None:
        """The next try; None where nothing can begin now: all has ended, is under way, or waits for the pilot."""
        if not self.waiting or (self.measuring and self._underway):
            return None
        cell = self.waiting.popleft()
        self.issued += 1
        ticket = Ticket(
            number=self.issued, cell=cell, attempt=self._spent[cell] + 1, gpus=self.gpus, pilot=self.measuring
        )
        self._underway[ticket.number] = ticket
        return ticket

    def job(self, ticket: Ticket) -> Job:
        """What the ticket's worker is told: the cell, with every candidate that it has delivered."""
        job = self.jobs[ticket.cell]
        return replace(job, finished=(*job.finished, *self._delivered.get(ticket.cell, ())))

    def underway(self, number: int) -> Ticket | None:
        """The ticket of a number, unless it has ended."""
        return self._underway.get(number)

    def all_underway(self) -> list[Ticket]:
        """Every ticket that has not ended."""
        return list(self._underway.values())

    def delivered(self, ticket: Ticket, candidate: CandidateResult) -> None:
        """Remember a candidate until its cell ends."""
        self._delivered.setdefault(ticket.cell, []).append(candidate)

    def ended(self, ticket: Ticket) -> None:
        """Forget a cell: it is complete, or failed for good."""
        del self._underway[ticket.number]
        self._delivered.pop(ticket.cell, None)
        self._spent.pop(ticket.cell, None)

    def measured(self, ticket: Ticket, gpus: float) -> None:
        """A pilot has told what a cell needs: it goes on among the others, with the same share."""
        self.measuring, self.gpus = False, gpus
        self._put_back(ticket)

    def lost(self, ticket: Ticket, cause: Cause) -> int | None:
        """A try came to nothing.

        Returns:
            The number of the attempt that follows; None where the cell has failed for good and has ended.
        """
        self._spent[ticket.cell] += cause in COUNTED
        if not self._again(ticket, cause):
            self.ended(ticket)
            return None
        if cause == "gpu_memory":
            self.gpus = max(self.gpus, doubled(ticket.gpus))
        self._put_back(ticket)
        return self._spent[ticket.cell] + 1

    def aborted(self) -> None:
        """Put back every cell under way: Tune itself has ended, and not for a fault of theirs."""
        for ticket in reversed(self.all_underway()):
            self._put_back(ticket)

    def _again(self, ticket: Ticket, cause: Cause) -> bool:
        if cause == "gpu_memory":
            return doubled(ticket.gpus) > ticket.gpus
        return cause != "error" and self._spent[ticket.cell] < self.attempts

    def _put_back(self, ticket: Ticket) -> None:
        del self._underway[ticket.number]
        self.waiting.appendleft(ticket.cell)
