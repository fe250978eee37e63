"""How long work tells that it goes on: one small interface, drawn by `orchestrator.terminal`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """How far a run is, at one moment."""

    cells: int
    """Cells of the experiment."""
    complete: int
    failed: int
    running: int
    """Cells under way."""
    candidates: int
    """Candidates that this call has finished."""
    rate: float | None
    """Candidates a second, over the last minutes of this call; None before the first."""
    objective: Literal["balanced_log_loss", "auc"]
    best: Mapping[str, float]
    """For each inputs, the best validation score of any candidate: chosen on inner folds, hence too good."""
    seconds: float
    """Since this call began to train."""
    left: float | None
    """Seconds still to go, judged from cells that this call finished; None while there are none."""


class Progress(Protocol):
    """One line of work at a time, and remarks between."""

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
    """No progress: for tests, and for use as a library."""

    def begin(self, task: str, total: int) -> None:
        """Say nothing."""

    def advance(self, done: int, detail: str = "") -> None:
        """Say nothing."""

    def show(self, run: RunProgress) -> None:
        """Say nothing."""

    def say(self, line: str) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""
