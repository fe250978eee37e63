"""Bootstrap samples of the development patients, for the instability of the whole procedure."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from mpi_model.errors import FoldsError
from orchestrator.folds.draws import FoldPlan, Purpose, inner_parts, split_patients, training_patients
from orchestrator.hashing import derive_seed

# Samples of a small cohort can lack patients of a class for an inner fold.
_MAX_DRAWS: Final = 50


def patients_drawn(
    plan: FoldPlan, sample: int | None, inner_folds: int, purposes: tuple[Purpose, ...]
) -> tuple[NDArray[np.int64], tuple[NDArray[np.int64], ...]]:
    """How often each patient is in a sample, and the sample's inner folds.

    As many patients are drawn, with replacement, as a final cell is trained on. A patient who is drawn twice is in one
    inner fold, twice. Samples that do not give both classes of every tracer to every inner fold are drawn again.

    Args:
        plan: The fold plan, whose digest seeds the draw.
        sample: From 1; None for the development patients themselves, each once, as the final cell has them.
        inner_folds: Inner folds; 1 for one hold-out.
        purposes: What the sample is split for.

    Returns:
        `[patients]`, times drawn; for each purpose what `inner_parts` gives.

    Raises:
        FoldsError: No draw can be split.
    """
    pool = np.flatnonzero(training_patients(plan, None, None))
    if sample is None:
        whole = [inner_parts(plan, None, None, inner_folds, purpose) for purpose in purposes]
        return _checked(np.bincount(pool, minlength=len(plan.patients)), whole)
    for attempt in range(_MAX_DRAWS):
        random = np.random.default_rng(derive_seed(plan.digest, "bootstrap", sample, attempt))
        counts = np.bincount(random.choice(pool, size=len(pool)), minlength=len(plan.patients))
        parts = [
            split_patients(plan, counts > 0, inner_folds, (purpose, inner_folds, "bootstrap", sample))
            for purpose in purposes
        ]
        if all(part is not None for part in parts):
            return _checked(counts, parts)
    raise FoldsError(
        f"no bootstrap sample of {len(pool)} patients gives each of {inner_folds} inner folds both classes of every "
        "tracer; include more patients, or set `search.inner_folds` = 1"
    )


def _checked(
    counts: NDArray[np.intp], parts: list[NDArray[np.int64] | None]
) -> tuple[NDArray[np.int64], tuple[NDArray[np.int64], ...]]:
    kept = tuple(part for part in parts if part is not None)
    # An assertion, not an error: the plan was refused if its final cell cannot be split.
    if len(kept) < len(parts):
        raise AssertionError("plan_folds checked the final cell")
    return counts.astype(np.int64), kept
