"""Deals patients into folds like cards: stratum by stratum, without starting again in between."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orchestrator.folds.strata import Stratum


def deal(strata: Sequence[Stratum], folds: int, seed: int) -> NDArray[np.int64]:
    """Deal patients into folds, balanced within every stratum.

    Patients are laid out stratum after stratum (strata sorted, so that those which share their first values are
    neighbours), shuffled inside each, and dealt in turn. Because the turn is never reset, not only every stratum
    but every run of neighbouring strata (all patients of a tracer, all of a tracer's positives, everybody) is
    spread with a difference of at most one patient between folds.

    Args:
        strata: The stratum of each patient.
        folds: The number of folds.
        seed: The seed of the draw.

    Returns:
        The fold of each patient, 0 to `folds - 1`.
    """
    codes = np.unique(np.asarray([_text(stratum) for stratum in strata]), return_inverse=True)[1]
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(codes))
    order = shuffled[np.argsort(codes[shuffled], kind="stable")]
    turns = random.permutation(folds)
    dealt = np.empty(len(order), dtype=np.int64)
    dealt[order] = turns[np.arange(len(order)) % folds]
    return dealt


def _text(stratum: Stratum) -> str:
    """A stratum as one text that sorts as the stratum does."""
    return "\x00".join(stratum)
