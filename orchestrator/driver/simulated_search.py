"""One search and its refits, simulated over timed trainings: how many epochs of what it comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mpi_model.settings import TrainingSettings
from mpi_model.vocabulary import Inputs
from orchestrator.cells.rungs import candidates_on_fold
from orchestrator.cells.study import PRUNING_WARM_UP, startup_candidates
from orchestrator.cells.timed import Kind, TimedTraining
from orchestrator.experiment.settings import SearchSettings


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


@dataclass(frozen=True, slots=True)
class Pool:
    """The timed trainings of one input configuration by kind, as one draw takes them."""

    trainings: Mapping[Kind, Sequence[TimedTraining]]
    epoch: Mapping[Kind, float]
    """Seconds of an epoch of a candidate, with the scores of its validation part."""
    refit_epoch: Mapping[Kind, float]
    """Seconds of an epoch of a refit on as many exams, which scores nothing."""
    setup: Mapping[Kind, float]


@dataclass(frozen=True, slots=True)
class _Fold:
    """One inner fold of a simulated candidate."""

    length: int
    """Epochs until patience or the schedule ends it."""
    best: int
    path: NDArray[np.float64]
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


def cell_seconds(
    generator: np.random.Generator,
    pool: Pool,
    preferred: NDArray[np.float64],
    lengths: NDArray[np.int64],
    work: Workload,
    inputs: Inputs,
) -> float:
    """Seconds of one simulated cell: its search, or its part of a flat one, and the refits of its winners.

    Args:
        generator: Draws candidates and trainings.
        pool: The timed trainings.
        preferred: `[kinds]`, how often each kind is proposed once the sampler has learned.
        lengths: `[trainings]`, epochs of the timed trainings that came to their end.
        work: What the run has to do.
        inputs: The cell's input configuration.
    """
    if work.search.scheme == "flat":
        return _with_part(generator, pool, preferred, work, inputs)
    kinds, shares = list(work.shares), np.array(list(work.shares.values()))
    random = startup_candidates(work.search)
    proposed = []
    for number in range(work.search.candidates):
        kind = kinds[int(generator.choice(len(kinds), p=shares if number < random else preferred))]
        some = pool.trainings[kind]
        drawn = [some[int(place)] for place in generator.integers(len(some), size=work.search.inner_folds)]
        proposed.append((kind, [_fold(generator, one, lengths, work) for one in drawn]))
    searched = _raced if work.search.races else _side_by_side
    tried = searched(proposed, work.search)
    inner, whole, _ = work.exams[inputs]
    seconds = sum(sum(one.epochs) * pool.epoch[one.kind] + len(one.epochs) * pool.setup[one.kind] for one in tried)
    winners = sorted((one for one in tried if one.complete), key=lambda one: one.objective)[: work.search.winners]
    # A whole schedule is as many epochs on more patients; else a refit takes as many steps as its candidate.
    grown = whole / inner if work.training.budget == "schedule" else 1.0
    for member in range(work.training.members):
        winner = winners[member % len(winners)]
        epochs = float(np.median([fold.best for fold in winner.folds])) * pool.refit_epoch[winner.kind]
        seconds += pool.setup[winner.kind] + epochs * grown
        if work.calibrated:
            seconds += work.search.inner_folds * (pool.setup[winner.kind] + epochs)
    return seconds


def _with_part(
    generator: np.random.Generator, pool: Pool, preferred: NDArray[np.float64], work: Workload, inputs: Inputs
) -> float:
    """Seconds of a part of a flat search, in which nothing is pruned, and of the members of one cell."""
    inner, whole, final = work.exams[inputs]
    kinds, epochs = list(work.shares), work.training.epochs

    def seconds(shares: NDArray[np.float64], count: int, exams: float) -> float:
        drawn = [kinds[int(place)] for place in generator.choice(len(kinds), size=count, p=shares)]
        return sum(pool.setup[kind] + epochs * pool.refit_epoch[kind] * exams / inner for kind in drawn)

    # A cell is trained without one fold, a part without two.
    part = seconds(np.array(list(work.shares.values())), work.search.candidates, 2 * whole - final)
    again = work.training.members * work.search.inner_folds if work.calibrated else 0
    return part + seconds(preferred, work.training.members, whole) + seconds(preferred, again, inner)


def _fold(generator: np.random.Generator, timed: TimedTraining, lengths: NDArray[np.int64], work: Workload) -> _Fold:
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


def _side_by_side(proposed: Sequence[tuple[Kind, Sequence[_Fold]]], search: SearchSettings) -> list[_Tried]:
    """Each candidate on all its inner folds side by side, unless the median of earlier ones ends it."""
    tried: list[_Tried] = []
    for kind, folds in proposed:
        stop = _pruned_at(folds, [one.folds for one in tried if one.complete], search)
        epochs = [min(fold.length, stop or fold.length) for fold in folds]
        tried.append(_Tried(kind, folds, epochs, complete=stop is None))
    return tried


def _raced(proposed: Sequence[tuple[Kind, Sequence[_Fold]]], search: SearchSettings) -> list[_Tried]:
    """All candidates on the first inner fold, the better part on each later one; ties are left out."""
    tried: list[_Tried] = []
    for kind, folds in proposed:
        stop = _pruned_at(folds[:1], [one.folds[:1] for one in tried if one.complete], search)
        tried.append(_Tried(kind, folds, [min(folds[0].length, stop or folds[0].length)], complete=stop is None))
    alive = [place for place, one in enumerate(tried) if one.complete]
    for fold in range(1, search.inner_folds):
        costs = {place: np.mean([one.path[-1] for one in tried[place].folds[:fold]]) for place in alive}
        alive = sorted(alive, key=costs.__getitem__)[: candidates_on_fold(search, fold)]
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
    if not search.prune or len(complete) < startup_candidates(search):
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
