"""Forecasts a run's work from timed trainings: simulated searches over them, drawn many times.

What cannot be known before is drawn, so that it widens the interval. Drawn are which of the timed trainings a candidate
will be like, and which freeze depths the sampler will come to prefer. Drawn are also how long trainings last that the
pilot had no time to end, and an error of the model itself.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mpi_model.vocabulary import Inputs
from orchestrator.cells.timed import Kind, TimedTraining
from orchestrator.driver.simulated_search import Pool, Workload, cell_seconds
from orchestrator.driver.untimed_kinds import with_untimed

_LEVEL: Final = 0.9
"""Of the intervals."""
_DRAWS: Final = 120
_CELLS: Final = 2
"""Searches of each input configuration in a draw."""
_PREFERENCE: Final = 10.0
"""How little the sampler's preference differs from the space's own shares: a Dirichlet's concentration."""
_MODEL_ERROR: Final = 0.08
"""Standard deviation, as a part of the whole, of what the simulated searches leave out."""
_START: Final = 15.0
"""Seconds before the first cell begins: Ray and the workers' imports (docs/orchestration_cost.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """An estimate with its interval."""

    low: float
    estimate: float
    high: float

    @classmethod
    def of(cls, draws: NDArray[np.float64]) -> "Range":
        """The median of the draws `[draws]` and the middle `_LEVEL` of them."""
        low, estimate, high = np.quantile(draws, [(1 - _LEVEL) / 2, 0.5, (1 + _LEVEL) / 2]).tolist()
        return cls(low=low, estimate=estimate, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run will take, from a pilot."""

    device: str
    level: float
    """Of the intervals."""
    trainings: int
    """Trainings that were timed."""
    ended: int
    """Those of them that were trained to their end."""
    cell_seconds: Mapping[Inputs, Range]
    """Of one cell of each input configuration."""
    worker_hours: Range
    """Of all cells one after the other."""
    wall_hours: Mapping[int, Range]
    """By the clock, for numbers of cells side by side, each as fast as the pilot's process."""


def forecast(told: Sequence[TimedTraining], work: Workload, *, workers: Sequence[int], device: str) -> Forecast:
    """What a run will take.

    Args:
        told: From `orchestrator.cells.pilot.time_trainings`.
        work: What there is to do.
        workers: Numbers of cells side by side.
        device: Where the trainings were timed.
    """
    generator = np.random.default_rng(0)
    timed = with_untimed(told, tuple(work.shares))
    lengths = np.array([len(one.costs) for one in told if one.ended], dtype=np.int64)
    draws = [_draw(generator, timed, lengths, work) for _ in range(_DRAWS)]
    # Caches of frozen stages are filled once a worker; the total counts one worker, the clock waits for one.
    filling = sum(_filling(told, work))
    cells = {name: np.array([draw[name] for draw in draws]) for name in work.exams}
    orders = [_run_order(draw, work) for draw in draws]
    walls = {count: np.array([_makespan(order, count) for order in orders]) + filling + _START for count in workers}
    return Forecast(
        device=device,
        level=_LEVEL,
        trainings=len(told),
        ended=sum(one.ended for one in told),
        cell_seconds={name: Range.of(seconds) for name, seconds in cells.items()},
        worker_hours=Range.of((np.array([sum(order) for order in orders]) + filling) / 3600),
        wall_hours={count: Range.of(seconds / 3600) for count, seconds in walls.items()},
    )


def _draw(
    generator: np.random.Generator, timed: Sequence[TimedTraining], lengths: NDArray[np.int64], work: Workload
) -> dict[Inputs, float]:
    """Seconds of a cell of each input configuration, in one possible world."""
    # One preference and one error for all cells: they do not average out over a run.
    preferred = generator.dirichlet(np.maximum(_PREFERENCE * np.array(list(work.shares.values())), 1e-3))
    error = float(np.exp(_MODEL_ERROR * generator.standard_normal()))
    seconds = {}
    for inputs in work.exams:
        pool = _pool(generator, [one for one in timed if one.inputs == inputs])
        found = [cell_seconds(generator, pool, preferred, lengths, work, inputs) for _ in range(_CELLS)]
        seconds[inputs] = error * float(np.mean(found))
    return seconds


def _pool(generator: np.random.Generator, timed: Sequence[TimedTraining]) -> Pool:
    """The timed trainings, drawn with replacement within each kind."""
    drawn = {}
    for kind in _kinds(timed):
        mine = [one for one in timed if one.kind == kind]
        drawn[kind] = [mine[place] for place in generator.integers(len(mine), size=len(mine))]
    return Pool(
        trainings=drawn,
        # A median, because other work on the machine makes single epochs longer and none shorter.
        epoch={kind: float(np.median([np.median(one.seconds) for one in some])) for kind, some in drawn.items()},
        refit_epoch={kind: float(np.median([one.refit_epoch for one in some])) for kind, some in drawn.items()},
        setup=_setups(timed),
    )


def _setups(timed: Sequence[TimedTraining]) -> dict[Kind, float]:
    """Seconds before the first epoch, by kind, where what the frozen stages make of the maps is already there."""
    least = min(one.setup for one in timed)
    later = {kind: [one.setup for one in timed if one.kind == kind and not one.first] for kind in _kinds(timed)}
    # A kind that was begun once has no later training; building a network takes about as long for all.
    return {kind: min(some, default=least) for kind, some in later.items()}


def _kinds(timed: Sequence[TimedTraining]) -> list[Kind]:
    return list(dict.fromkeys(one.kind for one in timed))


def _filling(timed: Iterable[TimedTraining], work: Workload) -> Iterable[float]:
    """Seconds in which a worker computes what frozen stages make of the maps, once for each kind."""
    timed = list(timed)
    for inputs in work.exams:
        mine = [one for one in timed if one.inputs == inputs]
        setup = _setups(mine)
        yield from (max(0.0, one.setup - setup[one.kind]) for one in mine if one.first)


def _run_order(cell: Mapping[Inputs, float], work: Workload) -> list[float]:
    """Seconds of every cell in the order in which a run begins them; final cells train on more patients."""
    final = [cell[name] * final / whole for name, (_, whole, final) in work.exams.items()]
    return [seconds for _ in range(work.cells) for seconds in cell.values()] + final


def _makespan(cells: Sequence[float], workers: int) -> float:
    """Seconds until the last cell ends, where each free worker takes the next one."""
    free = [0.0] * workers
    for seconds in cells:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)
