"""A bar on a terminal, plain lines elsewhere; both on standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from orchestrator.progress import Progress

SECONDS_BETWEEN_LINES: Final = 5.0


def progress_for(stream: TextIO = sys.stderr) -> Progress:
    """A bar where the stream is a terminal, lines where it is not."""
    console = Console(file=stream)
    return Bar(console) if console.is_terminal else Lines(stream)


@contextmanager
def counted(progress: Progress, task: str) -> Iterator[Callable[[int, int], None]]:
    """Progress for a function that reports what is done and what there is in all."""
    begun = False

    def advance(done: int, total: int) -> None:
        nonlocal begun
        if not begun:
            progress.begin(task, total)
            begun = True
        progress.advance(done)

    try:
        yield advance
    finally:
        progress.end()


class Lines:
    """A plain line when work begins and ends, and every few seconds between."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.task = ""
        self.total = 0
        self.begun = self.told = 0.0

    def begin(self, task: str, total: int) -> None:
        """See `Progress.begin`."""
        self.task, self.total = task, total
        self.begun = self.told = time.monotonic()

    def advance(self, done: int, detail: str = "") -> None:
        """See `Progress.advance`; most calls say nothing."""
        now = time.monotonic()
        if now - self.told >= SECONDS_BETWEEN_LINES:
            self.told = now
            count = f" {done} of {self.total}" if self.total else ""
            self.say(f"{self.task}:{count} after {now - self.begun:.0f} s{f' ({detail})' if detail else ''}")

    def say(self, line: str) -> None:
        """See `Progress.say`."""
        print(line, file=self.stream, flush=True)

    def end(self) -> None:
        """See `Progress.end`; short work is not worth a line."""
        seconds = time.monotonic() - self.begun
        if self.task and seconds >= SECONDS_BETWEEN_LINES:
            self.say(f"{self.task}: done in {seconds:.0f} s")
        self.task = ""


class Bar:
    """One rich bar."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live: RichProgress | None = None
        self.bar: TaskID | None = None

    def begin(self, task: str, total: int) -> None:
        """See `Progress.begin`."""
        self.end()
        self.live = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", style="dim"),
            console=self.console,
            transient=True,
        )
        self.live.start()
        self.bar = self.live.add_task(task, total=total or None, detail="")

    def advance(self, done: int, detail: str = "") -> None:
        """See `Progress.advance`."""
        if self.live is not None and self.bar is not None:
            self.live.update(self.bar, completed=done, detail=detail)

    def say(self, line: str) -> None:
        """See `Progress.say`."""
        (self.live.console if self.live else self.console).print(line, highlight=False, markup=False)

    def end(self) -> None:
        """See `Progress.end`."""
        if self.live is not None:
            self.live.stop()
        self.live = self.bar = None
