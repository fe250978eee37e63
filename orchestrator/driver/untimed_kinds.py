"""Trainings of kinds that a pilot had no time for, taken from those that it timed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from orchestrator.cells.timed import Kind, TimedTraining

_SMOOTHNESS: Final = 1e-3
"""Weight of the difference between neighbouring stages, where the timed kinds leave open which of them costs more."""


def with_untimed(timed: Sequence[TimedTraining], kinds: Sequence[Kind]) -> list[TimedTraining]:
    """The timed trainings and, for each kind that has none, those of the nearest kind with its own seconds.

    An epoch takes the sum of what the stages that learn take, and a rest. Stages' seconds are fitted to the timed
    kinds by least squares; none is negative.

    Args:
        timed: Of one or more input configurations.
        kinds: All that a space proposes.
    """
    inputs = dict.fromkeys(one.inputs for one in timed)
    return [one for name in inputs for one in _completed([one for one in timed if one.inputs == name], kinds)]


def _completed(timed: Sequence[TimedTraining], kinds: Sequence[Kind]) -> list[TimedTraining]:
    """The same of one input configuration."""
    known = {kind: [one for one in timed if one.kind == kind] for kind in dict.fromkeys(one.kind for one in timed)}
    missing = [kind for kind in kinds if kind not in known]
    if not missing:
        return list(timed)
    seconds = {kind: float(np.median([np.median(one.seconds) for one in some])) for kind, some in known.items()}
    stages = max(max(kind.encoder_stages or 0, kind.freeze_depth) for kind in (*known, *missing))
    fitted = _stage_seconds(seconds, stages)
    # What frozen stages make of the maps is computed once a worker, and no training of a kind repeats it.
    setup = min(one.setup for one in timed)
    found = list(timed)
    for kind in missing:
        nearest = min(known, key=lambda other: _distance(kind, other))
        ratio = float(_learning(kind, stages) @ fitted) / seconds[nearest]
        found += [
            replace(
                one,
                kind=kind,
                first=False,
                setup=setup,
                seconds=tuple(ratio * epoch for epoch in one.seconds),
                refit_epoch=ratio * one.refit_epoch,
            )
            for one in known[nearest]
        ]
    return found


def _stage_seconds(seconds: dict[Kind, float], stages: int) -> NDArray[np.float64]:
    """Seconds an epoch of each stage that learns, and of the rest: `[stages + 1]`."""
    rows = np.array([_learning(kind, stages) for kind in seconds])
    rough = np.eye(stages + 1)[: stages - 1] - np.eye(stages + 1, k=1)[: stages - 1]
    design = np.concatenate([rows, _SMOOTHNESS * rough])
    fitted: NDArray[np.float64] = nnls(design, np.array([*seconds.values(), *[0.0] * len(rough)]))[0]
    return fitted


def _learning(kind: Kind, stages: int) -> NDArray[np.float64]:
    """Which stages learn, and the rest, which every epoch has."""
    number = np.arange(1, stages + 1)
    ends = kind.encoder_stages or stages
    return np.append((number > kind.freeze_depth) & (number <= ends), True).astype(np.float64)


def _distance(one: Kind, other: Kind) -> int:
    # What learns decides how a training goes and what it costs; where the encoder ends comes second.
    depth, ends = one.freeze_depth - other.freeze_depth, (one.encoder_stages or 0) - (other.encoder_stages or 0)
    return 2 * abs(ends - depth) + abs(ends)
