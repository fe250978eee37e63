"""Which recalibration is best with 60 to 240 training patients?

    python -m validation.recalibrations [--simulations 400] [--seed 0]

A small network is searched, stopped early, chosen and refitted as a cell does it, on Gaussian features whose population
is known. Its balanced probabilities are then recalibrated in each of the ways below, and judged in the population:

- none: the balanced probabilities as they are;
- prevalence: their odds times those of the training exams' prevalence; nothing is fitted;
- Platt, inner scores: of the winner, as the search saw them at each fold's best epoch;
- Platt, beta, isotonic: of the winner trained again in a fresh inner cross-validation, for as many steps as its refit.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from mpi_model.errors import StatisticsError
from mpi_model.settings import TrainingSettings
from orchestrator.cells.decision import OutOfFold, decide
from orchestrator.statistics.calibration import calibration_in_the_large, calibration_slope
from orchestrator.statistics.scores import Exams, Flags, Floats, PatientScores

PATIENTS, AREAS, FEATURES, HIDDEN = (60, 120, 240), (0.7, 0.85), 10, 8
"""Training patients, AUCs of the best possible rule, features, hidden units."""
MEMBERS = (3, 1)
"""Refits of as many best candidates, whose mean score is the prediction; the default of an experiment first."""
PREVALENCE, CANDIDATES, INNER_FOLDS, BATCH = 0.3, 20, 3, 16
_EPOCHS, _PATIENCE = TrainingSettings().epochs, TrainingSettings().patience
_CHUNK, _POPULATION, _EDGE = 50, 4000, 1e-6
_Fit = Callable[[Floats], Floats]


@dataclass(slots=True)
class _Networks:
    """S networks with one hidden layer, trained side by side by minibatches of both classes in equal parts."""

    parameters: list[Floats]
    velocity: list[Floats]
    rates: Floats
    decay: Floats

    @classmethod
    def start(cls, rates: Floats, decay: Floats, generator: np.random.Generator) -> "_Networks":
        """Random weights; one learning rate and weight decay a network."""
        size = len(rates)
        parameters = [
            generator.normal(size=(size, FEATURES, HIDDEN)) / np.sqrt(FEATURES),
            np.zeros((size, 1, HIDDEN)),
            generator.normal(size=(size, HIDDEN, 1)) / np.sqrt(HIDDEN),
            np.zeros((size, 1, 1)),
        ]
        return cls(parameters, [np.zeros_like(part) for part in parameters], rates[:, None, None], decay[:, None, None])

    def scores(self, values: Floats) -> Floats:
        """`[S, n]`, log odds of exams `[S, n, features]`."""
        hidden, bias, out, offset = self.parameters
        return ((np.tanh(values @ hidden + bias) @ out) + offset)[:, :, 0]

    def step(self, values: Floats, target: Floats, active: Flags) -> None:
        """One step of gradient descent with momentum, of the networks that are `active`."""
        hidden, bias, out, offset = self.parameters
        layer = np.tanh(values @ hidden + bias)
        error = (expit(layer @ out + offset) - target[:, None]) / target.size
        inner = error * out.transpose(0, 2, 1) * (1 - layer**2)
        gradients = [values.transpose(0, 2, 1) @ inner, inner.sum(axis=1, keepdims=True),
                     layer.transpose(0, 2, 1) @ error, error.sum(axis=1, keepdims=True)]  # fmt: skip
        moves = active[:, None, None]
        for part, speed, gradient in zip(self.parameters, self.velocity, gradients, strict=True):
            speed *= 0.9
            speed -= self.rates * (gradient + self.decay * part)
            part += np.where(moves, speed, 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cohorts:
    """S training sets of one size and what is to be predicted."""

    values: Floats
    """`[S, n, features]`."""
    labels: Flags
    """`[n]`."""
    generator: np.random.Generator

    def train(self, networks: _Networks, training: Flags, steps: "np.typing.NDArray[np.int64]") -> None:
        """Train on the exams `[S, n]` for so many steps `[S]`."""
        for number, batch in enumerate(self._batches(training, int(steps.max()))):
            networks.step(*batch, number < steps)

    def watch(self, networks: _Networks, training: Flags) -> "tuple[Floats, Floats, np.typing.NDArray[np.int64]]":
        """Train with early stopping on the rest: its loss `[S]`, scores `[S, n]` and steps `[S]` at the best epoch."""
        per_epoch = int(np.ceil(training[0].sum() / BATCH))
        size = len(self.values)
        best, kept, steps = np.full(size, np.inf), np.zeros(training.shape), np.zeros(size, dtype=np.int64)
        since, running = np.zeros(size, dtype=np.int64), np.ones(size, dtype=np.bool_)
        for number, batch in enumerate(self._batches(training, _EPOCHS * per_epoch), start=1):
            networks.step(*batch, running)
            if number % per_epoch:
                continue
            scores = networks.scores(self.values)
            loss = _balanced_loss(scores, self.labels, ~training)
            better = running & (loss < best)
            best, steps = np.where(better, loss, best), np.where(better, number, steps)
            kept = np.where(better[:, None], scores, kept)
            since = np.where(better, 0, since + 1)
            running = running & (since < _PATIENCE)
            if not running.any():
                break
        return best, kept, steps

    def _batches(self, training: Flags, count: int) -> Iterator[tuple[Floats, Floats]]:
        pools = []
        for label in (True, False):
            inside = training & (self.labels == label)
            pools.append(((~inside).argsort(axis=1, kind="stable"), inside.sum(axis=1)))
        target, rows = np.repeat([1.0, 0.0], BATCH // 2), np.arange(len(self.values))[:, None]
        for _ in range(count):
            drawn = [
                order[rows, (self.generator.random((len(self.values), BATCH // 2)) * size[:, None]).astype(int)]
                for order, size in pools
            ]
            yield self.values[rows, np.concatenate(drawn, axis=1)], target


def _balanced_loss(scores: Floats, labels: Flags, judged: Flags) -> Floats:
    loss = np.logaddexp(0, np.where(labels, -scores, scores))
    classes = [(loss * mine).sum(axis=1) / mine.sum(axis=1) for mine in (judged & labels, judged & ~labels)]
    mean: Floats = (classes[0] + classes[1]) / 2
    return mean


def _inner_folds(cohorts: _Cohorts) -> "np.typing.NDArray[np.int64]":
    """`[S, n]`, folds dealt within each class."""
    size, folds = len(cohorts.values), np.empty(cohorts.values.shape[:2], dtype=np.int64)
    for label in (True, False):
        places = np.flatnonzero(cohorts.labels == label)
        folds[:, places] = cohorts.generator.random((size, places.size)).argsort(axis=1).argsort(axis=1) % INNER_FOLDS
    return folds


def search(cohorts: _Cohorts, members: int) -> tuple[list[_Networks], Floats, Floats]:
    """The refitted winners, their inner scores `[S, n]`, and their scores in a fresh inner cross-validation `[S, n]`.

    Scores are means over members, each a refit of the next best candidate.
    """
    generator, size = cohorts.generator, len(cohorts.values)
    folds = _inner_folds(cohorts)
    found = []
    for _ in range(CANDIDATES):
        rates, decay = 10 ** generator.uniform(-2.5, -0.5, size), 10 ** generator.uniform(-4, -1.5, size)
        parts = [cohorts.watch(_Networks.start(rates, decay, generator), folds != fold) for fold in range(INNER_FOLDS)]
        scores = np.select([folds == fold for fold in range(INNER_FOLDS)], [part[1] for part in parts])
        steps = np.rint(np.median([part[2] for part in parts], axis=0)).astype(np.int64)
        found.append((np.mean([part[0] for part in parts], axis=0), rates, decay, scores, steps))
    ranked, every = np.argsort([one[0] for one in found], axis=0, kind="stable"), np.arange(size)
    final, inner, fresh, again = [], np.zeros(folds.shape), np.zeros(folds.shape), _inner_folds(cohorts)
    for winner in ranked[:members]:
        rates, decay, seen, steps = (np.stack([one[place] for one in found])[winner, every] for place in range(1, 5))
        inner += seen / members
        final.append(_Networks.start(rates, decay, generator))
        cohorts.train(final[-1], np.ones_like(folds, dtype=np.bool_), steps)
        for fold in range(INNER_FOLDS):
            network = _Networks.start(rates, decay, generator)
            cohorts.train(network, again != fold, steps)
            fresh += np.where(again == fold, network.scores(cohorts.values), 0) / members
    return final, inner, fresh


def _platt(scores: Floats, labels: Flags) -> _Fit:
    """As a cell fits it."""
    exams = OutOfFold(scores=scores, labels=labels.astype(np.int8), tracer=np.zeros(len(scores), dtype=np.int8))
    return decide(exams, "fixed", exams)[0].probability


def _beta(scores: Floats, labels: Flags) -> _Fit:
    """Kull, Silva Filho & Flach 2017, doi:10.1214/17-EJS1338SI: logit p' = a log p − b log(1 − p) + c, a and b ≥ 0."""

    def logits(values: Floats, coefficients: Floats) -> Floats:
        first, second, offset = coefficients
        odds: Floats = -first * np.logaddexp(0, -values) + second * np.logaddexp(0, values) + offset
        return odds

    def loss(coefficients: Floats) -> float:
        one = logits(scores, coefficients)
        return float((np.logaddexp(0, one) - labels * one).sum())

    fitted = minimize(loss, [1.0, 1.0, 0.0], method="L-BFGS-B", bounds=[(1e-3, 50), (1e-3, 50), (None, None)]).x
    return lambda values: expit(logits(values, fitted))


def _isotonic(scores: Floats, labels: Flags) -> _Fit:
    fitted = IsotonicRegression(out_of_bounds="clip").fit(scores, labels)
    # As Laplace would: half an exam inside, since a probability of 0 or 1 has no slope.
    edge = 0.5 / len(scores)
    return lambda values: np.clip(fitted.predict(values), edge, 1 - edge)


def recalibrated(cohorts: _Cohorts, one: int, inner: Floats, fresh: Floats) -> dict[str, _Fit]:
    """Every way of recalibrating the scores of one training set."""
    labels = cohorts.labels
    return {
        "none": expit,
        "prevalence": lambda values: expit(values + logit(labels.mean())),
        "Platt, inner scores": _platt(inner[one], labels),
        "Platt, fresh scores": _platt(fresh[one], labels),
        "beta, fresh scores": _beta(fresh[one], labels),
        "isotonic, fresh scores": _isotonic(fresh[one], labels),
    }


def measure(patients: int, area: float, members: int, simulations: int, seed: int) -> dict[str, Floats]:
    """`[simulations, 3]` by method: slope, intercept and Brier score in the population."""
    from scipy import stats  # noqa: PLC0415

    generator = np.random.default_rng([seed, patients, round(100 * area)])
    shift = np.full(FEATURES, np.sqrt(2) * stats.norm.ppf(area) / np.sqrt(FEATURES))
    outcome = np.arange(_POPULATION) < round(_POPULATION * PREVALENCE)
    population = np.random.default_rng(1).normal(size=(_POPULATION, FEATURES)) + outcome[:, None] * shift
    labels = np.arange(patients) < round(patients * PREVALENCE)
    found: dict[str, list[tuple[float, float, float]]] = {}
    for start in range(0, simulations, _CHUNK):
        size = min(_CHUNK, simulations - start)
        values = generator.normal(size=(size, patients, FEATURES)) + labels[:, None] * shift
        cohorts = _Cohorts(values=values, labels=labels, generator=generator)
        final, inner, fresh = search(cohorts, members)
        shown = np.broadcast_to(population, (size, *population.shape))
        everyone = np.mean([network.scores(shown) for network in final], axis=0)
        for one in range(size):
            for name, fit in recalibrated(cohorts, one, inner, fresh).items():
                found.setdefault(name, []).append(_judged(fit(everyone[one]), outcome))
    return {name: np.array(values) for name, values in found.items()}


def _judged(probabilities: Floats, outcome: Flags) -> tuple[float, float, float]:
    inside = np.clip(probabilities, _EDGE, 1 - _EDGE)
    model = PatientScores(exams=Exams.of(outcome), scores=inside)
    intercept = calibration_in_the_large(model, 0.95).estimate
    try:
        slope = calibration_slope(model, 0.95).estimate
    except StatisticsError:
        slope = np.inf  # the same probability for everybody: far too little extreme
    return slope, intercept, float(((probabilities - outcome) ** 2).mean())


def table(simulations: int, seed: int) -> Iterator[str]:
    """The lines of the table in `docs/coverage.md`."""
    yield "| members | AUC possible | patients | recalibration | slope, median [10 %, 90 %] | intercept | Brier |"
    yield "|---|---|---|---|---|---|---|"
    for members, area, patients in product(MEMBERS, AREAS, PATIENTS):
        for name, values in measure(patients, area, members, simulations, seed).items():
            slope, intercept, brier = np.moveaxis(values, 1, 0)
            low, middle, high = np.quantile(slope, (0.1, 0.5, 0.9), method="nearest")
            yield (
                f"| {members} | {area:g} | {patients} | {name} | {middle:.2f} [{low:.2f}, {high:.2f}] | "
                f"{np.median(intercept):+.2f} | {brier.mean():.4f} |"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    write = partial(print, flush=True)
    for line in table(chosen.simulations, chosen.seed):
        write(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
