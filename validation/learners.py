"""Cross-validations whose truth is known: four learners that are really trained in every fold.

Exams have Gaussian features, N(y d, I). Every network, here a ridge discriminant, one on a random subspace, or a
small network trained by minibatches, is trained without its fold. What it would do in the population is known:
in closed form for the linear ones, from a large quasi-random sample for the network. So a simulated
cross-validation has two truths: the mean over the networks that were trained (*conditional*), and the mean over
all training sets (*expected*).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

RIDGE = 0.2
SUBSPACE = 5
"""Features that a learner on a random subspace sees."""
HIDDEN, STEPS, BATCH, RATE = 4, 50, 16, 0.5
"""The small network: hidden units, steps of gradient descent with momentum, exams in a step, learning rate."""
FEATURES = {"ridge": 10, "ridge 40": 40, "subspace": 20, "network": 10}
"""Features of an exam, by learner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One setting of the simulation."""

    learner: str
    """A key of `FEATURES`."""
    patients: int
    area: float
    """The expected AUC of a trained network, about."""
    prevalence: float = 0.3
    folds: int = 5
    repeats: int = 10
    exams_each: int = 1
    label_noise: float = 0.0
    """The share of exams of either label that show the other class."""

    @property
    def owners(self) -> Codes:
        """`[N]`, the patient of each exam."""
        return np.repeat(np.arange(self.patients), self.exams_each)

    @property
    def labels(self) -> Flags:
        """`[N]`, positives first."""
        return self.owners < round(self.patients * self.prevalence)

    @property
    def named(self) -> str:
        """For a table."""
        several = f", {self.exams_each} exams a patient" if self.exams_each > 1 else ""
        noise = f", {self.label_noise:.0%} label noise" if self.label_noise else ""
        return f"{self.learner}, {self.patients} patients{several}{noise}, AUC {self.area:g}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CrossValidations:
    """S simulated cross-validations of C equally good configurations, on the same patients and folds."""

    labels: Flags
    """`[N]`."""
    owners: Codes
    """`[N]`."""
    folds: Codes
    """`[S, R, N]`."""
    scores: Floats
    """`[C, S, R, N]`, log odds of the balanced problem; positive where at least 0."""
    truths: Floats
    """`[C, S, R, K, 3]`: AUC, sensitivity and specificity of every trained network in the population."""


def simulate(
    world: World, simulations: int, seed: int | tuple[int, ...], *, effect: float | None = None, configurations: int = 2
) -> CrossValidations:
    """Draw cohorts and cross-validate the world's learner on each.

    Args:
        world: The setting.
        simulations: S.
        seed: Of everything.
        effect: The distance of the class means; searched for when None (see `effect_of`).
        configurations: C; their features correlate by one half.
    """
    generator = np.random.default_rng(seed)
    distance = effect_of(world) if effect is None else effect
    labels, owners, features = world.labels, world.owners, FEATURES[world.learner]
    folds = _draw_folds(world, simulations, generator)[:, :, owners]
    shown = labels ^ (generator.random((simulations, labels.size)) < world.label_noise)
    informative = features // 2 if world.learner == "subspace" else features
    shift = np.where(np.arange(features) < informative, distance / np.sqrt(informative), 0.0)
    shape = (simulations, labels.size, features)
    common, scores, truths = _noise(world, shape, generator), [], []
    for _ in range(configurations):
        own = _noise(world, shape, generator)
        values = np.sqrt(0.5) * (common + own) + shown[:, :, None] * shift
        held_out, truth = _cross_validate(world, values, folds, shift, generator)
        scores.append(held_out)
        truths.append(truth)
    return CrossValidations(labels=labels, owners=owners, folds=folds, scores=np.stack(scores), truths=np.stack(truths))


def effect_of(world: World) -> float:
    """The distance of the class means at which the world's learner has about its expected AUC."""
    low, high = 0.0, 12.0
    if world.area <= 0.5:
        return 0.0
    pilot = replace(world, repeats=1)
    for step in range(10):
        middle = (low + high) / 2
        reached = simulate(pilot, 60, 7 + step, effect=middle, configurations=1).truths[..., 0].mean()
        low, high = (middle, high) if reached < world.area else (low, middle)
    return (low + high) / 2


def _draw_folds(world: World, simulations: int, generator: np.random.Generator) -> Codes:
    """`[S, R, P]`, dealt within each class, fold sizes even over both."""
    positives = round(world.patients * world.prevalence)
    folds = np.empty((simulations, world.repeats, world.patients), dtype=np.int64)
    for start, stop in ((0, positives), (positives, world.patients)):
        order = generator.random((simulations, world.repeats, stop - start)).argsort(axis=2).argsort(axis=2)
        folds[:, :, start:stop] = (order + start) % world.folds
    return folds


def _noise(world: World, shape: tuple[int, int, int], generator: np.random.Generator) -> Floats:
    """Standard normal features; half of the variance is a patient's own where patients have several exams."""
    drawn = generator.normal(size=shape)
    if world.exams_each == 1:
        return drawn
    patients = generator.normal(size=(shape[0], world.patients, shape[2]))
    mixed: Floats = np.sqrt(0.5) * (drawn + patients[:, world.owners])
    return mixed


def _cross_validate(
    world: World, values: Floats, folds: Codes, shift: Floats, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Held-out scores `[S, R, N]` and truths `[S, R, K, 3]` of one configuration."""
    scores = np.empty(folds.shape)
    truths = np.empty((*folds.shape[:2], world.folds, 3))
    for repeat in range(world.repeats):
        for fold in range(world.folds):
            inside = folds[:, repeat] == fold
            if world.learner == "network":
                found, truth = _network(values, world.labels, ~inside, shift, generator)
            else:
                found, truth = _linear(world, values, ~inside, shift, generator)
            scores[:, repeat] = np.where(inside, found, scores[:, repeat])
            truths[:, repeat, fold] = _with_noise(truth, world.label_noise)
    return scores, truths


def _with_noise(truth: Floats, noise: float) -> Floats:
    """AUC, sensitivity and specificity against labels of which a share shows the other class."""
    area, sensitivity, specificity = np.moveaxis(truth, -1, 0)
    return np.stack(
        [
            (1 - noise) ** 2 * area + noise**2 * (1 - area) + noise * (1 - noise),
            (1 - noise) * sensitivity + noise * (1 - specificity),
            (1 - noise) * specificity + noise * (1 - sensitivity),
        ],
        axis=-1,
    )


def _linear(
    world: World, values: Floats, training: Flags, shift: Floats, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """A ridge discriminant, on all features or on a random few of them."""
    features = values.shape[2]
    chosen = np.tile(np.arange(features), (len(values), 1))
    if world.learner == "subspace":
        chosen = generator.random((len(values), features)).argsort(axis=1)[:, :SUBSPACE]
    seen = np.take_along_axis(values, chosen[:, None, :], axis=2)
    means, scatter = [], np.zeros((len(values), seen.shape[2], seen.shape[2]))
    for label in (True, False):
        kept = (training & (world.labels == label)).astype(np.float64)
        mean = (kept[:, None] @ seen)[:, 0] / kept.sum(axis=1)[:, None]
        centred = (seen - mean[:, None]) * kept[:, :, None]
        scatter += centred.transpose(0, 2, 1) @ centred
        means.append(mean)
    covariance = scatter / (training.sum(axis=1) - 2)[:, None, None] + RIDGE * np.eye(seen.shape[2])
    weights = np.linalg.solve(covariance, (means[0] - means[1])[:, :, None])[:, :, 0]
    threshold = (weights * (means[0] + means[1])).sum(axis=1) / 2
    scores = (seen @ weights[:, :, None])[:, :, 0] - threshold[:, None]
    length = np.sqrt((weights**2).sum(axis=1))
    gain = (weights * shift[chosen]).sum(axis=1)
    truth = [gain / np.sqrt(2) / length, (gain - threshold) / length, threshold / length]
    return scores, stats.norm.cdf(np.stack(truth, axis=-1))


def _network(
    values: Floats, labels: Flags, training: Flags, shift: Floats, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """One hidden layer, class-balanced minibatches, trained for a fixed number of steps from a random start."""
    simulations, _, features = values.shape
    hidden = generator.normal(size=(simulations, features, HIDDEN)) / np.sqrt(features)
    out = generator.normal(size=(simulations, HIDDEN)) / np.sqrt(HIDDEN)
    bias, offset = np.zeros((simulations, 1, HIDDEN)), np.zeros((simulations, 1))
    parameters = [hidden, bias, out, offset]
    velocity = [np.zeros_like(part) for part in parameters]
    for batch, target in _batches(values, labels, training, generator):
        for part, speed, gradient in zip(parameters, velocity, _gradients(parameters, batch, target), strict=True):
            speed *= 0.9
            speed -= RATE * 0.1 * gradient
            part += speed
    sample = _population(features)
    outside = [_forward(parameters, np.broadcast_to(sample + label * shift, (simulations, *sample.shape)))[1]
               for label in (1, 0)]  # fmt: skip
    return _forward(parameters, values)[1], _truth_from(*outside)


def _batches(
    values: Floats, labels: Flags, training: Flags, generator: np.random.Generator
) -> Iterator[tuple[Floats, Floats]]:
    """Minibatches drawn with replacement, half of each class."""
    pools = []
    for label in (True, False):
        kept = training & (labels == label)
        pools.append(((~kept).argsort(axis=1, kind="stable"), kept.sum(axis=1)))
    target, rows = np.repeat([1.0, 0.0], BATCH // 2), np.arange(len(values))[:, None]
    for _ in range(STEPS):
        drawn = [
            order[rows, (generator.random((len(values), BATCH // 2)) * count[:, None]).astype(int)]
            for order, count in pools
        ]
        yield values[rows, np.concatenate(drawn, axis=1)], target


def _forward(parameters: list[Floats], batch: Floats) -> tuple[Floats, Floats]:
    hidden, bias, out, offset = parameters
    active = np.tanh(batch @ hidden + bias)
    return active, (active @ out[:, :, None])[:, :, 0] + offset


def _gradients(parameters: list[Floats], batch: Floats, target: Floats) -> list[Floats]:
    """Of the mean log loss."""
    active, score = _forward(parameters, batch)
    error = (1 / (1 + np.exp(-score)) - target) / target.size
    inner = error[:, :, None] * parameters[2][:, None] * (1 - active**2)
    return [
        batch.transpose(0, 2, 1) @ inner,
        inner.sum(axis=1, keepdims=True),
        (active * error[:, :, None]).sum(axis=1),
        error.sum(axis=1, keepdims=True),
    ]


def _population(features: int) -> Floats:
    """`[1024, features]`, a quasi-random standard normal sample."""
    points = stats.qmc.Sobol(features, scramble=True, rng=np.random.default_rng(1)).random(1024)
    sample: Floats = stats.norm.ppf(points)
    return sample


def _truth_from(positive: Floats, negative: Floats) -> Floats:
    """`[S, 3]`, AUC, sensitivity and specificity on the population's sample."""
    count = positive.shape[1]
    ranks = np.concatenate([positive, negative], axis=1).argsort(axis=1).argsort(axis=1)[:, :count].sum(axis=1)
    area = (ranks - count * (count - 1) / 2) / count**2
    return np.stack([area, (positive >= 0).mean(axis=1), (negative < 0).mean(axis=1)], axis=-1)
