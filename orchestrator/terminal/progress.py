"""Progress on standard error: a bar on a terminal, plain lines elsewhere, JSON lines for programs."""

import json
import sys
import time
from typing import Final, Literal, TextIO, get_args

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from mpi_model.errors import ExperimentError
from orchestrator.monitoring.progress import NullProgress, Progress, RunProgress
from orchestrator.terminal.wording import best, duration, pace, sentence

_SECONDS_BETWEEN_LINES: Final = 5.0
ProgressKind = Literal["none", "auto", "bar", "lines", "json"]
"""None, one of three displays, or a bar on a terminal and lines elsewhere (auto)."""


def progress_for(kind: ProgressKind = "auto", stream: TextIO | None = None) -> Progress:
    """The requested display; `auto` is a bar where the stream is a terminal, and lines where it is not."""
    if kind not in get_args(ProgressKind):
        raise ExperimentError(f"`progress` must be one of {', '.join(get_args(ProgressKind))}, but is {kind!r}")
    if kind == "none":
        return NullProgress()
    # Standard error: standard output holds the result, which a program may read.
    stream = stream or sys.stderr
    console = Console(file=stream, force_terminal=True if kind == "bar" else None)
    if kind == "json":
        return _JsonProgress(stream)
    return _Bar(console) if kind == "bar" or (kind == "auto" and console.is_terminal) else _Lines(stream)


class _Bar:
    """One bar, and below it what a run's cells and candidates do."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars: RichProgress | None = None
        self.live: Live | None = None
        self.task: TaskID | None = None
        self.below: tuple[str, ...] = ()

    def begin(self, task: str, total: int) -> None:
        """See `Progress.begin`."""
        self.end()
        self.bars = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            # Last, so that a narrow terminal cuts the remark and not the numbers.
            TextColumn("{task.fields[detail]}", style="dim"),
            console=self.console,
        )
        self.task = self.bars.add_task(task, total=total or None, detail="")
        # Transient: what remains on the screen is the result, not the bar.
        self.live = Live(get_renderable=self._display, console=self.console, transient=True, refresh_per_second=4)
        self.live.start()

    def advance(self, done: int, detail: str = "") -> None:
        """See `Progress.advance`."""
        if self.bars is not None and self.task is not None:
            self.bars.update(self.task, completed=done, detail=detail)

    def show(self, run: RunProgress) -> None:
        """See `Progress.show`."""
        left = "time left unknown" if run.seconds_left is None else f"{duration(run.seconds_left)} left"
        self.advance(run.complete + run.failed, left)
        cells = f"cells: {run.complete} done, {len(run.running)} running, {run.failed} failed; {pace(run)}"
        self.below = tuple(line for line in (cells, best(run.best, run.objective)) if line)

    def say(self, line: str) -> None:
        """See `Progress.say`."""
        # No markup: messages hold brackets. Soft wrap: a terminal can copy the whole line.
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def end(self) -> None:
        """See `Progress.end`."""
        if self.live is not None:
            self.live.stop()
        self.live, self.bars, self.task, self.below = None, None, None, ()

    def _display(self) -> Group:
        # Cut, never wrapped: wrapped lines would move the bar up and down at each refresh.
        lines = [Text(f"  {line}", style="dim", overflow="ellipsis", no_wrap=True) for line in self.below]
        return Group(self.bars or Text(), *lines)


class _Lines:
    """A plain line when work begins and ends, and every few seconds between."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.task = ""
        self.total = 0
        self.begun = self._shown = 0.0

    def begin(self, task: str, total: int) -> None:
        """See `Progress.begin`."""
        self.task, self.total = task, total
        self.begun = self._shown = time.monotonic()

    def advance(self, done: int, detail: str = "") -> None:
        """See `Progress.advance`; most calls print nothing."""
        if self._due():
            count = f" {done} of {self.total}" if self.total else ""
            seconds = time.monotonic() - self.begun
            self.say(f"{self.task}:{count} after {seconds:.0f} s{f' ({detail})' if detail else ''}")

    def show(self, run: RunProgress) -> None:
        """See `Progress.show`; most calls print nothing."""
        if self._due():
            self.say(f"{self.task}: after {run.seconds:.0f} s {sentence(run)}")

    def say(self, line: str) -> None:
        """See `Progress.say`."""
        # Flushed: a batch system's log is read while the job runs.
        print(line, file=self.stream, flush=True)

    def end(self) -> None:
        """See `Progress.end`; short work is not worth a line."""
        seconds = time.monotonic() - self.begun
        if self.task and seconds >= _SECONDS_BETWEEN_LINES:
            self.say(f"{self.task}: over after {seconds:.0f} s")
        self.task = ""

    def _due(self) -> bool:
        now = time.monotonic()
        due = now - self._shown >= _SECONDS_BETWEEN_LINES
        self._shown = now if due else self._shown
        return due


class _JsonProgress:
    """One JSON object a line: `{"event": "begin" | "advance" | "run" | "say" | "end", …}`.

    Lines of kind `advance` and `run` come when something happened, at most one in `_SECONDS_BETWEEN_LINES`, and once
    more with the last state before `end`.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.task = ""
        self._shown = 0.0
        self._held: dict[str, object] | None = None

    def begin(self, task: str, total: int) -> None:
        """See `Progress.begin`."""
        self.end()
        # Zero, so that the first state of each piece of work is written at once.
        self.task, self._shown = task, 0.0
        self._write({"event": "begin", "task": task, "total": total or None})

    def advance(self, done: int, detail: str = "") -> None:
        """See `Progress.advance`."""
        self._hold({"event": "advance", "task": self.task, "done": done, "detail": detail})

    def show(self, run: RunProgress) -> None:
        """See `Progress.show`."""
        self._hold({"event": "run", "task": self.task, **_run_keys(run)})

    def say(self, line: str) -> None:
        """See `Progress.say`."""
        self._write({"event": "say", "line": line})

    def end(self) -> None:
        """See `Progress.end`."""
        # The last state is always written, however soon it came after the one before.
        if self._held is not None:
            self._write(self._held)
        if self.task:
            self._write({"event": "end", "task": self.task})
        self.task, self._held = "", None

    def _hold(self, line: dict[str, object]) -> None:
        self._held = line
        now = time.monotonic()
        if now - self._shown >= _SECONDS_BETWEEN_LINES:
            self._shown, self._held = now, None
            self._write(line)

    def _write(self, line: dict[str, object]) -> None:
        print(json.dumps(line, ensure_ascii=False), file=self.stream, flush=True)


def _run_keys(run: RunProgress) -> dict[str, object]:
    """A run's progress under the names that programs read."""
    return {
        "cells": run.total,
        "complete": run.complete,
        "failed": run.failed,
        "running": len(run.running),
        "candidates": run.candidates,
        "candidates_per_second": None if run.rate is None else round(run.rate, 4),
        "objective": run.objective,
        "best_validation": dict(run.best),
        "seconds": round(run.seconds, 1),
        "seconds_left": None if run.seconds_left is None else round(run.seconds_left, 1),
    }
