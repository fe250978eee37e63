"""How far a run is: one record for bar, lines, log, heartbeat and status, and the interface that shows it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from mpi_model.vocabulary import Inputs
from orchestrator.experiment.settings import Objective

_HUNG: Final = 5.0
"""Times the longest silence that a run's own candidates explain."""
_LEAST_HUNG: Final = 120.0
_LEAST_SLOW: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsProgress:
    """The cells of one input configuration."""

    inputs: Inputs
    complete: int
    failed: int
    under_way: int
    """At work, or, in an interrupted run, begun."""
    left: int
    best_validation: float | None
    """The best validation score of any of its candidates: chosen on inner folds, hence too good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningCell:
    """A cell that a worker is at."""

    cell: str
    """Its name."""
    attempt: int
    candidates: int
    """Those that this attempt has finished."""
    known: int = 0
    """Those that are finished, in whatever attempt or call: the ledger of a bucket may not hold them yet."""
    seconds: float
    silent: float = 0.0
    """Seconds since its last result, or since it began."""
    host: str = ""
    worker: int = 0
    """The process id of its worker."""

    def pace(self, longest: float | None) -> Literal["usual", "slow", "hung"]:
        """Whether its silence is usual, judged by the longest that work of this run takes between two results."""
        if longest is None:
            return "usual"
        if self.silent > max(_HUNG * longest, _LEAST_HUNG):
            return "hung"
        return "slow" if self.silent > max(longest, _LEAST_SLOW) else "usual"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """How far a run is, at one moment."""

    cells: tuple[InputsProgress, ...]
    objective: Objective
    running: tuple[RunningCell, ...]
    candidates: int
    """Candidates that this call has finished."""
    rate: float | None
    """Candidates a second, over the last minutes of this call; None before the first."""
    seconds: float
    """Since this call began to train."""
    seconds_left: float | None
    """Judged from cells that this call has finished; None while there are none."""
    longest: float | None = None
    """Seconds between two results of a cell, at most, judged from this run's slowest epoch; None until there is one."""
    waiting: str = ""
    """What is waited for while no node of a cluster can do a cell."""

    @property
    def total(self) -> int:
        """Cells of the experiment."""
        return sum(one.complete + one.failed + one.under_way + one.left for one in self.cells)

    @property
    def complete(self) -> int:
        """Cells that ended well."""
        return sum(one.complete for one in self.cells)

    @property
    def failed(self) -> int:
        """Cells that failed for good."""
        return sum(one.failed for one in self.cells)

    @property
    def best(self) -> Mapping[str, float]:
        """The best validation score of each input configuration that has one."""
        return {one.inputs: one.best_validation for one in self.cells if one.best_validation is not None}


def best_of(scores: Iterable[float | None], objective: Objective) -> float | None:
    """The best of some validation scores: the smallest loss, or the largest AUC; None without any."""
    known = [score for score in scores if score is not None]
    if not known:
        return None
    # A loss is better when it is smaller, an AUC when it is larger.
    return min(known) if objective == "balanced_log_loss" else max(known)


class Progress(Protocol):
    """Shows one piece of work at a time, and remarks between."""

    def begin(self, task: str, total: int) -> None:
        """A piece of work of `total` steps begins; it replaces the one before."""

    def advance(self, done: int, detail: str = "") -> None:
        """`done` steps are finished."""

    def show(self, run: RunProgress) -> None:
        """The cells of a run have come this far; instead of `advance`."""

    def say(self, line: str) -> None:
        """A remark that stays."""

    def end(self) -> None:
        """The work begun last is over."""


class NullProgress:
    """Shows nothing: for tests, and for use as a library."""

    def begin(self, task: str, total: int) -> None:
        """Nothing."""

    def advance(self, done: int, detail: str = "") -> None:
        """Nothing."""

    def show(self, run: RunProgress) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


@contextmanager
def shown(progress: Progress, task: str, total: int = 0) -> Iterator[None]:
    """A piece of work on the display, which is over however the block ends."""
    progress.begin(task, total)
    try:
        yield
    finally:
        progress.end()


@contextmanager
def progress_callback(progress: Progress, task: str) -> Iterator[Callable[[int, int], None]]:
    """Progress for a function that reports what is done and what there is in all."""
    begun = False

    def advance(done: int, total: int) -> None:
        nonlocal begun
        # The total is known only at the first call.
        if not begun:
            progress.begin(task, total)
            begun = True
        progress.advance(done)

    try:
        yield advance
    finally:
        progress.end()
