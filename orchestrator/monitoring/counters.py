"""Counts the results of workers while a run goes on: rates, the best validation score, the time left."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.cells.records import CandidateResult, CellKey, CellResult, Worker
from orchestrator.experiment.settings import Objective
from orchestrator.monitoring.progress import InputsProgress, RunningCell, RunProgress, best_of
from orchestrator.runners.deadline import Pace

_LATELY: Final = 120.0
"""Seconds over which a rate looks back."""


@dataclass(slots=True)
class _UnderWay:
    since: float
    heard: float
    """When it last brought a result."""
    worker: Worker
    attempt: int
    candidates: int = 0


class RunCounters:
    """Written by the driver's one thread, read by the one that writes the heartbeat, too."""

    def __init__(
        self,
        ledger: Sequence[InputsProgress],
        left: Sequence[CellKey],
        begun: Mapping[CellKey, int],
        objective: Objective,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to count.

        Args:
            ledger: What the ledger held when this call began.
            left: The cells to do, in their order.
            begun: Those of them that have finished candidates, and how many: they take less time than a whole cell.
            objective: By which candidates are chosen.
            pace: How long work of this run takes between two results.
            clock: Seconds that only grow.
        """
        self.clock = clock
        self._pace = pace
        self.waiting = ""
        """What is waited for while no node can do a cell."""
        self.begun = clock()
        self.left = tuple(left)
        self._objective = objective
        self.half_done = begun
        self._cells = {one.inputs: one for one in ledger}
        self._running: dict[CellKey, _UnderWay] = {}
        self._candidates = self._ended = 0
        self._known: dict[CellKey, set[int]] = {}
        """The candidates of cells under way that have been counted."""
        self._durations: dict[str, list[float]] = {}
        """Seconds of the cells that this call did from their beginning, by input configuration."""
        self._busy = 0.0
        """Seconds that cells took, all together."""
        self._recent: deque[float] = deque()
        self._last = self.begun
        self._lock = threading.Lock()

    def start(self, key: CellKey, worker: Worker, attempt: int = 1) -> bool:
        """A cell begins; returns whether it begins again, because its worker was lost."""
        with self._lock:
            again, now = key in self._running, self.clock()
            self._running[key] = _UnderWay(since=now, heard=now, worker=worker, attempt=attempt)
            return again

    def add(self, key: CellKey, result: CandidateResult) -> None:
        """A candidate is finished."""
        with self._lock:
            self._last = self.clock()
            if self._pace is not None:
                self._pace.add(result)
            if key in self._running:
                self._running[key].heard = self._last
            # In a race a candidate comes again after each of its inner folds, and counts once.
            known = self._known.setdefault(key, set())
            if result.number not in known:
                known.add(result.number)
                self._candidates += 1
                self._recent.append(self.clock())
                if key in self._running:
                    self._running[key].candidates += 1
            cells = self._cells[key.inputs]
            best = best_of((cells.best_validation, result.objective), self._objective)
            self._cells[key.inputs] = replace(cells, best_validation=best)

    def end(self, result: CellResult) -> None:
        """A cell is finished, complete or failed."""
        with self._lock:
            cells, well = self._cells[result.key.inputs], result.state == "complete"
            self._cells[result.key.inputs] = replace(
                cells, complete=cells.complete + well, failed=cells.failed + (not well), left=cells.left - 1
            )
            self._ended += 1
            self._known.pop(result.key, None)
            self._last = self.clock()
            cell = self._running.pop(result.key, None)
            if cell is not None:
                seconds = self.clock() - cell.since
                self._busy += seconds
                # Failed and resumed cells are shorter than whole ones and would make the estimate too small.
                if well and result.key not in self.half_done:
                    self._durations.setdefault(result.key.inputs, []).append(seconds)

    def since_result(self) -> float:
        """Seconds since a candidate or a cell ended, or since this call began to train."""
        return self.clock() - self._last

    def progress(self) -> RunProgress:
        """How far the run is now."""
        with self._lock:
            now = self.clock()
            under_way = Counter(key.inputs for key in self._running)
            return RunProgress(
                cells=tuple(
                    replace(one, under_way=under_way[one.inputs], left=one.left - under_way[one.inputs])
                    for one in self._cells.values()
                ),
                objective=self._objective,
                running=tuple(
                    RunningCell(
                        cell=key.name,
                        attempt=cell.attempt,
                        candidates=cell.candidates,
                        known=self.half_done.get(key, 0) + len(self._known.get(key, ())),
                        seconds=round(now - cell.since, 1),
                        silent=round(now - cell.heard, 1),
                        host=cell.worker.host,
                        worker=cell.worker.process,
                    )
                    for key, cell in self._running.items()
                ),
                candidates=self._candidates,
                rate=self._rate(now),
                seconds=now - self.begun,
                seconds_left=self._seconds_left(now),
                longest=None if self._pace is None else self._pace.longest,
                waiting=self.waiting,
            )

    def _rate(self, now: float) -> float | None:
        while self._recent and self._recent[0] < now - _LATELY:
            self._recent.popleft()
        if not self._candidates:
            return None
        # The window is shorter in a run's first two minutes; 1e-9 avoids division by zero at its start.
        return len(self._recent) / max(min(_LATELY, now - self.begun), 1e-9)

    def _seconds_left(self, now: float) -> float | None:
        """Work that is left, over the cells that went side by side until now."""
        if not self._durations:
            return None
        # Cells are done in their order, so those that wait are the last ones of the list.
        waiting = Counter(key.inputs for key in self.left[self._ended + len(self._running) :])
        work = sum(count * self._expected(inputs) for inputs, count in waiting.items())
        work += sum(max(self._expected(key.inputs) - (now - cell.since), 0.0) for key, cell in self._running.items())
        # Work over speed: speed is how many seconds of cells went by in each second of this call.
        busy = self._busy + sum(now - cell.since for cell in self._running.values())
        return work * (now - self.begun) / max(busy, 1e-9)

    def _expected(self, inputs: str) -> float:
        """The seconds of a cell: the mean of its input configuration, or of all where none of it has ended yet."""
        seconds = self._durations.get(inputs) or [one for some in self._durations.values() for one in some]
        return sum(seconds) / len(seconds)
