"""How long work tells that it goes on: one small interface, drawn by `orchestrator.terminal`."""

from typing import Protocol


class Progress(Protocol):
    """One line of work at a time, and remarks between."""

    def begin(self, task: str, total: int) -> None:
        """A piece of work of `total` steps begins; it replaces the one before."""

    def advance(self, done: int, detail: str = "") -> None:
        """`done` steps are finished."""

    def say(self, line: str) -> None:
        """A remark that stays."""

    def end(self) -> None:
        """The work begun last is over."""


class Silence:
    """No progress: for tests, and for use as a library."""

    def begin(self, task: str, total: int) -> None:
        """Say nothing."""

    def advance(self, done: int, detail: str = "") -> None:
        """Say nothing."""

    def say(self, line: str) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""
