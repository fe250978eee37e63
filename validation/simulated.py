"""Worlds in which the truth is known: two generators of scores, vectorised over S simulations.

The noisy folds have models that differ more than patients do; the test set has small classes, heavy tails and ties.
Learners that are really trained are in `learners.py`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, stats

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldWorld:
    """Simulated cross-validations of two configurations that are equally good, on the same patients and folds."""

    scores: Floats
    """`[2, S, R, N]`."""
    folds: Codes
    """`[S, R, N]`."""
    labels: Flags
    """`[N]`."""
    patients: Codes
    """`[N]`."""
    truth: float
    """The AUC to be estimated: of one model trained on (K − 1)/K of the patients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The design of a cross-validation."""

    patients: int
    prevalence: float = 0.5
    folds: int = 5
    repeats: int = 5

    @property
    def labels(self) -> Flags:
        """`[N]`, positives first."""
        return np.arange(self.patients) < round(self.patients * self.prevalence)

    def draw_folds(self, simulations: int, generator: np.random.Generator) -> Codes:
        """`[S, R, N]`, folds dealt within each class, fold sizes even over both."""
        labels = self.labels
        folds = np.empty((simulations, self.repeats, labels.size), dtype=np.int64)
        offset = 0
        for label in (True, False):
            places = np.flatnonzero(labels == label)
            order = generator.random((simulations, self.repeats, places.size)).argsort(axis=2).argsort(axis=2)
            folds[:, :, places] = (order + offset) % self.folds
            offset += places.size
        return folds


def noisy_folds(
    design: Design,
    simulations: int,
    seed: int,
    *,
    area: float,
    model_noise: float,
    fold_offset: float,
    correlation: float = 0.5,
    most_exams: int = 1,
    within_patient: float = 0.0,
) -> FoldWorld:
    """Binormal scores s = μy + √ρ g + √(1−ρ) u + noise of the fold model + offset of the fold.

    Args:
        design: Patients, folds and repeats.
        simulations: S.
        seed: Of everything.
        area: The AUC of one model, model noise included.
        model_noise: Standard deviation of what a fold's model adds to each exam, relative to the patients'
            own.
        fold_offset: Standard deviation of what a fold's model adds to all its exams.
        correlation: ρ, of the two configurations within an exam.
        most_exams: Patients have 1 to this many exams, in turn.
        within_patient: Correlation of the patients' own part over a patient's exams.
    """
    generator = np.random.default_rng(seed)
    patients = np.repeat(np.arange(design.patients), np.arange(design.patients) % most_exams + 1)
    labels = design.labels[patients]
    patient_folds = design.draw_folds(simulations, generator)
    folds = patient_folds[:, :, patients]
    shift = stats.norm.ppf(area) * np.sqrt(2 * (1 + model_noise**2))

    def own() -> Floats:
        """`[S, N]`, standard normal, correlated within a patient."""
        shared = generator.normal(size=(simulations, design.patients))[:, patients]
        alone = generator.normal(size=(simulations, patients.size))
        drawn: Floats = np.sqrt(within_patient) * shared + np.sqrt(1 - within_patient) * alone
        return drawn

    common, scores = own(), []
    for _ in range(2):
        base = shift * labels + np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own()
        offsets = fold_offset * generator.normal(size=(simulations, design.repeats, design.folds))
        noise = model_noise * generator.normal(size=folds.shape)
        scores.append(base[:, None] + noise + np.take_along_axis(offsets, folds, axis=2))
    return FoldWorld(scores=np.stack(scores), folds=folds, labels=labels, patients=patients, truth=area)


def held_out_scores(
    positives: int, negatives: int, simulations: int, seed: int, *, area: float, shape: str, correlation: float = 0.5
) -> tuple[Floats, float]:
    """Scores of two equally good models on an independent test set, `[2, S, N]`, positives first, and their AUC.

    Args:
        positives: Exams of the first class.
        negatives: Of the other.
        simulations: S.
        seed: Of everything.
        area: The AUC asked for; five ordinal levels lower it a little, and the true one is returned.
        shape: `normal`, `t3` (heavy tails) or `ordinal` (five levels, many ties).
        correlation: Of the two models within an exam.
    """
    generator = np.random.default_rng(seed)
    labels = np.arange(positives + negatives) < positives
    size = (simulations, labels.size)
    shared = generator.normal(size=size)
    latent = [np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * generator.normal(size=size) for _ in range(2)]
    if shape == "t3":
        heavy = [values / np.sqrt(generator.chisquare(3, size=size) / 3) for values in latent]
        shift = _t3_shift(area)
        return np.stack(heavy) + shift * labels, area
    shift = np.sqrt(2) * stats.norm.ppf(area)
    scores = np.stack(latent) + shift * labels
    if shape == "normal":
        return scores, area
    cuts = shift / 2 + np.array([-1.0, -0.3, 0.3, 1.0])
    levels = np.diff(stats.norm.cdf(np.concatenate([[-np.inf], cuts, [np.inf]])))
    above = np.diff(stats.norm.cdf(np.concatenate([[-np.inf], cuts, [np.inf]]) - shift))
    below = np.cumsum(levels) - levels / 2
    return np.searchsorted(cuts, scores).astype(np.float64), float((above * below).sum())


def _t3_shift(area: float) -> float:
    """The shift between two t₃ variables at which P(X + shift > Y) is the area."""
    grid = np.linspace(0, 12, 121)
    areas = [integrate.quad(lambda x, s=s: stats.t.pdf(x, 3) * stats.t.cdf(x + s, 3), -60, 60)[0] for s in grid]
    return float(np.interp(area, areas, grid))
