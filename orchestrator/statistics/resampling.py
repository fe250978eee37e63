"""Redrawing patients: the stratified bootstrap and the rank-swap permutation.

Both work on whole patients. Draws come from a seed that the caller names; nothing here has a default seed.
"""

import numpy as np
from scipy import stats

from orchestrator.statistics.scores import Codes, Exams, Floats, PatientScores, require_same_exams

_CHUNK_ELEMENTS = 4_000_000
"""How many numbers one batch of draws may hold; bounds memory at some 100 MB."""


def bootstrap_weights(exams: Exams, draws: int, generator: np.random.Generator) -> Floats:
    """How often each patient is drawn, `[B, P]`: with replacement, within patients of the same classes.

    Patients with positive exams only, with negative ones only, and with both are three strata, so that every
    draw has both classes.
    """
    strata = exams.positive_patients * 1 + exams.negative_patients * 2
    weights = np.zeros((draws, exams.patient_count))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        weights[:, members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), size=draws)
    return weights


def weighted_aucs(model: PatientScores, weights: Floats) -> Floats:
    """The AUC under each row of patient weights, `[B]`, ties counting half.

    Args:
        model: The scores.
        weights: `[B, P]`, not negative.
    """
    order = np.argsort(model.scores, kind="stable")
    labels, scores = model.exams.labels[order], model.scores[order]
    starts = np.append(0, np.flatnonzero(np.diff(scores)) + 1)
    drawn = weights[:, model.exams.patients[order]]
    positive, negative = (np.add.reduceat(np.where(mask, drawn, 0.0), starts, axis=1) for mask in (labels, ~labels))
    below = np.cumsum(negative, axis=1) - negative / 2
    areas: Floats = (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))
    return areas


def bootstrap_aucs(models: list[PatientScores], draws: int, seed: int) -> Floats:
    """The AUCs of K models on the same exams under the same B draws of patients, `[K, B]`.

    Raises:
        StatisticsError: The exams differ.
    """
    require_same_exams(models)
    generator = np.random.default_rng(seed)
    exams = models[0].exams
    batches = []
    for count in _batches(draws, exams.labels.size):
        weights = bootstrap_weights(exams, count, generator)
        batches.append(np.stack([weighted_aucs(model, weights) for model in models]))
    return np.concatenate(batches, axis=1)


def percentile_limits(values: Floats, level: float) -> tuple[float, float]:
    """The percentile limits of bootstrap values."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def monte_carlo_p_value(observed: float, simulated: Floats) -> float:
    """(1 + #{|simulated| ≥ |observed|}) / (1 + B): never 0 (Phipson 2010, doi:10.2202/1544-6115.1585)."""
    # Sums of the same halves in another order may differ in the last bit; such draws count as equal.
    reached = np.abs(simulated) >= abs(observed) - 1e-12
    return float((1 + reached.sum()) / (1 + simulated.size))


def rank_swap_p_value(first: PatientScores, second: PatientScores, draws: int, seed: int) -> float:
    """Tests that two models are exchangeable: the two ranks of a patient's exams are swapped at random.

    Scores are replaced by their midranks within each model first, so that models on different scales may be
    swapped (Venkatraman & Begg 1996, doi:10.1093/biomet/83.4.835; Bandos, Rockette & Gur 2005,
    doi:10.1002/sim.2149). The statistic is the difference of the AUCs.

    Raises:
        StatisticsError: The exams differ.
    """
    require_same_exams([first, second])
    exams, generator = first.exams, np.random.default_rng(seed)
    ranks = np.stack([stats.rankdata(model.scores) for model in (first, second)])
    observed = float(_rank_auc_difference(ranks[0][None], ranks[1][None], exams)[0])
    simulated = []
    for count in _batches(draws, 2 * exams.labels.size):
        swap = generator.random((count, exams.patient_count))[:, exams.patients] < 0.5
        mixed = (np.where(swap, ranks[1], ranks[0]), np.where(swap, ranks[0], ranks[1]))
        simulated.append(_rank_auc_difference(*mixed, exams))
    return monte_carlo_p_value(observed, np.concatenate(simulated))


def _rank_auc_difference(first: Floats, second: Floats, exams: Exams) -> Floats:
    """`[B]`, difference of the AUCs of two `[B, N]` arrays, by their rank sums."""
    sums = [stats.rankdata(values, axis=1)[:, exams.labels].sum(axis=1) for values in (first, second)]
    positives = int(exams.labels.sum())
    difference: Floats = (sums[0] - sums[1]) / (positives * (exams.labels.size - positives))
    return difference


def _batches(draws: int, width: int) -> Codes:
    """The sizes of the batches in which `draws` rows of `width` numbers are made."""
    size = max(1, min(draws, _CHUNK_ELEMENTS // max(width, 1)))
    full, rest = divmod(draws, size)
    return np.array([size] * full + [rest] * (rest > 0), dtype=np.int64)
