"""Cohorts with candidates that are really trained, in every cell of a cross-validation and every part of a flat search.

Exams have Gaussian features; a candidate is a ridge discriminant on a few features of its own. What a linear network
does in the population follows from its weights.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from orchestrator.statistics.scores import Codes, Flags, Floats

FEATURES, SEEN, PREVALENCE = 40, 8, 0.3
"""Features of an exam, those that a candidate sees, and the share of positive patients."""
RIDGES = (0.05, 0.3, 1.5, 8.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatWorld:
    """One setting of the simulation."""

    patients: int
    effect: float
    """Distance of the class means; 0 for none."""
    informative: int = 10
    """Features that differ between the classes."""
    winners: int = 3
    candidates: int = 20
    folds: int = 5
    repeats: int = 1

    @property
    def labels(self) -> Flags:
        """`[N]`, positives first."""
        return np.arange(self.patients) < round(self.patients * PREVALENCE)

    @property
    def named(self) -> str:
        """For a table."""
        winners = f"{self.winners} winners" if self.winners > 1 else "1 winner"
        return f"{self.patients} patients, {self.folds} × {self.repeats}, {winners}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnCohorts:
    """S cohorts with every candidate trained in every part and cell; L linear networks a candidate."""

    values: Floats
    """`[S, N, F]`."""
    folds: Codes
    """`[S, R, N]`; one repeat more than the world has, for what reuses a choice."""
    shift: Floats
    """`[F]`."""
    cells: Floats
    """`[C, S, R, K, F + 1]`, weights and offset of the networks trained without a fold."""
    parts: Floats
    """The same without a fold and the next one."""

    @classmethod
    def of(cls, world: FlatWorld, simulations: int, seed: tuple[int, ...]) -> "DrawnCohorts":
        """Draw S cohorts and train."""
        generator = np.random.default_rng(seed)
        labels, repeats, count = world.labels, world.repeats + 1, world.folds
        folds = np.empty((simulations, repeats, labels.size), dtype=np.int64)
        positives = int(labels.sum())
        for start, stop in ((0, positives), (positives, labels.size)):
            order = generator.random((simulations, repeats, stop - start)).argsort(axis=2).argsort(axis=2)
            folds[:, :, start:stop] = (order + start) % count
        informative = np.arange(FEATURES) < world.informative
        shift = informative * world.effect / np.sqrt(world.informative)
        values = generator.normal(size=(simulations, labels.size, FEATURES)) + labels[None, :, None] * shift
        shape = (world.candidates, simulations, repeats, count, FEATURES + 1)
        cells, parts = np.empty(shape), np.empty(shape)
        for number in range(world.candidates):
            seen, ridge = np.sort(generator.permutation(FEATURES)[:SEEN]), RIDGES[number % len(RIDGES)]
            for repeat in range(repeats):
                for fold in range(count):
                    outside = folds[:, repeat] != fold
                    cells[number, :, repeat, fold] = _trained(values, labels, outside, seen, ridge)
                    outside &= folds[:, repeat] != (fold + 1) % count
                    parts[number, :, repeat, fold] = _trained(values, labels, outside, seen, ridge)
        return cls(values=values, folds=folds, shift=shift, cells=cells, parts=parts)

    def area(self, networks: Floats) -> float:
        """The mean AUC in the population of networks `[..., F + 1]`."""
        weights = networks[..., :-1]
        gained = (weights * self.shift).sum(axis=-1) / np.sqrt(2 * (weights**2).sum(axis=-1))
        return float(stats.norm.cdf(gained).mean())


def _trained(values: Floats, labels: Flags, training: Flags, seen: Codes, ridge: float) -> Floats:
    """`[S, F + 1]`, ridge discriminants on the features seen."""
    inside, means, scatter = values[:, :, seen], [], np.zeros((len(values), seen.size, seen.size))
    for label in (True, False):
        kept = (training & (labels == label)).astype(np.float64)
        mean = (kept[:, None] @ inside)[:, 0] / kept.sum(axis=1)[:, None]
        centred = (inside - mean[:, None]) * kept[:, :, None]
        scatter += centred.transpose(0, 2, 1) @ centred
        means.append(mean)
    covariance = scatter / (training.sum(axis=1) - 2)[:, None, None] + ridge * np.eye(seen.size)
    weights = np.linalg.solve(covariance, (means[0] - means[1])[:, :, None])[:, :, 0]
    networks = np.zeros((len(values), values.shape[2] + 1))
    networks[:, seen] = weights
    networks[:, -1] = -(weights * (means[0] + means[1])).sum(axis=1) / 2
    return networks
