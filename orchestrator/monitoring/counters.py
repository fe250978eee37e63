"""Counts what workers bring while a run goes on: rates, the best validation score, the time that is left."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.cells.records import CandidateResult, CellKey, CellResult
from orchestrator.experiment.settings import Objective
from orchestrator.monitoring.progress import RunProgress

LATELY: Final = 120.0
"""Seconds over which "lately" looks back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the ledger held when this call began."""

    cells: int
    complete: int
    failed: int
    left: tuple[CellKey, ...]
    """Cells to do."""
    begun: frozenset[CellKey]
    """Those of them that have finished candidates: they take less time than a whole cell."""
    best: Mapping[str, float]
    """The best validation score of each inputs."""


@dataclass(slots=True)
class UnderWay:
    """A cell that a worker is at."""

    since: float
    attempt: int
    candidates: int


@dataclass(slots=True)
class RunCounters:
    """Written by the driver's one thread, read by the one that writes the heartbeat, too."""

    standing: Standing
    objective: Objective
    clock: Callable[[], float] = time.monotonic
    begun: float = field(init=False)
    complete: int = field(init=False)
    failed: int = field(init=False)
    best: dict[str, float] = field(init=False)
    candidates: int = 0
    running: dict[CellKey, UnderWay] = field(default_factory=dict)
    durations: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of the cells that this call did from their beginning, for each inputs."""
    busy: float = 0.0
    """Seconds that cells took, all together."""
    _recent: deque[float] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.begun = self.clock()
        self.complete, self.failed = self.standing.complete, self.standing.failed
        self.best = dict(self.standing.best)

    def start(self, key: CellKey) -> int:
        """A cell begins, or begins again; returns which try it is."""
        with self._lock:
            before = self.running.get(key)
            attempt = 1 if before is None else before.attempt + 1
            self.running[key] = UnderWay(since=self.clock(), attempt=attempt, candidates=0)
            return attempt

    def add(self, key: CellKey, result: CandidateResult) -> None:
        """A candidate is finished."""
        with self._lock:
            self.candidates += 1
            self._recent.append(self.clock())
            if key in self.running:
                self.running[key].candidates += 1
            if result.objective is not None:
                scores = (self.best.get(key.inputs, result.objective), result.objective)
                self.best[key.inputs] = best_of(scores, self.objective)

    def end(self, result: CellResult) -> None:
        """A cell is finished, complete or failed."""
        with self._lock:
            self.complete += result.state == "complete"
            self.failed += result.state == "failed"
            cell = self.running.pop(result.key, None)
            if cell is not None:
                seconds = self.clock() - cell.since
                self.busy += seconds
                if result.state == "complete" and result.key not in self.standing.begun:
                    self.durations.setdefault(result.key.inputs, []).append(seconds)

    def progress(self) -> RunProgress:
        """How far the run is now."""
        with self._lock:
            now = self.clock()
            return RunProgress(
                cells=self.standing.cells,
                complete=self.complete,
                failed=self.failed,
                running=len(self.running),
                candidates=self.candidates,
                rate=self._rate(now),
                objective=self.objective,
                best=dict(self.best),
                seconds=now - self.begun,
                left=self._left(now),
            )

    def under_way(self) -> dict[CellKey, UnderWay]:
        """The cells that workers are at."""
        with self._lock:
            return dict(self.running)

    def _rate(self, now: float) -> float | None:
        while self._recent and self._recent[0] < now - LATELY:
            self._recent.popleft()
        if not self.candidates:
            return None
        return len(self._recent) / max(min(LATELY, now - self.begun), 1e-9)

    def _left(self, now: float) -> float | None:
        """Work that is left, over the cells that went side by side until now."""
        if not self.durations:
            return None
        ended = self.complete + self.failed - self.standing.complete - self.standing.failed
        waiting = Counter(key.inputs for key in self.standing.left[ended + len(self.running) :])
        work = sum(count * self._expected(inputs) for inputs, count in waiting.items())
        work += sum(max(self._expected(key.inputs) - (now - cell.since), 0.0) for key, cell in self.running.items())
        busy = self.busy + sum(now - cell.since for cell in self.running.values())
        return work * (now - self.begun) / max(busy, 1e-9)

    def _expected(self, inputs: str) -> float:
        """The seconds of a cell: the mean of its inputs, or of all where none of them has ended yet."""
        seconds = self.durations.get(inputs) or [one for some in self.durations.values() for one in some]
        return sum(seconds) / len(seconds)


def best_of(scores: Iterable[float], objective: Objective) -> float:
    """The best of some validation scores: the smallest loss, or the largest AUC."""
    return min(scores) if objective == "balanced_log_loss" else max(scores)
