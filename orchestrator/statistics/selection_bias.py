"""What choosing the best of many candidates adds to its score, and BBC-CV, which takes it off.

The best of many candidates owes part of its score to chance, on the very exams by which it was chosen (Varma & Simon
2006, doi:10.1186/1471-2105-7-91). BBC-CV draws patients, chooses by those drawn and scores by the others, and averages
over draws (Tsamardinos, Greasidou & Borboudakis 2018, doi:10.1007/s10994-018-5714-4). It trains nothing. What a network
learned from the other patients stays in its scores, so its bias is smaller and not zero: see docs/search_cost.md.

Here patients are drawn with all their exams, and exams of different cells are never compared; the source pools them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from orchestrator.statistics.scores import Codes, Flags, Floats

_DRAWS: Final = 500
_CHUNK: Final = 50
"""Draws at a time; bounds memory."""
_SEED: Final = 20180511
"""One for all, so that equal data give equal estimates."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredCandidates:
    """C candidates with scores of exams that their networks were not trained on; N rows, one an exam and cell."""

    scores: Floats
    """`[C, N]`, log odds of the balanced problem."""
    labels: Flags
    """`[N]`."""
    patients: Codes
    """`[N]`, 0 to P − 1."""
    tracers: Codes
    """`[N]`, 0 to T − 1; a candidate is chosen by the mean over tracers."""
    cells: Codes
    """`[N]`; exams of different cells are never compared."""
    by_auc: bool
    """Whether candidates are chosen by AUC, not by balanced log loss."""
    winners: int
    """The best candidates that a model is made of."""
    members: int
    """Networks of a model, of the winners in turn; their mean score is the model's."""

    def chosen(self, costs: Floats) -> tuple[int, ...]:
        """The candidate of each member by the costs `[C]`; of equal costs the earliest is the best."""
        best = np.argsort(costs, kind="stable")[: self.winners].tolist()
        return tuple(best[member % len(best)] for member in range(self.members))


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasCorrectedAuc:
    """BBC-CV of one tracer."""

    estimate: float
    low: float
    """Percentile interval over draws, which is wide: a draw judges by a third of the patients."""
    high: float
    draws: int
    """Draws that had both classes on either side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionBias:
    """What choosing does to a tracer's AUC."""

    naive: float
    """Of the best candidates on the exams by which they were chosen."""
    corrected: BiasCorrectedAuc | None
    """None where no draw leaves a pair to compare."""


def selection_bias(found: ScoredCandidates, level: float) -> list[SelectionBias]:
    """Naive value and BBC-CV of every tracer.

    Args:
        found: The candidates.
        level: Of the interval, such as 0.95.
    """
    pairs = zip(_naive_aucs(found).tolist(), _bootstrap_bias_corrected(found, level), strict=True)
    return [SelectionBias(naive=naive, corrected=corrected) for naive, corrected in pairs]


def _naive_aucs(found: ScoredCandidates) -> Floats:
    """`[T]`, the AUC of the best candidates on the exams by which they were chosen: too high by what choosing adds."""
    everybody = np.ones((1, found.labels.size))
    scores = found.scores[list(found.chosen(_costs(found, everybody)[0]))].mean(axis=0)
    return np.array([_weighted_auc(scores, pairs, everybody)[0] for pairs in _pairs(found)])


def _bootstrap_bias_corrected(
    found: ScoredCandidates, level: float, draws: int = _DRAWS
) -> list[BiasCorrectedAuc | None]:
    """BBC-CV of every tracer; None where no draw leaves a pair to compare.

    Args:
        found: The candidates.
        level: Of the interval, such as 0.95.
        draws: B.
    """
    count = int(found.patients.max()) + 1
    generator = np.random.default_rng(_SEED)
    times = generator.multinomial(count, np.full(count, 1 / count), size=draws)[:, found.patients].astype(np.float64)
    pairs = _pairs(found)
    areas = np.full((draws, len(pairs)), np.nan)
    # The order in which threads add changes last digits.
    with threadpool_limits(1, "blas"):
        costs = np.concatenate([_costs(found, times[start : start + _CHUNK]) for start in range(0, draws, _CHUNK)])
        models = [found.chosen(row) if np.isfinite(row).all() else () for row in costs]
        # Few models are chosen, each by many draws: its comparisons are made once.
        for model in sorted(set(models) - {()}):
            mine = np.array([place for place, one in enumerate(models) if one == model])
            scores, left = found.scores[list(model)].mean(axis=0), (times[mine] == 0).astype(np.float64)
            for tracer, compared in enumerate(pairs):
                areas[mine, tracer] = _weighted_auc(scores, compared, left)
    return [_summarised(column, level) for column in areas.T]


def _summarised(areas: Floats, level: float) -> BiasCorrectedAuc | None:
    known = areas[np.isfinite(areas)]
    if not known.size:
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return BiasCorrectedAuc(estimate=float(known.mean()), low=float(low), high=float(high), draws=known.size)


def _pairs(found: ScoredCandidates) -> list[tuple[Codes, Codes]]:
    """For each tracer the places of a positive and a negative exam of one cell, all such pairs."""
    pairs = []
    for tracer in range(int(found.tracers.max()) + 1):
        first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for cell in np.unique(found.cells).tolist():
            here = (found.cells == cell) & (found.tracers == tracer)
            positive, negative = np.flatnonzero(here & found.labels), np.flatnonzero(here & ~found.labels)
            first.append(np.repeat(positive, negative.size))
            second.append(np.tile(negative, positive.size))
        pairs.append((np.concatenate(first), np.concatenate(second)))
    return pairs


def _weighted_auc(scores: Floats, pairs: tuple[Codes, Codes], weights: Floats) -> Floats:
    """`[B]`, the share of pairs ranked rightly, ties counting half, each as often as both exams; NaN without pairs."""
    positive, negative = pairs
    won = np.heaviside(scores[positive] - scores[negative], 0.5)
    both = weights[:, positive] * weights[:, negative]
    with np.errstate(invalid="ignore"):
        area: Floats = both @ won / both.sum(axis=1)
    return area


def _costs(found: ScoredCandidates, weights: Floats) -> Floats:
    """`[B, C]`, what candidates are chosen by, made small: the mean over tracers; NaN where one lacks a class."""
    parts: list[Floats] = []
    if found.by_auc:
        for pairs in _pairs(found):
            parts.append(-np.stack([_weighted_auc(scores, pairs, weights) for scores in found.scores], axis=1))
        by_auc: Floats = np.stack(parts).mean(axis=0)
        return by_auc
    losses = np.logaddexp(0, np.where(found.labels, -found.scores, found.scores))
    for tracer in range(int(found.tracers.max()) + 1):
        for label in (True, False):
            mine = (found.tracers == tracer) & (found.labels == label)
            with np.errstate(invalid="ignore"):
                parts.append(weights[:, mine] @ losses[:, mine].T / weights[:, mine].sum(axis=1)[:, None])
    by_loss: Floats = np.stack(parts).mean(axis=0)
    return by_loss
