"""Calibration, Brier score and net benefit in cross-validation: do their intervals cover?

World D: the ridge discriminant and the small network of `learners.py` give log odds in every fold. What the R·K trained
networks would score in the population is known for the linear one: its log odds are Gaussian in either class, so that
Brier score, net benefit, calibration slope and intercept follow from integrals over two Gaussians.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import expit, logit

from orchestrator.statistics.calibration import brier_interval, cross_validated_calibration
from orchestrator.statistics.cross_validation import CrossValidation
from orchestrator.statistics.intervals import Interval
from orchestrator.statistics.net_benefit import net_benefit
from orchestrator.statistics.scores import Exams, Flags, Floats, FoldScores
from validation.learners import RIDGE, World, effect_of
from validation.measured import LEVEL, Measured, Range, Tally

WORLDS: tuple[World, ...] = tuple(
    World(learner="ridge", patients=patients, area=area) for patients in (60, 120, 300) for area in (0.7, 0.85)
)
REPEATS = (1, 10)
THRESHOLDS = (0.1, 0.3, 0.5)
_FEATURES = 10
_NODES, _WEIGHTS = hermegauss(64)
_COVERS: Range = (0.925, 0.985)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Simulated:
    """One cross-validation of linear log odds moved to the population's prevalence."""

    labels: Flags
    folds: "np.typing.NDArray[np.int64]"
    """`[R, N]`."""
    scores: Floats
    """`[R, N]`."""
    means: Floats
    """`[R, K, 2]`, mean log odds of the positive and of the negative class in the population."""
    spreads: Floats
    """`[R, K]`, their standard deviation in either class."""


def probabilities_of_world(
    world: World, simulations: int, seed: tuple[int, ...], repeats: tuple[int, ...] = REPEATS
) -> Iterator[Measured]:
    """One world: the first repeats of the same cross-validations for each number of them."""
    effect, generator = effect_of(world), np.random.default_rng(seed)
    tallies: dict[int, dict[str, Tally]] = {count: {} for count in repeats}
    truths: dict[str, list[float]] = {}
    for _ in range(simulations):
        found = _cross_validated(world, effect, max(repeats), generator)
        for count in repeats:
            _count(found, count, world.prevalence, tallies[count], truths)
    for count in repeats:
        setting = f"{world.named}, {world.folds} × {count}"
        for name, tally in tallies[count].items():
            control = name.endswith("fold rows")
            accepted = (0.0, 0.8) if control and count > 1 else _COVERS if not control else (0.0, 1.0)
            truth = float(np.mean(truths[f"{name} {count}"]))
            yield tally.measured(
                "D: probabilities by fold", setting, name, "coverage", truth, accepted, control=control
            )


def _cross_validated(world: World, effect: float, repeats: int, generator: np.random.Generator) -> _Simulated:
    """Patients as they come: the prevalence of a cohort varies, that of the population is the world's."""
    while True:
        labels = generator.random(world.patients) < world.prevalence
        if min(labels.sum(), (~labels).sum()) >= 3 * world.folds:
            break
    shift = np.full(_FEATURES, effect / np.sqrt(_FEATURES))
    values = generator.normal(size=(world.patients, _FEATURES)) + labels[:, None] * shift
    folds = np.empty((repeats, world.patients), dtype=np.int64)
    for repeat in range(repeats):
        for label in (True, False):
            places = np.flatnonzero(labels == label)
            folds[repeat, places] = generator.permutation(len(places)) % world.folds
    scores, means, spreads = (
        np.empty(folds.shape),
        np.empty((repeats, world.folds, 2)),
        np.empty((repeats, world.folds)),
    )
    for repeat in range(repeats):
        for fold in range(world.folds):
            inside = folds[repeat] == fold
            weights, offset = _discriminant(values[~inside], labels[~inside])
            scores[repeat, inside] = values[inside] @ weights + offset
            means[repeat, fold] = shift @ weights + offset, offset
            spreads[repeat, fold] = np.sqrt(weights @ weights)
    return _Simulated(labels=labels, folds=folds, scores=scores, means=means, spreads=spreads)


def _discriminant(values: Floats, labels: Flags) -> tuple[Floats, float]:
    """Log odds of the balanced problem, moved to the training prevalence as a report moves them."""
    positive, negative = values[labels], values[~labels]
    scatter = sum((part - part.mean(axis=0)).T @ (part - part.mean(axis=0)) for part in (positive, negative))
    covariance = scatter / (len(values) - 2) + RIDGE * np.eye(values.shape[1])
    weights: Floats = np.linalg.solve(covariance, positive.mean(axis=0) - negative.mean(axis=0))
    middle = float(weights @ (positive.mean(axis=0) + negative.mean(axis=0))) / 2
    return weights, float(logit(labels.mean())) - middle


def _count(
    found: _Simulated, repeats: int, prevalence: float, tallies: dict[str, Tally], truths: dict[str, list[float]]
) -> None:
    exams, scores = Exams.of(found.labels), found.scores[:repeats]
    factor = CrossValidation.of(FoldScores(exams=exams, scores=scores, folds=found.folds[:repeats])).factor
    probabilities, half = expit(scores), 1 + (factor - 1) / 2
    population = _Population.of(found.means[:repeats].reshape(-1, 2), found.spreads[:repeats].ravel(), prevalence)
    computed = {
        "Brier score": (partial(brier_interval, probabilities, exams, LEVEL, inflation=half), population.brier()),
        **{
            f"calibration {name}": (
                partial(cross_validated_calibration, f"calibration_{name}", probabilities, exams, factor, LEVEL),
                truth,
            )
            for name, truth in population.calibration().items()
        },
        **{
            f"net benefit at {at:g}": (
                partial(_net_benefit, probabilities, exams, at, half),
                population.net_benefit(at),
            )
            for at in THRESHOLDS
        },
        "Brier score, fold rows": (partial(_rows, (probabilities - found.labels) ** 2), population.brier()),
    }
    for name, (compute, truth) in computed.items():
        tallies.setdefault(name, Tally()).interval(lambda compute=compute: _limits(compute()), truth)  # type: ignore[misc]
        truths.setdefault(f"{name} {repeats}", []).append(truth)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Population:
    """What the trained networks say of everybody: log odds on a grid, with the share of patients at each point."""

    odds: Floats
    """`[networks, points]`, positives first."""
    shares: Floats
    """`[points]`, adds up to 1."""
    outcome: Floats
    """`[points]`, 1 for positives."""

    @classmethod
    def of(cls, means: Floats, spreads: Floats, prevalence: float) -> "_Population":
        """Gauss–Hermite nodes of both classes."""
        grid = [means[:, side, None] + spreads[:, None] * _NODES for side in (0, 1)]
        weights = _WEIGHTS / _WEIGHTS.sum()
        return cls(
            odds=np.concatenate(grid, axis=1),
            shares=np.concatenate([prevalence * weights, (1 - prevalence) * weights]),
            outcome=np.repeat([1.0, 0.0], len(_NODES)),
        )

    def brier(self) -> float:
        """The mean over networks."""
        return float((((expit(self.odds) - self.outcome) ** 2) @ self.shares).mean())

    def net_benefit(self, threshold: float) -> float:
        """The mean over networks, by the share of a Gaussian above the threshold."""
        from scipy.stats import norm  # noqa: PLC0415

        half = len(_NODES)
        weights = _WEIGHTS / _WEIGHTS.sum()
        centres = [self.odds[:, part] @ weights for part in (slice(half), slice(half, None))]
        spread = np.sqrt(((self.odds[:, :half] - centres[0][:, None]) ** 2) @ weights)
        above = [norm.sf((logit(threshold) - centre) / spread) for centre in centres]
        prevalence = float(self.shares[:half].sum())
        gained = prevalence * above[0] - (1 - prevalence) * above[1] * threshold / (1 - threshold)
        return float(gained.mean())

    def calibration(self) -> dict[str, float]:
        """Slope and intercept of the mixture that a repeat's held-out exams come from: all networks alike."""
        odds, shares = self.odds.ravel(), np.tile(self.shares, len(self.odds)) / len(self.odds)
        outcome = np.tile(self.outcome, len(self.odds))
        return {
            "intercept": _newton(np.ones((len(odds), 1)), odds, outcome, shares)[0],
            "slope": _newton(np.column_stack([np.ones(len(odds)), odds]), np.zeros(len(odds)), outcome, shares)[1],
        }


def _newton(design: Floats, offset: Floats, outcome: Floats, shares: Floats) -> list[float]:
    """A weighted logistic regression."""
    coefficients = np.zeros(design.shape[1])
    for _ in range(30):
        fitted = expit(design @ coefficients + offset)
        information = (design * (shares * fitted * (1 - fitted))[:, None]).T @ design
        coefficients = coefficients + np.linalg.solve(information, design.T @ (shares * (outcome - fitted)))
    found: list[float] = coefficients.tolist()
    return found


def _net_benefit(probabilities: Floats, exams: Exams, threshold: float, inflation: float) -> Interval:
    return net_benefit(probabilities, exams, threshold, LEVEL, inflation=inflation).model


def _rows(errors: Floats) -> Interval:
    """Every row of every repeat as a patient of its own: the control."""
    reach = 1.96 * float(errors.std() / np.sqrt(errors.size))
    mean = float(errors.mean())
    return Interval(estimate=mean, low=mean - reach, high=mean + reach, level=LEVEL, method="rows")


def _limits(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high
