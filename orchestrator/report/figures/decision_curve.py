"""Decision curves: net benefit over the threshold probability, with treating everybody and nobody."""

from typing import Final

import numpy as np
import pandas as pd

from orchestrator.report.figures.drawing import FAINT, INK, SERIES, Drawing, Place, key_of, panel
from orchestrator.report.layout import PARTITION_NAMES
from orchestrator.report.probabilities import Probabilities
from orchestrator.statistics.net_benefit import net_benefit

_THRESHOLDS: Final = np.round(np.arange(0.02, 0.81, 0.02), 2)
# Where the summary has rows.
_MARKED: Final = (0.1, 0.2, 0.3, 0.4, 0.5)


def decision_curve(place: Place, found: Probabilities, level: float) -> Drawing:
    """The decision curve of one model.

    Args:
        place: Which model, of whom.
        found: Its probabilities.
        level: Of the band.
    """
    points = [
        net_benefit(found.judged, found.exams, float(threshold), level, inflation=found.inflation)
        for threshold in _THRESHOLDS
    ]
    frame = pd.DataFrame(
        {
            "threshold": _THRESHOLDS,
            "net_benefit": [one.model.estimate for one in points],
            "low": [one.model.low for one in points],
            "high": [one.model.high for one in points],
            "treat_all": [one.treat_all for one in points],
            "treat_none": 0.0,
        }
    )
    figure, axes = panel(height=2.55)
    axes.fill_between(frame["threshold"], frame["low"], frame["high"], color=SERIES[0], alpha=0.15, linewidth=0)
    axes.plot(frame["threshold"], frame["net_benefit"], color=SERIES[0], label="by the model")
    marked = frame[frame["threshold"].isin(_MARKED)]
    axes.plot(marked["threshold"], marked["net_benefit"], "o", color=SERIES[0], markersize=3.5)
    axes.plot(frame["threshold"], frame["treat_all"], color=SERIES[1], linestyle="--", label="treat all")
    axes.axhline(0, color=INK, linewidth=0.9, linestyle=":", label="treat none")
    prevalence = float(found.exams.labels.mean())
    axes.axvline(prevalence, color=FAINT, linewidth=0.7, linestyle=":")
    # Treating everybody falls without bound; what matters lies around zero.
    axes.set_ylim(-0.25 * prevalence - 0.02, max(prevalence, frame["high"].max()) * 1.05)
    axes.set(xlabel="threshold probability", ylabel="net benefit", xlim=(0, _THRESHOLDS[-1]))
    axes.set_title(f"{place.inputs}, {PARTITION_NAMES[place.partition]}")
    axes.legend(loc="upper right")
    return Drawing(
        key=key_of("decision-curve", place.tracer, place.partition, place.inputs),
        section="net-benefit",
        title=f"Decision curve: {place.tracer}, {place.inputs}, {PARTITION_NAMES[place.partition]}",
        description="Net benefit of treating by the model at every threshold probability, beside treating everybody "
        "and nobody; the model is of use where its line is above both.",
        caption=(
            f"{place.about}. Net benefit of calling positive at a probability of the threshold or more "
            f"({found.judged_name}). Band: {100 * level:g}% intervals over patients (Wilson's of both shares, combined "
            "by MOVER). Points: thresholds of the tables. Vertical line: the prevalence. ",
            *place.counted,
        ),
        data=frame,
        figure=figure,
    )  # fmt: skip
