"""Forecasts a run's work from timed trainings: simulated searches over them, drawn many times.

What cannot be known before is drawn, so that it widens the interval: which of the timed trainings a candidate will be
like, which freeze depths the sampler will come to prefer, how long trainings last that the pilot had no time to end,
and an error of the model itself.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mpi_model.settings import TrainingSettings
from mpi_model.vocabulary import Inputs
from orchestrator.cells.rungs import places
from orchestrator.cells.study import PRUNING_WARM_UP, random_candidates
from orchestrator.cells.timed import Kind, TimedTraining
from orchestrator.experiment.settings import SearchSettings

_LEVEL: Final = 0.9
"""Of the intervals."""
_DRAWS: Final = 200
_CELLS: Final = 4
"""Searches of each input configuration in a draw."""
_PREFERENCE: Final = 10.0
"""How little the sampler's preference differs from the space's own shares: a Dirichlet's concentration."""
_MODEL_ERROR: Final = 0.08
"""Standard deviation, as a part of the whole, of what the simulated searches leave out."""
_START: Final = 15.0
"""Seconds before the first cell begins: Ray and the workers' imports (docs/orchestration_cost.md)."""

_Generator = np.random.Generator
_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """An estimate with its interval."""

    low: float
    estimate: float
    high: float

    @classmethod
    def of(cls, draws: _Floats) -> "Range":
        """The median of the draws and the middle `_LEVEL` of them."""
        low, estimate, high = np.quantile(draws, [(1 - _LEVEL) / 2, 0.5, (1 + _LEVEL) / 2]).tolist()
        return cls(low=low, estimate=estimate, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a run has to do."""

    cells: int
    """Cells of each input configuration, its final one left out."""
    exams: Mapping[Inputs, tuple[float, float, float]]
    """Exams of an inner training part, of a cell's training part, and of the final cell's."""
    shares: Mapping[Kind, float]
    """How often the space proposes each kind."""
    calibrated: bool
    """Whether each member is trained once more on each of as many folds, to calibrate by."""
    search: SearchSettings
    training: TrainingSettings


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


@dataclass(frozen=True, slots=True)
class _Pool:
    """The timed trainings of one input configuration by kind, as one draw takes them."""

    trainings: Mapping[Kind, Sequence[TimedTraining]]
    epoch: Mapping[Kind, float]
    """Seconds of an epoch."""
    setup: Mapping[Kind, float]


@dataclass(frozen=True, slots=True)
class _Fold:
    """One inner fold of a simulated candidate."""

    length: int
    """Epochs until patience or the schedule ends it."""
    best: int
    path: _Floats
    """`[epochs]`, the objective that a pruner sees after each epoch; flat after the end."""


@dataclass(frozen=True, slots=True)
class _Tried:
    """A simulated candidate: its kind, its folds, and the epochs trained in each that it came to."""

    kind: Kind
    folds: Sequence[_Fold]
    epochs: Sequence[int]
    complete: bool

    @property
    def objective(self) -> float:
        """Mean over the folds."""
        return float(np.mean([fold.path[-1] for fold in self.folds]))


def forecast(timed: Sequence[TimedTraining], work: Workload, *, workers: Sequence[int], device: str) -> Forecast:
    """What a run will take.

    Args:
        timed: From `orchestrator.cells.pilot.time_trainings`.
        work: What there is to do.
        workers: Numbers of cells side by side.
        device: Where the trainings were timed.
    """
    generator = np.random.default_rng(0)
    lengths = np.array([len(one.costs) for one in timed if one.ended], dtype=np.int64)
    draws = [_draw(generator, timed, lengths, work) for _ in range(_DRAWS)]
    # Caches of frozen stages are filled once a worker; the total counts one worker, the clock waits for one.
    filling = sum(_filling(timed, work))
    cells = {name: np.array([draw[name] for draw in draws]) for name in work.exams}
    orders = [_run_order(draw, work) for draw in draws]
    walls = {count: np.array([_makespan(order, count) for order in orders]) + filling + _START for count in workers}
    return Forecast(
        device=device,
        level=_LEVEL,
        trainings=len(timed),
        ended=len(lengths),
        cell_seconds={name: Range.of(seconds) for name, seconds in cells.items()},
        worker_hours=Range.of((np.array([sum(order) for order in orders]) + filling) / 3600),
        wall_hours={count: Range.of(seconds / 3600) for count, seconds in walls.items()},
    )


def _draw(
    generator: _Generator, timed: Sequence[TimedTraining], lengths: NDArray[np.int64], work: Workload
) -> dict[Inputs, float]:
    """Seconds of a cell of each input configuration, in one possible world."""
    # One preference and one error for all cells: they do not average out over a run.
    preferred = generator.dirichlet(np.maximum(_PREFERENCE * np.array(list(work.shares.values())), 1e-3))
    error = float(np.exp(_MODEL_ERROR * generator.standard_normal()))
    seconds = {}
    for inputs in work.exams:
        pool = _pool(generator, [one for one in timed if one.inputs == inputs])
        found = [_cell(generator, pool, preferred, lengths, work, inputs) for _ in range(_CELLS)]
        seconds[inputs] = error * float(np.mean(found))
    return seconds


def _pool(generator: _Generator, timed: Sequence[TimedTraining]) -> _Pool:
    """The timed trainings, drawn with replacement within each kind."""
    drawn = {}
    for kind in dict.fromkeys(one.kind for one in timed):
        mine = [one for one in timed if one.kind == kind]
        drawn[kind] = [mine[place] for place in generator.integers(len(mine), size=len(mine))]
    return _Pool(
        trainings=drawn,
        # A median, because other work on the machine makes single epochs longer and none shorter.
        epoch={kind: float(np.median([np.median(one.seconds) for one in some])) for kind, some in drawn.items()},
        setup={kind: min(one.setup for one in some) for kind, some in drawn.items()},
    )


def _cell(
    generator: _Generator,
    pool: _Pool,
    preferred: _Floats,
    lengths: NDArray[np.int64],
    work: Workload,
    inputs: Inputs,
) -> float:
    """Seconds of one simulated cell: its search, and the refits of its winners."""
    kinds, shares = list(work.shares), np.array(list(work.shares.values()))
    random = random_candidates(work.search)
    proposed = []
    for number in range(work.search.candidates):
        kind = kinds[int(generator.choice(len(kinds), p=shares if number < random else preferred))]
        some = pool.trainings[kind]
        drawn = [some[int(place)] for place in generator.integers(len(some), size=work.search.inner_folds)]
        proposed.append((kind, [_fold(generator, one, lengths, work) for one in drawn]))
    searched = _raced if work.search.strategy == "race" else _side_by_side
    tried = searched(proposed, work.search)
    inner, whole, _ = work.exams[inputs]
    seconds = sum(sum(one.epochs) * pool.epoch[one.kind] + len(one.epochs) * pool.setup[one.kind] for one in tried)
    winners = sorted((one for one in tried if one.complete), key=lambda one: one.objective)[: work.search.winners]
    for member in range(work.training.members):
        winner = winners[member % len(winners)]
        epochs = float(np.median([fold.best for fold in winner.folds])) * pool.epoch[winner.kind]
        seconds += pool.setup[winner.kind] + epochs * whole / inner
        if work.calibrated:
            seconds += work.search.inner_folds * (pool.setup[winner.kind] + epochs)
    return seconds


def _fold(generator: _Generator, timed: TimedTraining, lengths: NDArray[np.int64], work: Workload) -> _Fold:
    """A timed training as one inner fold; where it was not ended, with an end drawn from those that were."""
    most, seen = work.training.epochs, len(timed.costs)
    length, best = seen, timed.best
    if not timed.ended:
        longer = lengths[lengths > seen]
        if work.training.budget == "schedule":
            length = most
        elif len(longer):
            length = int(generator.choice(longer))
        else:
            length = int(generator.integers(min(most, max(seen, work.training.patience) + 1), most + 1))
        best = max(best, length - work.training.patience if length < most else length)
    path = np.array(timed.costs)
    path = path if work.training.budget == "schedule" else np.minimum.accumulate(path)
    return _Fold(length, best, np.concatenate([path, np.full(most - seen, path[-1])]))


_Proposed = tuple[Kind, Sequence[_Fold]]


def _side_by_side(proposed: Sequence[_Proposed], search: SearchSettings) -> list[_Tried]:
    """Each candidate on all its inner folds side by side, unless the median of earlier ones ends it."""
    tried: list[_Tried] = []
    for kind, folds in proposed:
        stop = _pruned_at(folds, [one.folds for one in tried if one.complete], search)
        epochs = [min(fold.length, stop or fold.length) for fold in folds]
        tried.append(_Tried(kind, folds, epochs, complete=stop is None))
    return tried


def _raced(proposed: Sequence[_Proposed], search: SearchSettings) -> list[_Tried]:
    """All candidates on the first inner fold, the better part on each later one; ties are left out."""
    tried: list[_Tried] = []
    for kind, folds in proposed:
        stop = _pruned_at(folds[:1], [one.folds[:1] for one in tried if one.complete], search)
        tried.append(_Tried(kind, folds, [min(folds[0].length, stop or folds[0].length)], complete=stop is None))
    alive = [place for place, one in enumerate(tried) if one.complete]
    for fold in range(1, search.inner_folds):
        costs = {place: np.mean([one.path[-1] for one in tried[place].folds[:fold]]) for place in alive}
        alive = sorted(alive, key=costs.__getitem__)[: places(search, fold)]
        for place in alive:
            one = tried[place]
            tried[place] = replace(one, epochs=[*one.epochs, one.folds[fold].length])
    return [replace(one, complete=place in alive) for place, one in enumerate(tried)]


def _pruned_at(folds: Sequence[_Fold], complete: Sequence[Sequence[_Fold]], search: SearchSettings) -> int | None:
    """The epoch at which Optuna's median rule ends a candidate; None where it does not.

    Args:
        folds: The candidate's.
        complete: Those of each earlier candidate that came to its end.
        search: Whether there is pruning, and from when on.
    """
    if not search.prune or len(complete) < random_candidates(search):
        return None
    most = max(fold.length for fold in folds)
    mine = np.minimum.accumulate(np.mean([fold.path for fold in folds], axis=0))
    others = np.array([np.mean([fold.path for fold in one], axis=0) for one in complete])
    # A finished candidate has no value where it did not train any more.
    ends = np.array([max(fold.length for fold in one) for one in complete])
    for epoch in range(PRUNING_WARM_UP, most):
        there = others[ends > epoch, epoch - 1]
        if len(there) and mine[epoch - 1] > np.median(there):
            return epoch
    return None


def _filling(timed: Iterable[TimedTraining], work: Workload) -> Iterable[float]:
    """Seconds in which a worker computes what frozen stages make of the maps, once for each kind."""
    timed = list(timed)
    for inputs in work.exams:
        for kind in work.shares:
            mine = [one for one in timed if one.inputs == inputs and one.kind == kind]
            later = [one.setup for one in mine if not one.first]
            yield from (max(0.0, one.setup - min(later)) for one in mine if one.first and later)


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
