"""Times trainings before a run: how long an epoch takes at each freeze depth, and how many epochs patience allows."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import torch

from mpi_model.errors import TrainingDivergedError
from mpi_model.schedule import batches_per_epoch, horizon_steps
from mpi_model.training import refit
from mpi_model.vocabulary import Inputs
from orchestrator.cells.candidate import InnerTraining, cost_of, inner_training
from orchestrator.cells.recipe import recipe_for
from orchestrator.cells.records import CellTask, WorkerContext
from orchestrator.cells.study import random_candidates
from orchestrator.cells.timed import Kind, TimedTraining
from search_spaces.conditions import Value
from search_spaces.space import SearchSpace, hyperparameters

_ENOUGH: Final = 6
"""Finished trainings of a kind, after which timing more of it tells little."""
_FIRST_EPOCHS: Final = 3
"""Epochs of the first training of a kind; the first of them fills caches."""
_BEGIN_UNTIL: Final = 0.6
"""Share of the time after which no further kind is begun."""
_FEWEST: Final = 4
"""Kinds that are timed whatever it takes."""
_WAITING: Final = 4.0
"""Seconds by the clock on the wall that count as one of the processor's, so that other work makes no pilot endless."""
_GOLDEN: Final = (5**0.5 - 1) / 2
_DRAWN: Final = 400
"""Candidates drawn to see which kinds a space has, and how often."""


def drawn_kinds(space: SearchSpace) -> dict[Kind, list[dict[str, Value | None]]]:
    """What a space proposes at random, its first candidate included, by kind; untrained."""
    kinds: dict[Kind, list[dict[str, Value | None]]] = {}
    for values in random_candidates(space, _DRAWN, seed=0):
        kinds.setdefault(_kind(values), []).append(values)
    ordered = sorted(kinds, key=lambda kind: (kind.encoder_stages or 0, kind.freeze_depth))
    # Multiples of the golden ratio: the first few kinds, too, are spread over all of them.
    spread = sorted(range(len(ordered)), key=lambda place: place * _GOLDEN % 1)
    return {ordered[place]: kinds[ordered[place]] for place in spread}


def _kind(values: Mapping[str, Value | None]) -> Kind:
    effective = hyperparameters(values)
    return Kind(encoder_stages=effective.encoder_stages, freeze_depth=effective.freeze_depth)


@dataclass(slots=True)
class _Timing:
    """The trainings of one kind, one after another; none is held when it is over: it keeps activations in memory."""

    task: CellTask
    kind: Kind
    proposals: Sequence[dict[str, Value | None]]
    spent: float = 0.0
    tried: int = 0
    refit_epoch: float | None = None
    results: list[TimedTraining] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether enough of this kind has been timed."""
        return self.tried > _ENOUGH

    def train(self, context: WorkerContext, clock: Callable[[], float], enough: Callable[[int], bool]) -> None:
        """Time one training more.

        Args:
            context: What a worker would hold.
            clock: Seconds that count.
            enough: Whether it is left after so many epochs.
        """
        values, fold = self.proposals[self.tried % len(self.proposals)], self.tried % len(self.task.inner)
        started = clock()
        training = inner_training(self.task, context, self.tried, values, fold)
        setup, seconds = clock() - started, list[float]()
        try:
            while training.running and not enough(len(seconds)):
                before = clock()
                training.advance()
                seconds.append(clock() - before)
            if self.refit_epoch is None:
                self.refit_epoch = self._refit_epoch(context, values, fold, clock)
            self.results.append(self._timed(training, setup, seconds, context))
        except TrainingDivergedError:
            pass  # As in a search: the candidate fails, and another one of its kind is trained.
        self.tried += 1
        self.spent += clock() - started

    def told(self) -> list[TimedTraining]:
        """What has been timed; trainings that were left count where none came to its end."""
        return [one for one in self.results if one.ended] or self.results

    def _refit_epoch(
        self, context: WorkerContext, values: dict[str, Value | None], fold: int, clock: Callable[[], float]
    ) -> float:
        """Seconds of an epoch in which nothing is scored: what so many more steps add to a refit of one step."""
        exams, settings = self.task.inner[fold].training, context.procedure.training
        recipe = recipe_for(self.task, context, values, "candidate", self.tried, fold)
        horizon, device = horizon_steps(len(exams), settings), torch.device(context.device)
        ends = [clock()]
        for steps in (1, 1 + batches_per_epoch(len(exams), settings.batch_size)):
            refit(context.maps, exams, recipe=recipe, steps=steps, horizon=horizon, device=device)
            ends.append(clock())
        begun, one, more = ends
        return max(0.0, (more - one) - (one - begun))

    def _timed(
        self, training: InnerTraining, setup: float, seconds: list[float], context: WorkerContext
    ) -> TimedTraining:
        objective = context.procedure.search.objective
        return TimedTraining(
            inputs=self.task.key.inputs,
            kind=self.kind,
            first=self.tried == 0,
            setup=setup,
            costs=tuple(cost_of(epoch, objective) for epoch in training.records),
            seconds=tuple(seconds),
            refit_epoch=self.refit_epoch or 0.0,
            best=training.judged.epoch if training.judged is not None else len(seconds),
            ended=not training.running,
        )


def time_trainings(
    tasks: Mapping[Inputs, CellTask],
    context: WorkerContext,
    kinds: Mapping[Kind, Sequence[dict[str, Value | None]]],
    seconds: float,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[TimedTraining, ...]:
    """Train candidates of as many kinds as there is time for, with every input configuration, inner folds in turn.

    Each kind is timed for a few epochs first. Then the one with the least time spent on it is trained to its end. So
    quick kinds are trained several times, and slow ones are timed by the epoch.

    Args:
        tasks: A cell for each input configuration.
        context: What a worker would hold.
        kinds: From `drawn_kinds`.
        seconds: When to end, by the processor's time where that is what is timed, and four times as late by the clock
            on the wall. A few kinds are timed in any case.
        progress: Told the seconds gone.
    """
    # On a processor a training is one thread at full speed, so its time there is what an idle machine would take.
    clock = time.process_time if context.device == "cpu" else time.perf_counter
    begun, wall = clock(), time.perf_counter()

    def gone() -> float:
        return max(clock() - begun, (time.perf_counter() - wall) / _WAITING)

    # The first training of a process loads what the later ones find loaded.
    _Timing(next(iter(tasks.values())), *next(iter(kinds.items()))).train(context, clock, lambda epochs: epochs == 1)
    timings: list[_Timing] = []
    for number, (kind, values) in enumerate(kinds.items()):
        if number >= _FEWEST and gone() > _BEGIN_UNTIL * seconds:
            break
        # The inputs together, so that time that runs out runs out for all of them alike.
        for task in tasks.values():
            timings.append(_Timing(task, kind, values))
            timings[-1].train(context, clock, lambda epochs: epochs == _FIRST_EPOCHS)
            progress(gone())
    while gone() < seconds and (left := [one for one in timings if not one.over]):
        min(left, key=lambda one: one.spent).train(context, clock, lambda epochs: epochs > 0 and gone() >= seconds)
        progress(gone())
    return tuple(timed for one in timings for timed in one.told())
