"""Whether the coloured maps of a cohort were drawn in one colour scale."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from mpi_model.maps import FULL_SCALE

_STEPS: Final = 16
"""Levels of a channel that are told apart."""
_SHARE: Final = 0.65
"""Share of the poorer map's colours that the other one has, from which both are of one scale. Maps of one scale have in
common the colours of the uptake that both show. Among 240 simulated patients each map had at least .9 with some others
of its scale, and at most .47 with those of another one (November 2026)."""
_FEWEST: Final = 5
"""Colours of a map, below which it says nothing about its scale."""
_LEAST: Final = 3
"""Pixels of a colour, below which it may be an edge that resampling has mixed."""


def colour_scales(pixels: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Group coloured maps by the colours that they are drawn in.

    Args:
        pixels: `[N, 3, size, size]`, 0..FULL_SCALE for 0..1.

    Returns:
        `[N]`, the scale of each map: 0 is the most frequent; −1 for a map without colour.
    """
    has = _colours(pixels)
    coloured = np.flatnonzero(has.sum(axis=1) >= _FEWEST)
    scales = np.full(len(pixels), -1, dtype=np.int64)
    if not len(coloured):
        return scales
    mine = has[coloured].astype(np.float64)
    shared = mine @ mine.T
    smaller = np.minimum.outer(mine.sum(axis=1), mine.sum(axis=1))
    alike = shared >= _SHARE * smaller
    groups = connected_components(alike, directed=False)[1]
    order = np.argsort(-np.bincount(groups), kind="stable")
    scales[coloured] = np.argsort(order)[groups]
    return scales


def _colours(pixels: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """`[N, 16³]`, which saturated colours a map has; grey, black and white are in most scales and tell nothing."""
    count = len(pixels)
    values = pixels.reshape(count, 3, -1).astype(np.int64)
    chroma = values.max(axis=1) - values.min(axis=1)
    steps = np.minimum(values * _STEPS // (FULL_SCALE + 1), _STEPS - 1)
    codes = (steps[:, 0] * _STEPS + steps[:, 1]) * _STEPS + steps[:, 2]
    found = np.zeros((count, _STEPS**3), dtype=np.bool_)
    for number in range(count):
        vivid = codes[number][chroma[number] > FULL_SCALE // 4]
        found[number] = np.bincount(vivid, minlength=_STEPS**3) >= _LEAST
    return found
