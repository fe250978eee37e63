"""A polar map in words, from its 17 segment means: "severe inferior defect at stress, none at rest"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from orchestrator.report.manuscript.wording import listed
from orchestrator.statistics.scores import Floats

_WALLS: Final[Mapping[str, tuple[int, ...]]] = {
    "anterior": (1, 7, 13),
    "septal": (2, 3, 8, 9, 14),
    "inferior": (4, 10, 15),
    "lateral": (5, 6, 11, 12, 16),
    "apical": (17,),
}
"""The 17 segments (Cerqueira et al. 2002, doi:10.1161/hc0402.102975) by wall."""
_SEVERITIES: Final = ((5.0, "severe"), (4.0, "moderate"), (3.0, "mild"))
"""How many standard deviations below the reference a wall's lowest segment lies, at least, to be called so. Normal
databases often use 2.5; of 17 segments one would then be beyond it by chance in a tenth of all maps."""
# Exams of a tracer from which a reference is made; fewer do not tell what is usual.
_FEWEST: Final = 10
# The mean absolute deviation of a normal distribution times this is its standard deviation.
_TO_DEVIATION: Final = 1.4826


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Usual:
    """What the maps of one tracer and phase usually show where there is no event."""

    centre: Floats
    """`[17]`, medians of segment means as shares of the map's highest segment."""
    deviation: Floats
    """`[17]`, robust standard deviations."""

    @classmethod
    def of(cls, segments: Floats) -> "_Usual | None":
        """From the segment means of exams without the event, `[N, 17]`; None from fewer than ten."""
        if len(segments) < _FEWEST:
            return None
        shares = _shares(segments)
        centre = np.median(shares, axis=0)
        # Medians, because some exams without the event have a defect.
        deviation = _TO_DEVIATION * np.median(np.abs(shares - centre), axis=0)
        # A floor of one per cent of the maximum: the highest segment varies least, and is no measure of a defect.
        return cls(centre=centre, deviation=np.maximum(deviation, 0.01))

    def below(self, segments: Floats) -> Floats:
        """By how many standard deviations each segment of one map, `[17]`, lies below what is usual."""
        found: Floats = (self.centre - _shares(segments[None])[0]) / self.deviation
        return found


def _shares(segments: Floats) -> Floats:
    # Of the map's own highest segment: maps are scaled by other rules at every centre.
    found: Floats = segments / np.maximum(segments.max(axis=1, keepdims=True), 1e-9)
    return found


def _defect_in_words(below: Floats) -> str:
    """`severe inferior and mild apical defect`, or `none`: every wall beyond the limit with its own severity.

    Args:
        below: `[17]`, standard deviations below what is usual.
    """
    depths = {wall: float(max(below[number - 1] for number in numbers)) for wall, numbers in _WALLS.items()}
    parts = []
    for place, (least, name) in enumerate(_SEVERITIES):
        beyond = _SEVERITIES[place - 1][0] if place else np.inf
        walls = [wall for wall, depth in depths.items() if least <= depth < beyond]
        if walls:
            parts.append(f"{name} {listed(walls)}")
    return f"{listed(parts)} defect" if parts else "none"


def maps_in_words(maps: pd.DataFrame, exams: pd.DataFrame, phases: Sequence[str] = ("stress", "rest")) -> list[str]:
    """Each exam's maps in words, by the usual maps of its tracer among development exams without the event.

    Args:
        maps: `stress_segment_1` … `rest_segment_17`, in the order of the exams.
        exams: `tracer, label, partition`.
        phases: Those to describe.

    Returns:
        One text an exam; empty where no phase can be described.
    """
    parts: list[list[str]] = [[] for _ in range(len(exams))]
    tracers = exams["tracer"].to_numpy()
    for phase in phases:
        names = [f"{phase}_segment_{number}" for number in range(1, 18)]
        if not set(names) <= set(maps.columns):
            continue
        values = maps[names].to_numpy(np.float64)
        there = ~np.isnan(values).any(axis=1)
        plain = there & (exams["label"].to_numpy() == 0) & (exams["partition"].to_numpy() == "development")
        for tracer in np.unique(tracers):
            usual = _Usual.of(values[plain & (tracers == tracer)])
            for exam in np.flatnonzero(there & (tracers == tracer)) if usual is not None else ():
                assert usual is not None
                parts[exam].append(f"{_defect_in_words(usual.below(values[exam]))} at {phase}")
    return [_joined(found) for found in parts]


def _joined(found: Sequence[str]) -> str:
    if len(found) > 1 and all(one.startswith("none") for one in found):
        return f"no defect at {' or '.join(one.rpartition(' ')[2] for one in found)}"
    return ", ".join(f"no defect {one.removeprefix('none ')}" if one.startswith("none") and place == 0 else one
                     for place, one in enumerate(found))  # fmt: skip
