"""Times trainings before a run: how long an epoch takes at each freeze depth, and how many epochs patience allows."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import optuna

from mpi_model.errors import TrainingDivergedError
from mpi_model.vocabulary import Inputs
from orchestrator.cells.candidate import InnerTraining, cost_of, inner_training
from orchestrator.cells.records import CellTask, WorkerContext
from orchestrator.cells.timed import Kind, TimedTraining
from search_spaces.conditions import Value
from search_spaces.space import SearchSpace, first_candidate, hyperparameters, propose

_ENOUGH: Final = 6
"""Finished trainings of a kind, after which timing more of it tells little."""
_GLANCE: Final = 3
"""Epochs that every kind is timed for, whatever it takes; the first fills caches."""
_DRAWN: Final = 400
"""Candidates drawn to see which kinds a space has, and how often."""
_TIMED: Final = 8
"""Kinds that are timed for each input configuration at most. Every training under way holds its cohort's views."""

_Values = dict[str, Value | None]


def drawn_kinds(space: SearchSpace) -> dict[Kind, list[_Values]]:
    """What a space proposes at random, its first candidate included, by kind; untrained.

    Of many kinds, neighbours stand together under the middle one of them, whose own proposals come first.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(first_candidate(space))
    kinds: dict[Kind, list[_Values]] = {}
    for _ in range(_DRAWN):
        values = propose(space, study.ask())
        kinds.setdefault(_kind(values), []).append(values)
    # What learns decides the time first: ends of the encoder that freeze alike are neighbours.
    ordered = sorted(kinds, key=lambda kind: (kind.freeze_depth, kind.encoder_stages or 0))
    count = min(_TIMED, len(ordered))
    borders = [len(ordered) * number // count for number in range(count + 1)]
    groups = [ordered[low:high] for low, high in pairwise(borders)]
    middles = [group[len(group) // 2] for group in groups]
    return {
        middle: kinds[middle] + [values for kind in group if kind != middle for values in kinds[kind]]
        for middle, group in zip(middles, groups, strict=True)
    }


def _kind(values: Mapping[str, Value | None]) -> Kind:
    effective = hyperparameters(values)
    return Kind(encoder_stages=effective.encoder_stages, freeze_depth=effective.freeze_depth)


@dataclass(slots=True)
class _UnderWay:
    """The trainings of one kind, one after another."""

    task: CellTask
    kind: Kind
    proposals: Sequence[_Values]
    spent: float = 0.0
    failures: int = 0
    running: InnerTraining | None = None
    seconds: list[float] = field(default_factory=list)
    setup: float = 0.0
    results: list[TimedTraining] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether enough of this kind has been timed."""
        return len(self.results) + self.failures >= _ENOUGH

    def advance(self, context: WorkerContext, clock: Callable[[], float]) -> None:
        """Train one epoch more, of a new training where none is running."""
        started = clock()
        if self.running is None:
            number = len(self.results) + self.failures
            values = self.proposals[number % len(self.proposals)]
            self.running = inner_training(self.task, context, number, values, number % len(self.task.inner))
            self.setup, self.seconds = clock() - started, []
        before = clock()
        try:
            self.running.advance()
        except TrainingDivergedError:
            # As in a search: the candidate fails, and another one of its kind is trained.
            self.running = None
            self.failures += 1
            self.spent += clock() - started
            return
        self.seconds.append(clock() - before)
        self.spent += clock() - started
        if not self.running.running:
            self.results.append(self._timed(context, ended=True))
            self.running = None

    def all_timed(self, context: WorkerContext) -> list[TimedTraining]:
        """What has been timed, a training under way included."""
        return self.results + ([self._timed(context, ended=False)] if self.running is not None else [])

    def _timed(self, context: WorkerContext, *, ended: bool) -> TimedTraining:
        assert self.running is not None, "asked of a training under way"
        records, judged = self.running.records, self.running.judged
        return TimedTraining(
            inputs=self.task.key.inputs,
            kind=self.kind,
            first=not self.results,
            setup=self.setup,
            costs=tuple(cost_of(epoch, context.procedure.search.objective) for epoch in records),
            seconds=tuple(self.seconds),
            best=judged.epoch if judged is not None else len(records),
            ended=ended,
        )


def time_trainings(
    tasks: Mapping[Inputs, CellTask],
    context: WorkerContext,
    kinds: Mapping[Kind, Sequence[_Values]],
    seconds: float,
    progress: Callable[[int, float], None] = lambda *_: None,
) -> tuple[TimedTraining, ...]:
    """Train candidates of every kind and input configuration, a cell's inner folds in turn.

    Every kind gets a glance of a few epochs; then the one with the least time spent on it goes on, so that quick
    kinds are trained to their end several times and slow ones are timed by the epoch.

    Args:
        tasks: A cell for each input configuration.
        context: What a worker would hold.
        kinds: From `drawn_kinds`.
        seconds: When to end, by the clock on the wall; the glances are made in any case.
        progress: Told how many kinds have had their glance, over all input configurations, and the seconds gone.
    """
    begun = time.perf_counter()
    # On a processor a training is one thread at full speed, so its time there is what an idle machine would take.
    clock = time.process_time if context.device == "cpu" else time.perf_counter
    # The inputs inside, so that time that runs out runs out for all of them alike.
    under_way = [_UnderWay(task, kind, values) for kind, values in kinds.items() for task in tasks.values()]
    # The first training of a process loads what the later ones find loaded.
    _UnderWay(under_way[0].task, under_way[0].kind, under_way[0].proposals).advance(context, clock)
    for number, one in enumerate(under_way, start=1):
        for _ in range(_GLANCE):
            one.advance(context, clock)
        progress(number, time.perf_counter() - begun)
    while time.perf_counter() - begun < seconds and (left := [one for one in under_way if not one.over]):
        min(left, key=lambda one: one.spent).advance(context, clock)
        progress(len(under_way), time.perf_counter() - begun)
    return tuple(timed for one in under_way for timed in one.all_timed(context))
