"""What `polarmap status` shows: a run at one moment, for a person or as JSON for a program."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Final

from rich import box
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mpi_model.printable import printable
from orchestrator.monitoring.progress import RunningCell, RunProgress
from orchestrator.monitoring.status import RunStatus
from orchestrator.terminal.consoles import standard_output
from orchestrator.terminal.wording import SCORES, duration, rounded

_SECONDS_BETWEEN_LOOKS: Final = 2.0
_STATES: Mapping[str, str] = {
    "interrupted": "interrupted: run the same command to go on",
    "finished": "finished: every cell is complete",
    "incomplete": "ended with failed cells: `polarmap run … --retry-failed` does them again",
}


def as_json(status: RunStatus) -> str:
    """The status as one line of JSON; the keys are described in `docs/following_a_run.md`."""
    driver, progress = status.driver, asdict(status.progress)
    return json.dumps(
        {
            "name": status.name,
            "state": status.state,
            "begun": status.begun,
            "driver": driver and {key: getattr(driver, key) for key in ("host", "pid", "begun", "written")},
            "driver_silent": status.driver_silent,
            **{key: progress[key] for key in ("cells", "objective", "seconds_left")},
            "running": [asdict(one) | {"pace": one.pace(status.progress.longest)} for one in status.progress.running],
            "longest_silence": status.progress.longest,
            "waiting": status.progress.waiting,
            "candidates": status.candidates,
            "candidates_per_minute": _per_minute(status.progress),
            "failed": [{"cell": cell, "reason": reason} for cell, reason in status.failed],
            "workers_lost": status.lost,
        },
        ensure_ascii=False,
    )


def _per_minute(run: RunProgress) -> dict[str, float | None]:
    """Candidates a minute: lately, while it runs, and over the whole of the last call."""
    overall = run.candidates / run.seconds if run.candidates and run.seconds else None
    rates = {"lately": run.rate, "overall": overall}
    return {when: None if rate is None else round(60 * rate, 2) for when, rate in rates.items()}


def _as_rich(status: RunStatus) -> Group:
    """The status for a terminal, narrow ones too."""
    lines = [*_head(status), _candidates(status)]
    if status.state == "running":
        lines.append(_left(status))
    tail = [Text(f"workers lost, cells begun again: {status.lost}")] if status.lost else []
    # One line each, since a reason may be long and the table should stay in view.
    failed = [printable(f"failed: {cell}: {reason}") for cell, reason in status.failed]
    tail += [Text(line, overflow="ellipsis", no_wrap=True) for line in failed]
    # Hosts and reasons come from files that somebody may have written: they do not command the terminal.
    return Group(*(Text(printable(line)) for line in lines if line), _table(status), *tail)


def _head(status: RunStatus) -> list[str]:
    driver, state = status.driver, _STATES.get(status.state)
    if state is not None or driver is None:
        last = "" if driver is None else f"last worked on by {driver.host} until {_when(driver.written)}"
        return [f"{status.name}: {state or 'running'}", last]
    paused = f"the driver gives no sign since {duration(status.driver_silent)}: it is paused, or its machine hangs"
    return [
        f"{status.name}: running on {driver.host}, pid {driver.pid}, since {_when(driver.begun)}",
        paused if status.driver_silent else "",
        status.progress.waiting,
        *_running(status.progress.running),
        *_behind(status.progress),
    ]


def _running(cells: Sequence[RunningCell]) -> list[str]:
    shown = [f"{one.cell} ({one.candidates} candidates, {duration(one.seconds)})" for one in cells[:4]]
    more = f" and {len(cells) - 4} more" if len(cells) > 4 else ""
    return [f"at work: {', '.join(shown)}{more}"] if cells else []


def _behind(run: RunProgress) -> list[str]:
    """A line for each cell that is slower than the run's own candidates explain."""
    verdicts = {"slow": "slow", "hung": "looks hung"}
    late = [(one, one.pace(run.longest)) for one in run.running]
    return [
        f"{verdicts[pace]}: {one.cell} on {one.host}, process {one.worker}: no result for {duration(one.silent)} "
        f"(in this run {duration(run.longest or 0.0)} at most)"
        for one, pace in late
        if pace != "usual"
    ]


def _candidates(status: RunStatus) -> str:
    rates = _per_minute(status.progress)
    known = [f"{rounded(rate, 3)} a minute {when}" for when, rate in rates.items() if rate is not None]
    return f"candidates: {status.candidates} finished{''.join(f', {one}' for one in known)}"


def _left(status: RunStatus) -> str:
    left = status.progress.seconds_left
    return "time left: unknown until a cell of this call has ended" if left is None else f"time left: {duration(left)}"


def _table(status: RunStatus) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("cells of")
    for name in ("complete", "failed", "under way", "left"):
        table.add_column(name, justify="right")
    table.add_column(f"best validation {SCORES[status.progress.objective]}", justify="right")
    for one in status.progress.cells:
        best = "–" if one.best_validation is None else f"{one.best_validation:.3f}"
        table.add_row(one.inputs, *map(str, (one.complete, one.failed, one.under_way, one.left)), best)
    return table


def _when(text: str) -> str:
    return text.replace("T", " ").replace("+00:00", " UTC")


def print_status(status: RunStatus, *, machine: bool) -> None:
    """Print the status once."""
    console = standard_output()
    if machine:
        print(as_json(status), flush=True)
    else:
        console.print(_as_rich(status))


def watch(read: Callable[[], RunStatus], *, machine: bool, seconds: float = _SECONDS_BETWEEN_LOOKS) -> None:
    """Show the status again and again until no driver is at the run; what was seen last stays."""
    console = standard_output()
    status = read()
    # Without a terminal there is nothing to redraw: one status below the other.
    if machine or not console.is_terminal:
        print_status(status, machine=machine)
        while status.state == "running":
            time.sleep(seconds)
            status = read()
            print_status(status, machine=machine)
        return
    with Live(_as_rich(status), console=console, auto_refresh=False) as live:
        while status.state == "running":
            time.sleep(seconds)
            status = read()
            # Refreshed here alone, as the status changes only when it is read.
            live.update(_as_rich(status), refresh=True)
