"""Two models' sensitivities, or specificities, on the same exams: their difference with its interval."""

import numpy as np
from scipy.optimize import brentq

from mpi_model.errors import StatisticsError
from orchestrator.statistics.intervals import Interval, combined_interval, normal_quantile
from orchestrator.statistics.patient_means import PatientMean, mean_by_patient
from orchestrator.statistics.proportions import Decisions, wilson_interval
from orchestrator.statistics.scores import Exams, Flags

_TANGO = "Tango"


def paired_difference(first: Decisions, second: Decisions, label: bool, level: float) -> Interval:
    """The difference, first minus second, of the shares of exams of a class that are decided rightly.

    Tango's score interval; or, where a patient has several exams and the models do not agree in all of them,
    square-and-add of the two patient-clustered Wilson intervals with their correlation.

    Args:
        first: One model's decisions.
        second: The other's, on the same exams.
        label: True for sensitivities, False for specificities.
        level: Confidence level.

    Raises:
        StatisticsError: The exams differ.
    """
    if not first.exams.matches(second.exams):
        raise StatisticsError("a paired comparison needs the same exams in the same order for both models")
    parts = first.correct_of_class(label), second.correct_of_class(label)
    # Tango's formula is for independent pairs: one exam a patient.
    if parts[0].counts.max() <= 1:
        better, worse = (float((one.sums > other.sums).sum()) for one, other in (parts, parts[::-1]))
        return _tango_interval(better, worse, float(parts[0].counts.sum()), level)
    return _squared_and_added(*parts, level)


def cross_validated_paired_difference(
    exams: Exams, first: Flags, second: Flags, label: bool, factor: float, level: float
) -> Interval:
    """The same in cross-validation: a patient counts with the mean over repeats, the variance is inflated.

    Args:
        exams: The N exams.
        first: `[R, N]`, one model's decisions.
        second: `[R, N]`, the other's.
        label: True for sensitivities, False for specificities.
        factor: `cross_validation.training_factor`, of which half counts, as in one proportion.
        level: Confidence level.
    """
    chosen = exams.labels == label
    parts = [mean_by_patient((one == label).astype(np.float64), exams, chosen) for one in (first, second)]
    # Half of the inflation of an AUC; see `proportions.cross_validated_proportions`.
    return _squared_and_added(parts[0], parts[1], level, inflation=1 + (factor - 1) / 2)


def _squared_and_added(first: PatientMean, second: PatientMean, level: float, inflation: float = 1.0) -> Interval:
    # Two models that were right for the same patients have a correlation of 1, which would leave no width.
    if np.array_equal(first.sums, second.sums):
        return _tango_interval(0.0, 0.0, first.patient_count / inflation, level)
    clustered = ", patient-clustered" if first.counts.max() > 1 else ""
    return combined_interval(
        *(wilson_interval(part, level, inflation=inflation) for part in (first, second)),
        weights=(1.0, -1.0),
        correlation=first.correlation(second),
        method=f"MOVER of Wilson{clustered}",
    )


def _tango_interval(better: float, worse: float, pairs: float, level: float) -> Interval:
    """Tango's score interval of the difference of two paired proportions (1998, Statistics in Medicine 17:891).

    All δ at which the score statistic stays within ± z. Has a width where no pair is discordant.

    Args:
        better: Pairs in which only the first model is right, b.
        worse: Pairs in which only the second is, c.
        pairs: All pairs, n.
        level: Confidence level.
    """
    estimate, z = (better - worse) / pairs, normal_quantile(level)

    def score(delta: float) -> float:
        """(b − c − nδ) / √(n (2 q + δ(1 − δ))), q the constrained estimate of c's probability."""
        # The constrained estimate solves 2n q² + linear q + constant = 0 (Tango 1998).
        linear = -better - worse + (2 * pairs - better + worse) * delta
        constant = -worse * delta * (1 - delta)
        q = (np.sqrt(max(0.0, linear**2 - 8 * pairs * constant)) - linear) / (4 * pairs)
        variance = pairs * (2 * q + delta * (1 - delta))
        return float((better - worse - pairs * delta) / np.sqrt(max(variance, 1e-300)))

    # At δ = ± 1 the constrained variance is 0 and the statistic is undefined.
    edge = 1 - 1e-12
    low = brentq(lambda delta: score(delta) - z, -edge, estimate, xtol=1e-12) if estimate > -edge else -1.0
    high = brentq(lambda delta: score(delta) + z, estimate, edge, xtol=1e-12) if estimate < edge else 1.0
    return Interval(estimate=estimate, low=min(low, estimate), high=max(high, estimate), level=level, method=_TANGO)
