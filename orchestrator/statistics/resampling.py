"""The rank-swap permutation test of two models; whole patients are swapped, with a seed that the caller names."""

import numpy as np
from scipy import stats

from orchestrator.statistics.scores import Codes, Exams, Floats, PatientScores, require_same_exams

# How many numbers one batch of draws may hold; bounds memory at some 100 MB.
_CHUNK_ELEMENTS = 4_000_000


def _monte_carlo_p_value(observed: float, simulated: Floats) -> float:
    """(1 + #{|simulated| ≥ |observed|}) / (1 + B): never 0 (Phipson 2010, doi:10.2202/1544-6115.1585)."""
    # Sums of the same halves in another order may differ in the last bit; such draws count as equal.
    reached = np.abs(simulated) >= abs(observed) - 1e-12
    return float((1 + reached.sum()) / (1 + simulated.size))


def rank_swap_p_value(first: PatientScores, second: PatientScores, draws: int, seed: int) -> float:
    """Tests that two models are exchangeable: the two ranks of a patient's exams are swapped at random.

    Scores are replaced by their midranks within each model first, so that models on different scales may be
    swapped (Venkatraman & Begg 1996, doi:10.1093/biomet/83.4.835; Bandos, Rockette & Gur 2005,
    doi:10.1002/sim.2149). The statistic is the difference of the AUCs.

    Args:
        first: One model's scores, `[N]`.
        second: The other's, on the same exams in the same order.
        draws: B, the number of random swaps.
        seed: Of the random generator; equal seeds give equal p-values, whatever patients are called.

    Returns:
        The two-sided Monte Carlo p-value, at least 1 / (1 + B).

    Raises:
        StatisticsError: The exams differ.
    """
    require_same_exams([first, second])
    exams, generator = first.exams, np.random.default_rng(seed)
    ranks = np.stack([stats.rankdata(model.scores) for model in (first, second)])
    observed = float(_rank_auc_difference(ranks[0][None], ranks[1][None], exams)[0])
    owners, simulated = _patients_by_content(ranks, exams), []
    for count in _batches(draws, 2 * exams.labels.size):
        # One draw a patient: all exams of a patient are swapped together.
        swap = generator.random((count, exams.patient_count))[:, owners] < 0.5
        mixed = (np.where(swap, ranks[1], ranks[0]), np.where(swap, ranks[0], ranks[1]))
        simulated.append(_rank_auc_difference(*mixed, exams))
    return _monte_carlo_p_value(observed, np.concatenate(simulated))


def _patients_by_content(ranks: Floats, exams: Exams) -> Codes:
    """`[N]`, the exams' patients, numbered by their labels and ranks.

    The draws then belong to what was measured: neither another name of a patient nor another order of rows changes p.
    """
    contents: dict[int, list[tuple[float, ...]]] = {}
    for exam in np.lexsort((*ranks, exams.labels)):
        contents.setdefault(int(exams.patients[exam]), []).append((exams.labels[exam], *ranks[:, exam]))
    numbers = np.empty(exams.patient_count, dtype=np.int64)
    numbers[sorted(contents, key=contents.__getitem__)] = np.arange(exams.patient_count)
    by_exam: Codes = numbers[exams.patients]
    return by_exam


def _rank_auc_difference(first: Floats, second: Floats, exams: Exams) -> Floats:
    """`[B]`, difference of the AUCs of two `[B, N]` arrays, by their rank sums."""
    # AUC = (rank sum of positives − m(m + 1)/2) / (mn); the constant cancels in the difference.
    sums = [stats.rankdata(values, axis=1)[:, exams.labels].sum(axis=1) for values in (first, second)]
    positives = int(exams.labels.sum())
    difference: Floats = (sums[0] - sums[1]) / (positives * (exams.labels.size - positives))
    return difference


def _batches(draws: int, width: int) -> Codes:
    """The sizes of the batches in which `draws` rows of `width` numbers are made."""
    size = max(1, min(draws, _CHUNK_ELEMENTS // max(width, 1)))
    full, rest = divmod(draws, size)
    return np.array([size] * full + [rest] * (rest > 0), dtype=np.int64)
