"""The display of a terminal: one bar, and below it what a run's cells and candidates do."""

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from orchestrator.monitoring.progress import RunProgress
from orchestrator.terminal.wording import best, duration, pace


class Bar:
    """One rich bar."""

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
