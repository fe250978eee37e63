"""The state of a run, read from any terminal while the run goes on or afterwards.

The ledger holds what is finished, the lock shows whether a driver is running, and the heartbeat what that driver does.
Imports neither torch nor Ray, so that it answers at once.
"""

import datetime
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from mpi_model.errors import RunDirectoryError
from orchestrator.cells.records import CellKey, cell_keys, sample_keys
from orchestrator.experiment.settings import Experiment, Objective
from orchestrator.ledger.description import read_description
from orchestrator.ledger.identity import SAMPLED
from orchestrator.ledger.paths import CELL, RunPaths
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.heartbeat import Heartbeat, read_heartbeat
from orchestrator.monitoring.progress import InputsProgress, RunningCell, RunProgress, best_of
from orchestrator.storage.holder import is_here

_FRESH: Final = 15.0
"""Seconds for which a heartbeat is believed as it is."""
_TWO_BEATS: Final = 6.5
"""Seconds after which an older one is looked at again: what has changed by then was written by a driver at work,
whatever its clock says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """How a run stands."""

    name: str
    state: Literal["running", "interrupted", "finished", "incomplete"]
    begun: str
    """When the run was first begun."""
    driver: Heartbeat | None
    """None for a run that ended before it trained anything."""
    driver_silent: float
    """Seconds since its last heartbeat; 0 where it beats as it should, or is not there."""
    progress: RunProgress
    """Cells as the ledger has them; what is running, and how fast, by the driver's last heartbeat."""
    candidates: int
    """All finished candidates, those of cells under way included."""
    failed: tuple[tuple[str, str], ...]
    """Failed cells with their reasons."""
    lost: int
    """Times that a cell was begun again because its worker was lost."""


def status_of(paths: RunPaths) -> RunStatus:
    """How a run stands.

    Raises:
        RunDirectoryError: There is no run there.
    """
    description = read_description(paths)
    objective = description.settings.search.objective
    # The lock before the ledger: a driver that ends between the two has committed its last cell already.
    holder = paths.storage.holder()
    driver, silent = _sign_of_life(paths, is_held=holder is not None)
    state = _whole(RunState.read(paths))
    keys = (
        _begun_samples(state, description.settings)
        if SAMPLED in description.facts
        else cell_keys(description.settings, final=description.final)
    )
    # A lock of another host cannot be seen from here: its driver is believed while it beats.
    is_running = holder is not None and (is_here(holder) or (driver is not None and not driver.over and not silent))
    # A heartbeat is some seconds old: a cell may have ended since.
    running = _still_running(driver, {key.name for key in keys if state.state_of(key) is None}, silent)
    at_work = {cell.cell for cell in running} if driver and is_running else None
    objectives = read_objectives(state, keys)
    # On object storage some candidates wait to be written together; the driver knows them, the ledger not yet.
    known = {cell.cell: cell.known for cell in running} if is_running else {}
    best = driver.progress.best if driver and is_running else {}
    return RunStatus(
        name=description.name,
        state=_state({state.state_of(key) for key in keys}, is_running),
        begun=description.begun,
        driver=driver,
        driver_silent=round(silent, 1) if is_running else 0.0,
        progress=RunProgress(
            cells=tuple(
                replace(one, best_validation=best_of((one.best_validation, best.get(one.inputs)), objective))
                for one in cells_by_inputs(state, objectives, objective, at_work)
            ),
            objective=objective,
            running=running if is_running else (),
            candidates=driver.progress.candidates if driver else 0,
            rate=driver.progress.rate if driver and is_running else None,
            seconds=driver.progress.seconds if driver else 0.0,
            seconds_left=driver.progress.seconds_left if driver and is_running and not silent else None,
            longest=driver.progress.longest if driver else None,
            waiting=driver.progress.waiting if driver and is_running else "",
        ),
        candidates=sum(max(len(found), known.get(key.name, 0)) for key, found in objectives.items()),
        failed=tuple(
            (key.name, marker.reason)
            for key in keys
            if (marker := state.cells.get(key.name)) and marker.state == "failed"
        ),
        lost=sum(marker.attempt - 1 for key in keys if (marker := state.cells.get(key.name)) is not None)
        + (sum(cell.attempt - 1 for cell in running) if is_running else 0),
    )


def _still_running(driver: Heartbeat | None, open_cells: Collection[str], silent: float) -> tuple[RunningCell, ...]:
    """The cells that a driver told of and that have not ended since."""
    if driver is None:
        return ()
    return tuple(
        # A driver that is paused tells nothing of the time since.
        replace(cell, silent=cell.silent + silent, seconds=cell.seconds + silent)
        for cell in driver.progress.running
        if cell.cell in open_cells
    )


def _begun_samples(state: RunState, experiment: Experiment) -> list[CellKey]:
    """The cells of a run of bootstrap samples, up to the last one that was begun: how many are wanted may grow."""
    numbers = [
        int(found[2]) for name in (*state.cells, *state.candidates) if (found := CELL.fullmatch(name)) and found[2]
    ]
    return sample_keys(experiment, max(numbers, default=0))


def read_objectives(state: RunState, keys: Sequence[CellKey]) -> dict[CellKey, list[float | None]]:
    """The objectives of the finished candidates of some cells."""
    return {
        key: [one.objective for one in state.finished(key)] if marker is None else list(marker.objectives)
        for key in keys
        for marker in [state.cells.get(key.name)]
    }


def cells_by_inputs(
    state: RunState,
    objectives: dict[CellKey, list[float | None]],
    objective: Objective,
    at_work: Collection[str] | None,
) -> tuple[InputsProgress, ...]:
    """The cells of a run by input configuration, in the order of their first cells.

    Args:
        state: What the ledger holds.
        objectives: From `read_objectives`: the cells to count.
        objective: By which candidates are chosen.
        at_work: The names of cells under way; None to count those with finished candidates.
    """
    counted = []
    for name in dict.fromkeys(key.inputs for key in objectives):
        keys = [key for key in objectives if key.inputs == name]
        states = Counter(state.state_of(key) for key in keys)
        waiting = [key for key in keys if state.state_of(key) is None]
        under_way = sum(bool(objectives[key]) if at_work is None else key.name in at_work for key in waiting)
        counted.append(
            InputsProgress(
                inputs=name,
                complete=states["complete"],
                failed=states["failed"],
                under_way=under_way,
                left=len(waiting) - under_way,
                best_validation=best_of((score for key in keys for score in objectives[key]), objective),
            )
        )
    return tuple(counted)


def _whole(state: RunState) -> RunState:
    """The state, unless a marker is damaged: its cell would be counted as one that never ran.

    Raises:
        RunDirectoryError: A marker is damaged.
    """
    # Both, one after the other: a final cell has two markers.
    for cell, marker in [*state.cells.items(), *state.tests.items()]:
        if marker is None:
            raise RunDirectoryError(
                f"the commit marker of cell {cell} is damaged; `polarmap run` puts the cell into quarantine and does "
                "it again"
            )
    return state


def _state(states: set[str | None], is_running: bool) -> Literal["running", "interrupted", "finished", "incomplete"]:
    if is_running:
        return "running"
    if None in states:
        return "interrupted"
    # Complete and failed cells are final; only the latter need another command.
    return "incomplete" if "failed" in states else "finished"


def _sign_of_life(paths: RunPaths, *, is_held: bool) -> tuple[Heartbeat | None, float]:
    """The last heartbeat, and the seconds of silence since; 0 where the driver beats as it should, or is over.

    Clocks of two machines differ, and a clock may be set by a year: an age by the clock only says when to look twice.
    """
    driver = read_heartbeat(paths)
    # On object storage a beat without news comes twice a minute.
    wait = _TWO_BEATS + paths.storage.seconds_that_wait
    if driver is None or driver.over or not is_held or 0 <= _age(driver) < _FRESH + 2 * paths.storage.seconds_that_wait:
        return driver, 0.0
    time.sleep(wait)
    later = read_heartbeat(paths)
    if later is None or later.over or later.progress.seconds != driver.progress.seconds:
        return later, 0.0
    return later, max(_age(later), wait)


def _age(driver: Heartbeat) -> float:
    """Seconds since a heartbeat, by this machine's clock."""
    written = datetime.datetime.fromisoformat(driver.written)
    return (datetime.datetime.now(datetime.UTC) - written).total_seconds()
