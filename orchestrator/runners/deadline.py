"""When a silent worker counts as hung: far beyond what candidates of the same run took; no Ray here.

Nothing is measured twice: a candidate says how long it took and how many epochs that were. A worker that is ended loses
the candidate it was at, which is trained again, so a deadline changes when a run ends and never what it finds.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mpi_model.settings import TrainingSettings
from orchestrator.cells.records import CandidateResult, WorkerContext
from orchestrator.experiment.settings import DecisionSettings, ResourceSettings, SearchSettings
from orchestrator.runners.runner import Job

_UNMEASURED: Final = 6 * 3600.0
"""Seconds for a first candidate, when nothing is known of its length."""
_SHORTEST: Final = 1800.0
"""Seconds of the shortest deadline: candidates with more frozen stages are many times faster than others, and machines
are shared."""
_TIMES: Final = 20.0
"""Times the longest candidate that the measured epochs allow: what a deadline is."""
_LATER: Final = 4.0
"""Times as long for each further try, so that a deadline which is too short by a mistake ends no cell for good."""
_FIRST_REPORT: Final = 900.0
"""Seconds until a worker has started, imported its libraries, tried its GPU and read its cell; nothing of that depends
on the experiment. Four times as long for each further try, too."""
_LONGEST_LOOK: Final = 5.0
"""Seconds that count between two looks: a driver that was paused itself has seen nobody's silence."""


class Pace:
    """How long work of this run takes between two results of a cell, judged from its slowest epoch until now."""

    def __init__(
        self,
        training: TrainingSettings,
        search: SearchSettings,
        decision: DecisionSettings,
        resources: ResourceSettings,
    ) -> None:
        calibrations = 0 if decision.calibration == "none" else search.inner_folds
        self._schedule = training.epochs
        is_flat = search.scheme == "flat"
        # Between two results lies a candidate, or the end of a cell. A candidate trains every inner fold. The end
        # trains every member on all exams and in each fold of the calibration. A part of a flat search trains a
        # candidate once.
        self._epochs = training.epochs * max(
            1 if is_flat else search.inner_folds, training.members * (1 + calibrations)
        )
        self._is_flat = is_flat
        self._fixed = resources.candidate_deadline
        self._slowest: float | None = None

    def add(self, candidate: CandidateResult) -> None:
        """Measure a finished candidate."""
        # By epochs, because one that was pruned after five says as much as one that came to its end.
        epochs = len(candidate.epochs)
        # A part of a flat search records none, and trains each for the whole schedule. A cell that only judges what the
        # parts found took no time, and a candidate that diverged ended early.
        if self._is_flat and candidate.seconds and candidate.state == "complete":
            epochs = self._schedule
        if epochs:
            self._slowest = max(self._slowest or 0.0, candidate.seconds / epochs)

    @property
    def longest(self) -> float | None:
        """Seconds between two results of a cell, at most; None until a candidate was measured."""
        return None if self._slowest is None else self._slowest * self._epochs

    def deadline(self, attempt: int) -> float:
        """Seconds of silence after which a worker counts as hung.

        Args:
            attempt: Which try of its cell it is at, 1 for the first.
        """
        if self._fixed != "auto":
            return self._fixed
        if self.longest is None:
            return _UNMEASURED
        return max(_SHORTEST, _TIMES * self.longest) * _LATER ** (attempt - 1)


def pace_of(jobs: Sequence[Job], context: WorkerContext, resources: ResourceSettings) -> Pace:
    """The pace of the work that is left, with what candidates of earlier calls took."""
    procedure = context.procedure
    pace = Pace(procedure.training, procedure.search, procedure.decision, resources)
    for job in jobs:
        for candidate in job.finished:
            pace.add(candidate)
    return pace


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """An attempt that said nothing for too long."""

    attempt: int
    """Its id."""
    seconds: float
    deadline: float


@dataclass(slots=True)
class _Listening:
    """One attempt under way."""

    number: int
    """Which try of its cell it is, from 1."""
    seconds: float = 0.0
    """Since it was begun or last heard."""
    has_spoken: bool = False
    is_reported: bool = False
    """Whether `overdue` has named it."""


class Watch:
    """How long every attempt under way has been silent."""

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self.pace = pace
        self._clock = clock
        self._looked = clock()
        self._attempts: dict[int, _Listening] = {}

    def begun(self, attempt: int, number: int) -> None:
        """A worker is being started for an attempt (its id), or was given it; `number` is which try of the cell it is.

        Told again, nothing begins anew: the time until the first report counts from the worker's start.
        """
        self._attempts.setdefault(attempt, _Listening(number))

    def heard(self, attempt: int) -> None:
        """Its worker has reported something."""
        if attempt in self._attempts:
            self._attempts[attempt] = _Listening(self._attempts[attempt].number, has_spoken=True)

    def ended(self, attempt: int) -> None:
        """It has ended, or was lost."""
        self._attempts.pop(attempt, None)

    def overdue(self) -> Iterator[Silence]:
        """The attempts that are silent for too long, each of them once."""
        now = self._clock()
        passed, self._looked = min(now - self._looked, _LONGEST_LOOK), now
        for attempt, one in self._attempts.items():
            one.seconds += passed
            # Nobody knows how long a candidate takes; how long a start takes, everybody does.
            started = _FIRST_REPORT * _LATER ** (one.number - 1)
            deadline = self.pace.deadline(one.number) if one.has_spoken else started
            if one.seconds > deadline and not one.is_reported:
                one.is_reported = True
                yield Silence(attempt=attempt, seconds=one.seconds, deadline=deadline)
