"""Other intervals of a cross-validated AUC that the field uses, as rivals of the package's own: coverage and width.

Not among them is the nested cross-validation of Bates, Hastie & Tibshirani (2024, doi:10.1080/01621459.2023.2197686):
it trains K(K − 1)/2 further networks for each of many repeats, where the others read one run's scores.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats
from scipy.special import expit, logit

from orchestrator.statistics.auc import Influence, wins
from orchestrator.statistics.cross_validation import corrected_resampled_variance, fold_aucs, held_out_variance
from orchestrator.statistics.pairs import pairs_statistic
from orchestrator.statistics.scores import Codes, Floats, FoldScores
from validation.measured import LEVEL

Limits = tuple[float, float]
BOOTSTRAPS = 200
NAMES = (
    "fold t",
    "Nadeau–Bengio t",
    "DeLong by fold, averaged",
    "LeDell's influence curve",
    "DeLong of mean scores",
    "bootstrap of pooled scores",
    "bootstrap within folds",
    "patients' variance",
    "patients' variance · K/(K − 1)",
)
"""The last two are parts of the package's own interval: without its factor, and with a plain one."""
_Z = float(stats.norm.ppf((1 + LEVEL) / 2))


def rival_intervals(model: FoldScores, generator: np.random.Generator) -> dict[str, Callable[[], Limits]]:
    """Each rival's interval, to be computed; several exams of a patient stay together in all of them."""
    areas = fold_aucs(model)
    centre, cells = float(areas.mean()), areas.size
    patients = pairs_statistic(model.exams, model.scores, model.cells).variance(model.exams)
    computed: tuple[Callable[[], Limits], ...] = (
        lambda: _plain(centre, areas.var(ddof=1) / cells, float(stats.t.ppf((1 + LEVEL) / 2, cells - 1))),
        lambda: _plain(centre, corrected_resampled_variance(areas), float(stats.t.ppf((1 + LEVEL) / 2, cells - 1))),
        lambda: _logit(centre, (held_out_variance(model) or np.nan) / model.fold_count),
        lambda: _plain(centre, _ledell_variance(model), _Z),
        lambda: _delong_of_means(model),
        lambda: _bootstrap(model, generator, within=False),
        lambda: _bootstrap(model, generator, within=True),
        lambda: _logit(centre, patients),
        lambda: _logit(centre, patients * model.fold_count / (model.fold_count - 1)),
    )
    return dict(zip(NAMES, computed, strict=True))


def _plain(centre: float, variance: float, quantile: float) -> Limits:
    reach = quantile * float(np.sqrt(variance))
    return centre - reach, centre + reach


def _logit(centre: float, variance: float) -> Limits:
    if not 0 < centre < 1:
        return centre, centre
    reach = _Z * float(np.sqrt(variance)) / (centre * (1 - centre))
    low, high = expit(logit(centre) + np.array([-reach, reach]))
    return float(low), float(high)


def _ledell_variance(model: FoldScores) -> float:
    """LeDell, Petersen & van der Laan (2015, doi:10.1214/15-EJS1035), by patient; the mean over repeats."""
    exams, found = model.exams, []
    for scores, cells in zip(model.scores, model.cells, strict=True):
        won, opponents = wins(scores, exams.labels, cells)
        share = np.where(exams.labels, exams.labels.mean(), 1 - exams.labels.mean())
        # Centred at the fold's own AUC.
        numbers = np.unique(cells, return_inverse=True)[1]
        positive = exams.labels
        area = np.bincount(numbers[positive], won[positive]) / np.bincount(numbers[positive], opponents[positive])
        curve = np.bincount(exams.patients, (won / opponents - area[numbers]) / share, exams.patient_count)
        found.append(float((curve**2).sum()) / positive.size**2)
    return float(np.mean(found))


def _delong_of_means(model: FoldScores) -> Limits:
    """Scores averaged over repeats and taken for those of one network."""
    exams = model.exams
    won, opponents = wins(model.scores.mean(axis=0), exams.labels, np.zeros(exams.labels.size, dtype=np.int64))
    influence = Influence.of(won, opponents, exams.labels, exams.patients, exams.patient_count)
    return _logit(influence.auc, influence.variance(exams))


def _bootstrap(model: FoldScores, generator: np.random.Generator, *, within: bool) -> Limits:
    """Percentiles over patients drawn within each class; pairs of one fold only, or of all folds as one network's."""
    exams = model.exams
    sides = [np.flatnonzero(exams.labels == label) for label in (True, False)]
    won, met = _pairs(model.scores, model.cells, *sides, within=within)
    drawn = []
    for rows in sides:
        owners, places = np.unique(exams.patients[rows], return_inverse=True)
        counts = generator.multinomial(owners.size, np.full(owners.size, 1 / owners.size), BOOTSTRAPS)
        drawn.append(counts[:, places].astype(np.float64))
    areas = ((drawn[0] @ won) * drawn[1]).sum(axis=1) / ((drawn[0] @ met) * drawn[1]).sum(axis=1)
    low, high = np.percentile(areas, [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2])
    return float(low), float(high)


def _pairs(scores: Floats, cells: Codes, positives: Codes, negatives: Codes, *, within: bool) -> tuple[Floats, Floats]:
    """How often each pair was ranked rightly, and how often it was compared, summed over repeats."""
    won, met = np.zeros((2, positives.size, negatives.size))
    for score, cell in zip(scores, cells, strict=True):
        together = cell[positives][:, None] == cell[negatives] if within else np.ones(won.shape)
        won += together * (0.5 + 0.5 * np.sign(score[positives][:, None] - score[negatives]))
        met += together
    return won, met
