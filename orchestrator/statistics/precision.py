"""Expected precision before training: interval widths and the power of a comparison, from the numbers of patients."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtr

from orchestrator.statistics.auc import newcombe_interval, newcombe_variance
from orchestrator.statistics.cross_validation import training_factor
from orchestrator.statistics.intervals import Interval, normal_quantile

SUPPOSED_CORRELATION = 0.5
"""The correlation of the two AUCs that a power supposes: both networks read the same stress map."""
WANTED_POWER, EVEN_CHANCE = 0.8, 0.5
"""The power that a study asks for, and the one below which a question cannot be answered."""
_MOST_TIMES = 1e4


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedWidth:
    """The interval to expect if the AUC turns out as supposed."""

    interval: Interval
    positives: int
    negatives: int

    @property
    def width(self) -> float:
        """Upper minus lower limit."""
        return self.interval.high - self.interval.low


def expected_width(
    positives: int,
    negatives: int,
    auc: float = 0.85,
    folds: int | None = None,
    repeats: int | None = None,
    level: float = 0.95,
) -> ExpectedWidth:
    """The interval to expect for a supposed AUC.

    Newcombe's method 5 depends on the counts alone, so it can be read before any score exists. In cross-validation its
    SE² is multiplied by the factor for training and test sets being the same patients.

    Args:
        positives: Patients with a positive exam, at least 1.
        negatives: Patients with a negative exam, at least 1.
        auc: The AUC supposed.
        folds: K, for cross-validation; None for a test set.
        repeats: R, for cross-validation.
        level: Confidence level.
    """
    inflation = _inflation(positives, negatives, auc, folds, repeats)
    interval = newcombe_interval(auc, positives, negatives, level, inflation=inflation)
    return ExpectedWidth(interval=interval, positives=positives, negatives=negatives)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoninferiorityPower:
    """How probably a cohort shows that one model is not worse than another by more than a margin."""

    power: float
    """Where both models have the supposed AUC."""
    patients: int
    """Patients of the same mixture of classes that give the wanted power."""
    present: int
    auc: float


def noninferiority_power(
    positives: int,
    negatives: int,
    margin: float,
    auc: float = 0.85,
    folds: int | None = None,
    repeats: int | None = None,
    level: float = 0.95,
) -> NoninferiorityPower:
    """The power of a non-inferiority comparison of two equally good models on the same patients.

    The difference of two AUCs of variance V (Newcombe 2006, doi:10.1002/sim.2324) and correlation ρ has the variance
    2V(1 − ρ), in cross-validation times the training factor. The power is Φ(margin/SE − z), with z of the one-sided
    level (1 − level)/2 (Liu et al. 2006, doi:10.1002/sim.2358).

    Args:
        positives: Patients with a positive exam, at least 2.
        negatives: Patients with a negative exam, at least 2.
        margin: The loss of AUC still accepted, above 0.
        auc: Of both models.
        folds: K, for cross-validation; None for a test set.
        repeats: R, for cross-validation.
        level: Of the two-sided interval whose lower limit decides.
    """

    def power(times: float) -> float:
        counts = positives * times, negatives * times
        variance = 2 * newcombe_variance(auc, *counts) * (1 - SUPPOSED_CORRELATION)
        error = float(np.sqrt(variance * _inflation(*counts, auc, folds, repeats)))
        return float(ndtr(margin / error - normal_quantile(level)))

    present = positives + negatives
    # No fewer than two patients of each class, below which no variance exists.
    least = 2 / min(positives, negatives)
    enough = power(least) >= WANTED_POWER
    times = least if enough else brentq(lambda factor: power(factor) - WANTED_POWER, least, _MOST_TIMES)
    return NoninferiorityPower(power=power(1.0), patients=int(np.ceil(times * present)), present=present, auc=auc)


def further_interval(
    found: Interval, agreement: float | None, repeats: int, *, more_repeats: int, patients: float
) -> Interval | None:
    """The interval that a finished cross-validation would have had with more repeats or more patients.

    Its variance is taken to fall as 1 over the patients, and with repeats as ρ + (1 − ρ)/R. That is the part of one
    repeat's variance that averaging over R leaves where two of them correlate by ρ. The estimate and the factor for
    training and test sets being the same patients are kept as they are.

    Args:
        found: On the logit scale, as `orchestrator.statistics.cross_validation.within_fold_interval` gives it.
        agreement: ρ; None with one repeat.
        repeats: R of the run.
        more_repeats: R to suppose.
        patients: Patients to suppose, as a multiple of the run's.

    Returns:
        None where the run has one repeat and more are supposed: what they agree in is not known.
    """
    if agreement is None and more_repeats != repeats:
        return None
    together = 1.0 if agreement is None else agreement
    now, then = (together + (1 - together) / count for count in (repeats, more_repeats))
    shrunk = float(np.sqrt(then / now / patients))
    centre = logit(found.estimate)
    low, high = (float(expit(centre + shrunk * (logit(limit) - centre))) for limit in (found.low, found.high))
    return Interval(estimate=found.estimate, low=low, high=high, level=found.level, method=found.method)


def _inflation(positives: float, negatives: float, auc: float, folds: int | None, repeats: int | None) -> float:
    if folds is None:
        return 1.0
    # Before training nothing is known of the agreement of repeats, so the factor of one repeat is taken.
    signal = (auc - 0.5) ** 2 / newcombe_variance(auc, positives, negatives)
    return training_factor(signal, None, repeats or 1, folds)
