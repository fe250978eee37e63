"""What predictions of anybody's say that may not be what was meant."""

from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np
import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.cohort.identifiers import look_alike_notices
from orchestrator.cohort.problems import rows_text
from orchestrator.report.prediction_table import numbers_of

_MODEL: Final = ("model", "inputs", "tracer", "partition")
_PLACE: Final = (*_MODEL, "repeat", "fold", "member")
"""Within one place a network, or a calibration of it, made the probabilities from the scores."""
_ROUNDING: Final = 1e-6
"""Of a probability; two libraries differ by that much in nearly equal scores."""
_OPPOSITE: Final = -0.5
"""Rank correlation below which one of the two is of the other label; unrelated ones are said, and judged."""
_NEARLY_ONE: Final = 0.995
_TURNED: Final = {"score": "change the sign of `score`", "probability": "take 1 - `probability`"}


def notices_of(known: pd.DataFrame) -> Iterator[str]:
    """Notices about ids that look alike, probabilities against scores, and columns that contradict their names.

    Args:
        known: Predictions whose values were checked, with columns of known names.

    Raises:
        StatisticsError: The probabilities of a model fall as its scores rise.
    """
    yield from _on_order(
        known, "score", "probability", "AUCs are of the score, calibration and decisions of the probability"
    )
    # The decisions of members are made together, and those of a threshold were compared with it.
    if known.get("member", pd.Series(0)).nunique() == 1 and "threshold" not in known:
        by = "probability" if "probability" in known else "score"
        yield from _on_order(known, by, "positive", "decisions are judged as they are given")
    if "patient_id" in known:
        first = known["patient_id"].drop_duplicates()
        yield from look_alike_notices(zip(first.index.tolist(), first, strict=True), partial(rows_text, called=""))
    if "threshold" in known:
        cuts = pd.Series(numbers_of(known["threshold"]), index=known.index).groupby(_numbered(known, _PLACE)).nunique()
        if (cuts > 1).any():
            yield (
                f"in {(cuts > 1).sum()} of {cuts.size} networks the threshold differs from exam to exam: sensitivity "
                "and specificity mean something only if it was fixed before these exams were seen"
            )
    if "probability" not in known and (np.abs(numbers_of(known["score"]) - 0.5) <= 0.5).all():
        yield (
            "all scores lie in [0, 1]: if they are probabilities, call the column `probability`, and decisions, "
            "calibration and net benefit are judged as well"
        )


def _on_order(known: pd.DataFrame, first: str, second: str, judged: str) -> Iterator[str]:
    """A notice where one column orders some exams otherwise than another, as calibrations of averages may.

    AUCs are of scores, calibration and decisions of probabilities. A score of the opposite event, or the column of the
    other class, turns one of the two around, and nothing else in a report would say so.

    Args:
        known: See `notices_of`.
        first: A column; nothing is said where it or the second is missing.
        second: The one that should rise with it.
        judged: What a report takes of the two.
    """
    if not {first, second} <= set(known.columns):
        return
    disordered = _disordered(known, first, second)
    opposite = {model: rank for model, rank in disordered.items() if rank < _OPPOSITE}
    if opposite:
        raise StatisticsError(
            f"`{second}` falls as `{first}` rises{_named(opposite)}: one of them is of the other label; "
            f"{_TURNED[first]}, take 1 - `{second}`, or delete the column that is not meant"
        )
    if disordered:
        yield f"`{second}` orders some exams otherwise than `{first}`{_named(disordered)}: {judged}"


def _disordered(known: pd.DataFrame, first: str, second: str) -> dict[str, float]:
    """The models where, in some place, the second column falls as the first rises, with their rank correlation."""
    both = pd.DataFrame({"x": numbers_of(known[first]), "y": numbers_of(known[second])}, index=known.index)
    both["place"] = _numbered(known, _PLACE)
    both["model"] = _numbered(known, _MODEL)
    # With equal scores ordered by probability, a fall lies between different scores: rounding makes ties, not falls.
    rising = both.sort_values(["place", "x", "y"])
    falls = rising["y"] < rising.groupby("place")["y"].cummax() - _ROUNDING
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
    ranks = both.groupby("place")[["x", "y"]].rank()
    centred = ranks - ranks.groupby(both["place"]).transform("mean")
    x, y = centred["x"].to_numpy(), centred["y"].to_numpy()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else 0.0


def _named(ranks: dict[str, float]) -> str:
    """The first model with its correlation, and how many more there are."""
    (model, rank), *others = ranks.items()
    correlation = f"above {_NEARLY_ONE - 0.005:.2f}" if rank > _NEARLY_ONE else f"{rank:.2f}"
    more = f", and {len(others)} more" if others else ""
    return f" ({model}{', ' if model else ''}rank correlation {correlation}{more})"
