"""A clinical colour map: black, dark blue, green, yellow, red, white for increasing uptake."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

# Uptake relative to the maximum, and its red, green and blue; linear between the rows.
_ANCHORS: Final = (
    (0.00, (0, 0, 0)),
    (0.08, (24, 0, 60)),
    (0.20, (20, 20, 150)),
    (0.33, (0, 90, 200)),
    (0.45, (0, 160, 130)),
    (0.55, (60, 190, 40)),
    (0.66, (220, 220, 0)),
    (0.78, (255, 150, 0)),
    (0.90, (235, 40, 20)),
    (1.00, (255, 255, 255)),
)


def _colour_table() -> NDArray[np.uint8]:
    """Red, green and blue `[256, 3]` for an uptake of 0 to 100 % of the maximum."""
    along = np.linspace(0.0, 1.0, 256)
    places = [place for place, _ in _ANCHORS]
    channels = [np.interp(along, places, [colour[c] for _, colour in _ANCHORS]) for c in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


def coloured(counts: NDArray[np.generic]) -> NDArray[np.uint8]:
    """A map of counts `[H, W]` as an image `[H, W, 3]`, scaled to its own maximum."""
    values = counts.astype(np.float64)
    scaled = np.rint(255.0 * values / max(float(values.max()), 1.0)).astype(np.int64)
    return _colour_table()[scaled]
