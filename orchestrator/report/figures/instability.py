"""Instability: the probabilities that repeats give each exam, against their mean.

Riley & Collins 2023, doi:10.1002/bimj.202200302.
"""

import numpy as np
import pandas as pd

from orchestrator.report.figures.drawing import FAINT, SERIES, Drawing, Place, key_of, panel, square
from orchestrator.report.models import CrossValidated
from orchestrator.statistics.scores import Flags


def instability(place: Place, model: CrossValidated) -> Drawing | None:
    """The plot of one input configuration; None with one repeat, which cannot disagree with itself.

    Args:
        place: Which model, of whom.
        model: Its held-out predictions.
    """
    probabilities = model.probabilities
    if len(probabilities) < 2 or np.isnan(probabilities).any():
        return None
    mean, low, high = probabilities.mean(axis=0), probabilities.min(axis=0), probabilities.max(axis=0)
    changing: Flags = np.zeros(mean.size, dtype=np.bool_)
    if model.positive is not None:
        changing = np.ptp(model.positive.astype(np.int8), axis=0) > 0
    figure, axes = panel()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    for chosen, colour, name in ((~changing, SERIES[0], "same decision"), (changing, SERIES[1], "decision changes")):
        if not chosen.any():
            continue
        # One path with gaps instead of a line an exam keeps the page small.
        gaps = np.full(chosen.sum(), np.nan)
        across = np.column_stack([mean[chosen], mean[chosen], gaps]).ravel()
        up = np.column_stack([low[chosen], high[chosen], gaps]).ravel()
        axes.plot(across, up, color=colour, linewidth=1.0, alpha=0.8, label=f"{name}: {chosen.sum()} exams")
    square(axes, "mean probability over repeats", "lowest to highest over repeats")
    axes.set_title(place.inputs)
    axes.legend(loc="lower right")
    # Sorted by mean, not in the cohort's order: the data of a figure names no exam.
    order = np.lexsort((high, low, mean))
    frame = pd.DataFrame({"mean": mean, "low": low, "high": high, "decision_changes": changing}).iloc[order]
    return Drawing(
        key=key_of("instability", place.tracer, place.inputs),
        section="stability",
        title=f"Instability of probabilities: {place.tracer}, {place.inputs}",
        description="Each exam's lowest and highest probability over the repeats of the cross-validation against the "
        "mean; the longer the lines, the more a patient's result depends on chance in training.",
        caption=(
            f"{place.about}. A line an exam, from the lowest to the highest of its "
            f"{len(probabilities)} held-out probabilities, one a repeat, as the networks give them. ",
            *place.counted,
        ),
        data=frame,
        figure=figure,
    )  # fmt: skip
