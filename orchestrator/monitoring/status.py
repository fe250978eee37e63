"""How a run stands, asked from any terminal while it goes on or afterwards: from its ledger and its driver's heartbeat.

The ledger says what is finished, the lock whether a driver is at it, the heartbeat what that driver is doing. No
pandas, no torch, no Ray: it answers in a moment.
"""

import datetime
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from mpi_model.errors import RunDirectoryError
from mpi_model.vocabulary import Inputs
from orchestrator.cells.records import CellKey
from orchestrator.experiment.settings import Objective
from orchestrator.ledger.files import read_json, read_table
from orchestrator.ledger.markers import Marker
from orchestrator.ledger.parts import candidates_among, committed_markers, files_of_cells
from orchestrator.ledger.paths import RunPaths
from orchestrator.monitoring.counters import Standing, best_of
from orchestrator.storage.base import READERS
from orchestrator.storage.holder import is_here

State = Literal["running", "interrupted", "finished", "incomplete"]
FRESH: Final = 30.0
"""Seconds for which a heartbeat from another host is believed; its lock cannot be seen from here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsStatus:
    """The cells of one inputs."""

    inputs: Inputs
    complete: int
    failed: int
    under_way: int
    """At work, or, in an interrupted run, begun."""
    left: int
    best: float | None
    """The best validation score of any of its candidates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """The driver's last word."""

    host: str
    pid: int
    begun: str
    written: str
    running: tuple[dict[str, Any], ...]
    candidates: int
    rate: float | None
    """Candidates a second, lately."""
    seconds: float
    left: float | None
    over: bool
    """Whether it ended by itself: finished, interrupted or stopped by an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """How a run stands."""

    name: str
    state: State
    begun: str
    """When the run was first begun."""
    driver: Driver | None
    """None for a run that ended before it trained anything."""
    inputs: tuple[InputsStatus, ...]
    candidates: int
    """Finished candidates, those of cells under way included."""
    objective: Objective
    failed: tuple[tuple[str, str], ...]
    """Failed cells with their reasons."""
    lost: int
    """Times that a cell was begun again because its worker was lost."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What the ledger holds of one cell."""

    key: CellKey
    state: str | None
    """None for one still to do."""
    reason: str
    attempt: int
    objectives: tuple[float | None, ...]
    """Of its finished candidates."""


def status_of(paths: RunPaths) -> RunStatus:
    """How a run stands.

    Raises:
        RunDirectoryError: There is no run there.
    """
    description: dict[str, Any] = read_description(paths)
    objective: Objective = description["settings"]["search"]["objective"]
    # The lock before the ledger: a driver that ends between the two has committed its last cell already.
    holder, driver = paths.storage.holder(), read_driver(paths)
    cells = read_cells(paths, planned_cells(description))
    running = holder is not None and (is_here(holder) or _beats(driver))
    if driver is not None:
        ended = {cell.key.name for cell in cells if cell.state is not None}
        driver = replace(driver, running=tuple(cell for cell in driver.running if cell["cell"] not in ended))
    at_work = {cell["cell"] for cell in driver.running} if driver is not None and running else None
    return RunStatus(
        name=str(description["name"]),
        state=_state(cells, running),
        begun=str(description["begun"]),
        driver=driver,
        inputs=tuple(
            _inputs([cell for cell in cells if cell.key.inputs == name], name, objective, at_work)
            for name in dict.fromkeys(cell.key.inputs for cell in cells)
        ),
        candidates=sum(len(cell.objectives) for cell in cells),
        objective=objective,
        failed=tuple((cell.key.name, cell.reason) for cell in cells if cell.state == "failed"),
        lost=_lost(cells, driver if running else None),
    )


def read_description(paths: RunPaths) -> dict[str, Any]:
    """`experiment.json`.

    Raises:
        RunDirectoryError: There is no run there.
    """
    if not paths.experiment.exists():
        raise RunDirectoryError(
            f"{paths.root} is not a run directory: it has no experiment.json; name RUNS/<experiment name>"
        )
    return read_json(paths.experiment)


def planned_cells(description: dict[str, Any]) -> list[CellKey]:
    """Every cell that a stored experiment asks for, in the order in which they are done."""
    folds, inputs = description["settings"]["folds"], description["settings"]["cohort"]["inputs"]
    cells = [
        CellKey(inputs=name, partition="development", repeat=repeat, fold=fold)
        for repeat in range(folds["repeats"])
        for fold in range(folds["folds"])
        for name in inputs
    ]
    final = inputs if description.get("final", True) else []
    return cells + [CellKey(inputs=name, partition="test", repeat=None, fold=None) for name in final]


def read_cells(paths: RunPaths, keys: Sequence[CellKey]) -> list[Cell]:
    """What the ledger holds of some cells; object storage is asked for several at a time."""
    files = files_of_cells(paths)
    markers = committed_markers(paths, files)
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(lambda key: _read_cell(paths, key, markers.get(key.name), files.get(key.name, ())), keys))


def _read_cell(paths: RunPaths, key: CellKey, marker: Marker | None, files: Iterable[str]) -> Cell:
    if marker is None:
        candidates = candidates_among(paths, key, files)
        return Cell(key, None, "", 1, tuple(candidate.objective for candidate in candidates))
    objectives = tuple(read_table(paths.part(key, "candidates"))["objective"].to_pylist())
    reason = str(read_table(paths.part(key, "cells"))["reason"][0].as_py()) if marker.state == "failed" else ""
    return Cell(key, marker.state, reason, marker.attempt, objectives)


def read_driver(paths: RunPaths) -> Driver | None:
    """The driver's last word, where it left one."""
    if not paths.progress.exists():
        return None
    word: dict[str, Any] = read_json(paths.progress)
    progress = word["progress"]
    return Driver(
        **{name: word[name] for name in ("host", "pid", "begun", "written", "over")},
        running=tuple(word["running"]),
        **{name: progress[name] for name in ("candidates", "rate", "seconds", "left")},
    )


def standing_of(paths: RunPaths, keys: Sequence[CellKey], objective: Objective) -> Standing:
    """What the ledger holds of some cells, for the driver that goes on with them."""
    cells = read_cells(paths, keys)
    states = Counter(cell.state for cell in cells)
    names = dict.fromkeys(cell.key.inputs for cell in cells)
    best = {name: _best([cell for cell in cells if cell.key.inputs == name], objective) for name in names}
    return Standing(
        cells=len(cells),
        complete=states["complete"],
        failed=states["failed"],
        left=tuple(cell.key for cell in cells if cell.state is None),
        begun=frozenset(cell.key for cell in cells if cell.state is None and cell.objectives),
        best={name: score for name, score in best.items() if score is not None},
    )


def _inputs(cells: Sequence[Cell], name: Inputs, objective: Objective, at_work: set[str] | None) -> InputsStatus:
    states = Counter(cell.state for cell in cells)
    waiting = [cell for cell in cells if cell.state is None]
    under_way = sum(bool(cell.objectives) if at_work is None else cell.key.name in at_work for cell in waiting)
    return InputsStatus(
        inputs=name,
        complete=states["complete"],
        failed=states["failed"],
        under_way=under_way,
        left=len(waiting) - under_way,
        best=_best(cells, objective),
    )


def _best(cells: Sequence[Cell], objective: Objective) -> float | None:
    scores = [score for cell in cells for score in cell.objectives if score is not None]
    return best_of(scores, objective) if scores else None


def _state(cells: Sequence[Cell], running: bool) -> State:
    states = {cell.state for cell in cells}
    if running:
        return "running"
    if None in states:
        return "interrupted"
    return "incomplete" if "failed" in states else "finished"


def _beats(driver: Driver | None) -> bool:
    """Whether a driver that cannot be seen from here has given a sign of life just now."""
    if driver is None:
        return False
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(driver.written)
    return age.total_seconds() < FRESH and not driver.over


def _lost(cells: Sequence[Cell], driver: Driver | None) -> int:
    begun_again = sum(cell.attempt - 1 for cell in cells if cell.state is not None)
    return begun_again + sum(int(cell["attempt"]) - 1 for cell in (driver.running if driver else ()))
