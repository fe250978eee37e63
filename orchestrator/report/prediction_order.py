"""Whether a probability rises with its score: the AUC are of scores, calibration and decisions of probabilities.

A score of the opposite event, or the column of the other class, turns one of the two around, and nothing else in a
report would say so.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.report.prediction_table import numbers_of

_MODEL: Final = ("model", "inputs", "tracer", "partition")
_PLACE: Final = (*_MODEL, "repeat", "fold", "member")
"""Within one place a network, or a calibration of it, made the probabilities from the scores."""
_ROUNDING: Final = 1e-6
"""Of a probability; two libraries differ by that much in nearly equal scores."""
_NEARLY_ONE: Final = 0.995


def order_notices(known: pd.DataFrame) -> Iterator[str]:
    """A notice where probabilities order some exams otherwise than scores, as calibrations of averages may.

    Args:
        known: Predictions whose values were checked, with columns of known names.

    Raises:
        StatisticsError: The probabilities of a model fall as its scores rise.
    """
    if not {"score", "probability"} <= set(known.columns):
        return
    disordered = _disordered(known)
    opposite = {model: rank for model, rank in disordered.items() if rank < 0}
    if opposite:
        raise StatisticsError(
            f"`probability` falls as `score` rises{_named(opposite)}: one of them is of the other label; change the "
            "sign of `score`, take 1 - `probability`, or delete the column that is not meant"
        )
    if disordered:
        yield (
            f"`probability` orders some exams otherwise than `score`{_named(disordered)}: AUC are of the score, "
            "calibration and decisions of the probability"
        )


def _disordered(known: pd.DataFrame) -> dict[str, float]:
    """The models where, in some place, a higher score has a lower probability, with their rank correlation."""
    both = pd.DataFrame({name: numbers_of(known[name]) for name in ("score", "probability")}, index=known.index)
    both["place"] = _numbered(known, _PLACE)
    both["model"] = _numbered(known, _MODEL)
    # With equal scores ordered by probability, a fall lies between different scores: rounding makes ties, not falls.
    rising = both.sort_values(["place", "score", "probability"])
    falls = rising["probability"] < rising.groupby("place")["probability"].cummax() - _ROUNDING
    found = {}
    for number in rising.loc[falls, "model"].unique():
        mine = both[both["model"] == number]
        row = known.loc[mine.index[0]]
        found[", ".join(str(row[name]) for name in _MODEL if name in known)] = _rank_correlation(mine)
    return found


def _numbered(known: pd.DataFrame, names: tuple[str, ...]) -> "pd.Series[int]":
    """A number for every combination of the values of those columns that are there."""
    present = [name for name in names if name in known]
    whole = pd.Series(0, index=known.index)
    return known.groupby(present, dropna=False, sort=False).ngroup() if present else whole


def _rank_correlation(both: pd.DataFrame) -> float:
    """Spearman's, of ranks within each place; 0 where one of the two is constant."""
    ranks = both.groupby("place")[["score", "probability"]].rank()
    centred = ranks - ranks.groupby(both["place"]).transform("mean")
    x, y = centred["score"].to_numpy(), centred["probability"].to_numpy()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else 0.0


def _named(ranks: dict[str, float]) -> str:
    """The first model with its correlation, and how many more there are."""
    (model, rank), *others = ranks.items()
    correlation = f"above {_NEARLY_ONE - 0.005:.2f}" if rank > _NEARLY_ONE else f"{rank:.2f}"
    more = f", and {len(others)} more" if others else ""
    return f" ({model}{', ' if model else ''}rank correlation {correlation}{more})"
