"""ROC curves of a test partition and of a repeated cross-validation, with a band over patients."""

import numpy as np

from orchestrator.statistics.scores import Flags, Floats, FoldScores

_GRID = np.linspace(0, 1, 101)
# Seeds the bootstrap of a report, so that a report repeats.
_SEED = 20_261_125


def roc_curve(scores: Floats, labels: Flags) -> Floats:
    """`[points, 2]`, 1 − specificity and sensitivity at every distinct score, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    # One point per distinct score: within a tie the order of exams is arbitrary.
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true = np.cumsum(labels[order])[last_of_tie] / labels.sum()
    false = np.cumsum(~labels[order])[last_of_tie] / (~labels).sum()
    return np.vstack([[0.0, 0.0], np.column_stack([false, true])])


def mean_curve(model: FoldScores) -> tuple[Floats, Floats]:
    """The mean of the curves of all folds of all repeats, at equal false positive rates.

    Vertical averaging (Fawcett 2006, doi:10.1016/j.patrec.2005.10.010): scores of different folds come from different
    networks and are not pooled into one curve.

    Returns:
        1 − specificity and sensitivity, `[101]` each.
    """
    return _GRID, _averaged(model, np.ones((1, model.exams.patient_count)))[0]


def patient_band(model: FoldScores, level: float, draws: int) -> tuple[Floats, Floats]:
    """The pointwise band of the mean curve when patients are drawn anew.

    A patient is drawn with all exams and in all repeats at once. Repeats judge the same patients, so that more repeats
    do not make the band narrower than patients allow. Networks stay as they are.

    Args:
        model: The held-out scores.
        level: Confidence level, of every point by itself.
        draws: Of the bootstrap.

    Returns:
        Lower and upper sensitivity, `[101]` each.
    """
    generator = np.random.default_rng(_SEED)
    patients = model.exams.patient_count
    drawn = generator.multinomial(patients, np.full(patients, 1 / patients), size=draws).astype(np.float64)
    low, high = np.nanquantile(_averaged(model, drawn), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _averaged(model: FoldScores, weights: Floats) -> Floats:
    """`[draws, 101]`, the mean curve under each draw's weights of patients, `[draws, P]`.

    A fold without a class in a draw is left out of that draw's mean.
    """
    by_exam, labels = weights[:, model.exams.patients], model.exams.labels
    sums, counts = np.zeros((len(weights), _GRID.size)), np.zeros(len(weights))
    for scores, cells in zip(model.scores, model.cells, strict=True):
        for cell in np.unique(cells):
            inside = cells == cell
            curves = _weighted_curves(scores[inside], labels[inside], by_exam[:, inside])
            there = ~np.isnan(curves[:, 0])
            sums[there] += curves[there]
            counts[there] += 1
    means: Floats = sums / np.where(counts > 0, counts, np.nan)[:, None]
    return means


def _weighted_curves(scores: Floats, labels: Flags, weights: Floats) -> Floats:
    """`[draws, 101]`, one fold's curve under each draw's weights, `[draws, N]`; not a number without a class."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    # A leading zero: every curve begins at (0, 0).
    true, false = (
        np.pad(np.cumsum(weights[:, order] * side[order], axis=1)[:, last_of_tie], ((0, 0), (1, 0)))
        for side in (labels, ~labels)
    )
    curves = np.full((len(weights), _GRID.size), np.nan)
    for draw in np.flatnonzero((true[:, -1] > 0) & (false[:, -1] > 0)):
        curves[draw] = np.interp(_GRID, false[draw] / false[draw, -1], true[draw] / true[draw, -1])
    return curves
