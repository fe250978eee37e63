"""From the 22 region counts of one SPECTF phase to the 15 segments of a polar map.

What is known and what is inferred. Kurgan et al. (Artif Intell Med 2001;23:149, doi:10.1016/S0933-3657(01)00082-3) give
the slices and the names of their regions. A count is the mean of a region in percent of the maximum of *its slice* over
stress and rest. They do not print which of the columns F1..F22 is which region. The order used here is inferred
(correlations between walls that two slices show; no relabelling within slices does better). So are the segments of the
17-segment model (Cerqueira et al., Circulation 2002;105:539, doi:10.1161/hc0402.102975) that a region covers, and the
scaling between slices.

Scaling between slices. Each slice has a maximum of its own, so that a region's count is
`log count = log scale of its slice + mean over its segments of log perfusion + residual`. The long-axis slices cross
the short-axis ones and tie their scales together. Logarithms of slice scales and the segments' deviations from the
map's level have normal priors around zero with the constants below (in effect: ridge regression). This makes the
estimate one constant matrix. It is applied to each exam and each phase alone; nothing is fitted across patients.

Geometry. The 15 segments of `cohort.segments`: mid and basal septum are one 120-degree sector each, as in the data.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cohort.segments import SEGMENTS_15

_SLICES: Final = (
    (("13",), ("16",), ("15",), ("14",)),  # F1-F4, short axis, apical: anterior, lateral, inferior, septal
    (("7",), ("12",), ("11",), ("10",), ("8+9",)),  # F5-F9, short axis, mid
    (("1",), ("6",), ("5",), ("4",), ("2+3",)),  # F10-F14, short axis, basal
    (
        ("17",),
        ("16", "12", "11"),
        ("6", "5"),
        ("14", "8+9"),
    ),  # F15-F18, horizontal: apex, lateral, base, septal
    (("13", "7", "1"), ("17",), ("15", "10"), ("4",)),  # F19-F22, vertical: anterior, apex, inferior, base
)
"""The segments each of the 22 regions covers, slice by slice, in the order F1..F22."""

_RESIDUAL_SD: Final = 0.05
"""Of a log count around its model: about the repeatability of a segment (4 % a scan)."""
_SLICE_SD: Final = 0.10
"""Of a slice's log scale around the common one."""
_SEGMENT_SD: Final = 0.15
"""Of a segment's log perfusion around the map's level; wide, so that a defect is hardly shrunk."""


def _segment_operator() -> NDArray[np.float64]:
    """The matrix from log counts of 22 regions to log perfusion of 15 segments.

    Returns:
        `[15, 22]`, a constant. Its rows sum to 1: counts that double double the perfusion.
    """
    design = np.hstack([np.ones((22, 1)), _coverage(), _slice_membership()])
    # Residual variance over prior variance; the level itself has no prior.
    ridge = [0.0] + [(_RESIDUAL_SD / _SEGMENT_SD) ** 2] * 15 + [(_RESIDUAL_SD / _SLICE_SD) ** 2] * 5
    solution = np.linalg.solve(design.T @ design + np.diag(ridge), design.T)
    operator: NDArray[np.float64] = solution[:1] + solution[1:16]
    return operator


def _coverage() -> NDArray[np.float64]:
    """`[22, 15]`, rows sum to 1: which segments a region averages."""
    names = [segment.name for segment in SEGMENTS_15]
    coverage = np.zeros((22, 15))
    for region, covered in enumerate(covered for regions in _SLICES for covered in regions):
        for name in covered:
            coverage[region, names.index(name)] = 1 / len(covered)
    return coverage


def _slice_membership() -> NDArray[np.float64]:
    """`[22, 5]` of 0 and 1."""
    return np.repeat(np.eye(5), [len(regions) for regions in _SLICES], axis=0)


def segment_values(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring the counts of one phase to a common scale, segment by segment.

    Args:
        counts: `[..., 22]`, percent of the slice's maximum; below 1 counts as 1.

    Returns:
        `[..., 15]`, percent, in the order of `SEGMENTS_15`.
    """
    values: NDArray[np.float64] = np.exp(np.log(np.maximum(counts, 1.0)) @ _segment_operator().T)
    return values
