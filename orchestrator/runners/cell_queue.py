"""Which cell comes next, with what it has delivered and how often it was tried; no Ray here.

Every try of a cell is an attempt. A lost attempt puts its cell back at the head of the queue, to go on from the
candidates that the driver holds by then. An attempt that has ended is forgotten, and what still comes from it is
ignored.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.cells.records import CandidateResult
from orchestrator.runners.faults import Cause
from orchestrator.runners.runner import Job

_COUNTED: Final[frozenset[Cause]] = frozenset({"worker", "host_memory", "gpu_fault", "hung"})
"""What uses up one of a cell's attempts. Nodes may go, or be unfit, as often as they like; memory of a GPU ends by
itself, at a whole one; an error would only come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a cell."""

    id: int
    """Unique in a run; a trial carries it in its config."""
    cell: int
    """The cell's place among the jobs."""
    number: int
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
        self._underway: dict[int, Attempt] = {}
        self._delivered: dict[int, dict[int, CandidateResult]] = {}
        self._spent: Counter[int] = Counter()

    @property
    def finished(self) -> bool:
        """Whether every cell has ended."""
        return not (self.waiting or self._underway)

    def next(self) -> Attempt | None:
        """The next try; None where nothing can begin now: all has ended, is under way, or waits for the pilot."""
        # While the pilot measures, the others wait: they would reserve a whole GPU each.
        if not self.waiting or (self.measuring and self._underway):
            return None
        cell = self.waiting.popleft()
        self.issued += 1
        attempt = Attempt(id=self.issued, cell=cell, number=self._spent[cell] + 1, gpus=self.gpus, pilot=self.measuring)
        self._underway[attempt.id] = attempt
        return attempt

    def job(self, attempt: Attempt) -> Job:
        """What the attempt's worker is given: the cell, with every candidate that it has delivered."""
        job = self.jobs[attempt.cell]
        # By number: in a race a later record of a candidate takes the place of an earlier one.
        latest = {one.number: one for one in job.finished} | self._delivered.get(attempt.cell, {})
        return replace(job, finished=tuple(latest[number] for number in sorted(latest)))

    def underway(self, attempt_id: int) -> Attempt | None:
        """The attempt with this id, unless it has ended."""
        return self._underway.get(attempt_id)

    def all_underway(self) -> list[Attempt]:
        """Every attempt that has not ended."""
        return list(self._underway.values())

    def delivered(self, attempt: Attempt, candidate: CandidateResult) -> None:
        """Remember a candidate until its cell ends."""
        self._delivered.setdefault(attempt.cell, {})[candidate.number] = candidate

    def ended(self, attempt: Attempt) -> None:
        """Forget a cell: it is complete, or failed for good."""
        del self._underway[attempt.id]
        self._delivered.pop(attempt.cell, None)
        self._spent.pop(attempt.cell, None)

    def measured(self, attempt: Attempt, gpus: float) -> None:
        """A pilot has measured what a cell needs: it goes on among the others, with the same share."""
        self.measuring, self.gpus = False, gpus
        self._put_back(attempt)

    def lost(self, attempt: Attempt, cause: Cause) -> int | None:
        """An attempt ended without a result.

        Returns:
            The number of the attempt that follows; None where the cell has failed for good and has ended.
        """
        self._spent[attempt.cell] += cause in _COUNTED
        if not self._again(attempt, cause):
            self.ended(attempt)
            return None
        if cause == "gpu_memory":
            self.gpus = max(self.gpus, _doubled(attempt.gpus))
        self._put_back(attempt)  # at the head: what it has delivered is remembered only until it ends
        return self._spent[attempt.cell] + 1

    def aborted(self) -> None:
        """Put back every cell under way: Tune itself has ended, and not for a fault of theirs."""
        # Reversed, because each goes to the head: the order stays as it was.
        for attempt in reversed(self.all_underway()):
            self._put_back(attempt)

    def _again(self, attempt: Attempt, cause: Cause) -> bool:
        if cause == "gpu_memory":
            return _doubled(attempt.gpus) > attempt.gpus
        # An error of our own code or data would only come again.
        return cause != "error" and self._spent[attempt.cell] < self.attempts

    def _put_back(self, attempt: Attempt) -> None:
        del self._underway[attempt.id]
        self.waiting.appendleft(attempt.cell)


def _doubled(share: float) -> float:
    """The share of a cell that ran out of its memory: half as many cells on the GPU."""
    return min(1.0, 2 * share) if share < 1 else share
