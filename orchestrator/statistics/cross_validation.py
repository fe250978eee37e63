"""The cross-validated AUC, its variance and its intervals.

The estimate is the mean of the within-fold AUCs. Scores are never pooled over folds, whose models differ in
offset (Parker, Günter & Bedo 2007, doi:10.1186/1471-2105-8-326), nor averaged over repeats, whose networks of
different folds would then be compared.

Two quantities can be meant by it. The *conditional* one is the mean AUC, in the population, of the R·K networks
that were trained; the *expected* one is the mean over all training sets of that size. The interval here is for the
conditional one. It covers the expected one as well where the networks agree with each other; see `_agreement` and
`network_share`, and `docs/coverage.md` for what was measured.

No unbiased estimator of the variance exists (Bengio & Grandvalet 2004). What is used is this project's own
construction, validated by simulation. It is the variance over patients of the mean over pairs that were held out
together (`pairs_statistic`), times a factor. The factor is there because training sets and test sets are the same
patients (`training_factor`). Nadeau & Bengio's (2003, doi:10.1023/A:1024068626366) interval stands beside it.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import stdtrit

from orchestrator.statistics.auc import (
    Influence,
    newcombe_interval,
    newcombe_variance,
    wins,
)
from orchestrator.statistics.intervals import Interval, Method, logit_interval
from orchestrator.statistics.pairs import PairsStatistic, pairs_statistic
from orchestrator.statistics.scores import Exams, Floats, FoldScores

# Constants of `training_factor`, chosen by simulation.
_BASE, _FAINT, _TRUST = 1.1, 8.0, 0.8
# The same with one repeat, whose agreement with others is unknown.
_BASE_OF_ONE_REPEAT, _UNKNOWN_SHARE = 1.2, 0.7
# Of the least variance that `CrossValidation.variance_of` gives, chosen by simulation, too.
_FLOOR = 0.5


def fold_aucs(model: FoldScores) -> Floats:
    """The AUC of every held-out fold, `[R, K]`."""
    positive = np.tile(model.exams.labels, model.repeat_count)
    # All folds of all repeats in one sort: exams of different cells are never compared.
    won, opponents = wins(model.scores.ravel(), positive, model.cells.ravel())
    cells = model.cells.ravel()[positive]
    areas: Floats = np.bincount(cells, weights=won[positive]) / np.bincount(cells, weights=opponents[positive])
    return areas.reshape(model.repeat_count, model.fold_count)


def cross_validated_auc(model: FoldScores) -> float:
    """The mean within-fold AUC."""
    return float(fold_aucs(model).mean())


def _agreement(model: FoldScores) -> float | None:
    """The mean rank correlation of two repeats' scores over exams, in [0, 1]; None with one repeat.

    Two repeats share four fifths of their training patients, and nothing of what chance does in training.
    """
    repeats = model.repeat_count
    if repeats < 2:
        return None
    # Ranks, because networks of two repeats may differ in scale and offset without disagreeing.
    ranks = stats.rankdata(model.scores, axis=1)
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    length = np.sqrt((ranks**2).sum(axis=1, keepdims=True))
    # A repeat with constant scores has no correlation; it counts as no agreement.
    if (length == 0).any():
        return 0.0
    # ‖Σ unit vectors‖² = R + Σ of the R(R − 1) pairwise correlations; solved for their mean below.
    squared = float(((ranks / length).sum(axis=0) ** 2).sum())
    return min(1.0, max(0.0, (squared - repeats) / (repeats * (repeats - 1))))


def training_factor(signal: float, agreement: float | None, repeats: int, folds: int) -> float:
    """How much more the estimate varies than for networks that do not depend on the patients they are judged on.

    A patient is judged in one fold and trains the networks of all others. Where there is nothing to learn, a pair of
    patients counts twice in the same direction. The variance of a linear learner is then twice that of independent
    networks, whatever the number of patients and repeats. Where the signal is strong the effect vanishes, and what
    chance does in training (starts, batches, subspaces) takes no part in it. So

        factor = 1.1 + λ q,  λ = min(1, 8 / z²),  q = ρ / (ρ + (1 − ρ)/R)

    with z² = (AUC − ½)² / variance and ρ the `_agreement` of repeats; where repeats disagree more than so strong a
    signal allows, λ is raised. Constants were chosen on simulations of seed 0 and tried on others: docs/coverage.md.

    Args:
        signal: z².
        agreement: ρ; None with one repeat, where the factor is 1.2 + 0.7 λ.
        repeats: R.
        folds: K.
    """
    # λ is 1 where the signal is weak and falls as 1/z² where it is strong.
    learned = min(1.0, _FAINT / max(signal, 1e-12))
    if agreement is None:
        return _BASE_OF_ONE_REPEAT + learned * _UNKNOWN_SHARE
    # Training sets of two repeats differ in one patient of K. Were that all, (1 − ρ) K of the scores were noise.
    noise = min(1.0, (1 - agreement) * folds)
    # Disagreement counts only where repeats agree on the whole: weight 0 up to ρ = .5, 1 from ρ = .9.
    trusted = min(1.0, max(0.0, (agreement - 0.5) / 0.4))
    learned += max(0.0, noise - learned) * trusted * _TRUST
    share = agreement / max(agreement + (1 - agreement) / repeats, 1e-12)
    return _BASE + learned * share


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CrossValidation:
    """A cross-validation with what its intervals are made from."""

    model: FoldScores
    pairs: PairsStatistic
    agreement: float | None
    """The `_agreement` of its repeats."""
    factor: float
    """The `training_factor`."""

    @classmethod
    def of(cls, model: FoldScores) -> "CrossValidation":
        """Compute the pairs statistic, the agreement and the factor of a cross-validation.

        Raises:
            StatisticsError: A class comes from a single patient.
        """
        pairs, agreement = pairs_statistic(model.exams, model.scores, model.cells), _agreement(model)
        variance = pairs.variance(model.exams)
        signal = (pairs.influence.auc - 0.5) ** 2 / variance if variance > 0 else np.inf
        factor = training_factor(signal, agreement, model.repeat_count, model.fold_count)
        return cls(model=model, pairs=pairs, agreement=agreement, factor=factor)

    @property
    def averaging(self) -> float:
        """ρ + (1 − ρ)/R: what averaging over repeats leaves of the variance of one."""
        agreement = 1.0 if self.agreement is None else self.agreement
        return agreement + (1 - agreement) / self.model.repeat_count

    @property
    def network_share(self) -> float:
        """Variance that differences between the R·K networks bring to their mean, over that of the estimate.

        S² of the fold AUCs less what so few patients in a fold explain, by R·K; 0 where nothing is left.
        """
        areas = fold_aucs(self.model)
        # Without an estimate of the patients' part nothing is attributed to the networks: `or inf` gives 0.
        between = max(0.0, float(areas.var(ddof=1)) - (held_out_variance(self.model) or np.inf))
        variance = self.variance_of(self.pairs, self.model.exams)
        return between / areas.size / variance if variance > 0 else 0.0

    def variance_of(self, pairs: PairsStatistic, exams: Exams) -> float:
        """Of the mean over pairs around that of the networks trained; the exams may be a subgroup's."""
        # A floor, because near AUC = 1 nearly all influences are 0 and their variance is far too small.
        least = _FLOOR * self.averaging**2 * newcombe_variance(pairs.influence.auc, *exams.class_patients)
        return max(self.factor * pairs.variance(exams), least)


def within_fold_interval(found: CrossValidation, level: float) -> Interval:
    """The default interval of a cross-validated AUC: expit(logit θ ± t √V / (θ(1−θ))).

    V is the patients' variance times the `training_factor`, and not much less than Newcombe's formula gives. That keeps
    estimates near 1 from claiming too much. t has Welch's degrees of freedom. Where every fold is perfect, Newcombe's
    method 5 takes its place.
    """
    return pairs_interval(found, found.pairs, found.model.exams, level, cross_validated_auc(found.model))


def pairs_interval(
    found: CrossValidation, pairs: PairsStatistic, exams: Exams, level: float, area: float | None = None
) -> Interval:
    """As `within_fold_interval`, of a subgroup's exams.

    Args:
        found: The whole cross-validation, from which the factor is taken.
        pairs: Of the subgroup's exams.
        exams: The subgroup's.
        level: Confidence level.
        area: The estimate; the mean over pairs when None.
    """
    estimate = pairs.influence.auc if area is None else area
    # The logit scale has no interval at 0 or 1.
    if not 1e-12 < estimate < 1 - 1e-12:
        inflation = found.factor * found.averaging
        return newcombe_interval(estimate, *exams.class_patients, level, inflation=inflation)
    quantile = float(stdtrit(pairs.degrees(exams), (1 + level) / 2))
    variance = found.variance_of(pairs, exams)
    return logit_interval(
        estimate=estimate, variance=variance, level=level, method=Method.WITHIN_FOLD, quantile=quantile
    )


def corrected_resampled_variance(values: Floats) -> float:
    """(1/(RK) + 1/(K−1)) S² of the values of all cells (Nadeau & Bengio 2003, doi:10.1023/A:1024068626366).

    Args:
        values: `[R, K]`, one value a cell: an AUC, a difference of AUCs, a balanced accuracy.
    """
    repeats, folds = values.shape
    # 1/(K − 1) is the ratio of test to training size; it stands for the overlap of training sets.
    return float((1 / (repeats * folds) + 1 / (folds - 1)) * values.var(ddof=1))


def nadeau_bengio_interval(values: Floats, level: float) -> Interval:
    """The corrected resampled interval of a mean over cells, on the logit scale, t with RK − 1 degrees.

    Args:
        values: `[R, K]`, proportions or AUCs.
        level: Confidence level.

    Raises:
        StatisticsError: All cells agree, or the mean is 0 or 1.
    """
    quantile = float(stdtrit(values.size - 1, (1 + level) / 2))
    variance = corrected_resampled_variance(values)
    return logit_interval(
        estimate=float(values.mean()), variance=variance, level=level, method=Method.NADEAU_BENGIO, quantile=quantile
    )


def held_out_variance(model: FoldScores) -> float | None:
    """The mean over cells of DeLong's variance within the cell; None where a cell has one patient of a class."""
    labels = np.tile(model.exams.labels, model.repeat_count)
    patients = np.tile(model.exams.patients, model.repeat_count)
    cells = model.cells.ravel()
    won, opponents = wins(model.scores.ravel(), labels, cells)
    variances = []
    for cell in range(model.repeat_count * model.fold_count):
        chosen = cells == cell
        # Patients are renumbered within the fold, so that the counts in the variance are the fold's own.
        numbers = np.unique(patients[chosen], return_inverse=True)[1]
        influence = Influence.of(won[chosen], opponents[chosen], labels[chosen], numbers, int(numbers.max()) + 1)
        classes = [np.unique(numbers[labels[chosen] == label]).size for label in (True, False)]
        if min(classes) < 2:
            return None
        variances.append(
            sum(
                count / (count - 1) * float((part**2).sum())
                for count, part in zip(classes, (influence.positive, influence.negative), strict=True)
            )
        )
    return float(np.mean(variances))
