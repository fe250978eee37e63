"""How far two groups of patients differ in one characteristic, in standard deviations: for Table 1, not for tests."""

import numpy as np

from orchestrator.statistics.scores import Floats


def difference_of_means(first: Floats, second: Floats) -> float | None:
    """(mean₂ − mean₁) / √((s₁² + s₂²) / 2), with the groups' own standard deviations (Cohen's d).

    Args:
        first: `[n]`, the values of one group.
        second: `[m]`.

    Returns:
        The difference; None where a group has fewer than two values or nothing varies.
    """
    if min(len(first), len(second)) < 2:
        return None
    spread = float(np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2))
    return float(second.mean() - first.mean()) / spread if spread > 0 else None


def difference_of_shares(first: Floats, second: Floats) -> float | None:
    """√(d′ S⁻¹ d) of the shares of K levels, never below 0 (Yang & Dalton 2012, SAS Global Forum 335-2012).

    d is the difference of the shares without one level, which the others determine, and S the mean of the two groups'
    multinomial covariances. With two levels it is |p₂ − p₁| / √((p₁(1 − p₁) + p₂(1 − p₂)) / 2).

    Args:
        first: `[K]`, the counts of each level in one group.
        second: `[K]`.

    Returns:
        The difference; None where a group is empty, or the groups share no level, so that it would be infinite.
    """
    if min(first.sum(), second.sum()) == 0:
        return None
    # A level that nobody has would make the covariance singular; which of the others is left out changes nothing.
    held = (first + second) > 0
    shares = [counts[held][1:] / counts.sum() for counts in (first, second)]
    if not len(shares[0]):
        return 0.0
    covariance = sum(np.diag(share) - np.outer(share, share) for share in shares) / 2
    difference = shares[1] - shares[0]
    if np.linalg.matrix_rank(covariance) < len(difference):
        return None
    return float(np.sqrt(difference @ np.linalg.solve(covariance, difference)))
