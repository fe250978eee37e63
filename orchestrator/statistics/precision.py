"""How wide an interval the cohort at hand will give, before anything is trained."""

from dataclasses import dataclass

from orchestrator.statistics.auc import newcombe_interval
from orchestrator.statistics.cross_validation import nadeau_bengio_factor
from orchestrator.statistics.intervals import Interval


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

    Newcombe's method 5 depends on the counts alone, so it can be read before any score exists; in
    cross-validation its SE² is multiplied by c = 1/R + K/(K−1), as the NB-inflated logit interval does.

    Args:
        positives: Patients with a positive exam, at least 1.
        negatives: Patients with a negative exam, at least 1.
        auc: The AUC supposed.
        folds: K, for cross-validation; None for a test set.
        repeats: R, for cross-validation.
        level: Confidence level.
    """
    inflation = 1.0 if folds is None else nadeau_bengio_factor(folds, repeats or 1)
    interval = newcombe_interval(auc, positives, negatives, level, inflation=inflation)
    return ExpectedWidth(interval=interval, positives=positives, negatives=negatives)
