"""Calibration at any size: groups with intervals, a curve where events allow it, and where the probabilities lie."""

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.report.figures.drawing import FAINT, INK, SERIES, Drawing, Place, add_panel, key_of
from orchestrator.report.layout import PARTITION_NAMES
from orchestrator.report.probabilities import Probabilities
from orchestrator.statistics.calibration_curve import (
    CURVE_EVENTS,
    CalibrationCurve,
    calibration_curve,
    calibration_groups,
)
from orchestrator.statistics.scores import Exams, Floats

_BINS: Final = np.linspace(0, 1, 21)
_KINDS: Final = {"loess": "local regression (loess)", "logistic": "logistic curve, two parameters"}


def calibration(place: Place, found: Probabilities, level: float) -> Drawing:
    """Groups and curve of the probabilities that are judged, with the curve of the raw ones beside it.

    Args:
        place: Which model, of whom.
        found: Its probabilities.
        level: Of intervals and bands.
    """
    figure = Figure(figsize=(3.35, 3.1))
    axes = add_panel(figure, left=0.55, below=1.1, height=1.74)
    axes.tick_params(labelbottom=False)
    below = add_panel(figure, left=0.55, below=0.45, height=0.53, above=axes)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    frame = _groups(found, level)
    errors = [frame["observed"] - frame["low"], frame["high"] - frame["observed"]]
    axes.errorbar(
        frame["predicted"], frame["observed"], yerr=errors, fmt="o", color=SERIES[0], markersize=4, linewidth=1,
        clip_on=False,
    )  # fmt: skip
    curves = [
        (name, colour, dashes, calibration_curve(values, found.exams, level))
        for name, colour, dashes, values in (
            (found.judged_name, SERIES[0], "-", found.judged),
            (found.raw_name, SERIES[1], "--", found.raw),
        )
    ]
    for name, colour, dashes, curve in curves:
        if curve is not None:
            _draw(axes, curve, colour, dashes, name)
    # Not of equal aspect: the histogram below shares the width.
    axes.set(ylabel="observed frequency", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"{place.inputs}, {PARTITION_NAMES[place.partition]}")
    if curves[0][3] is not None:
        axes.legend(loc="upper left")
    _histogram(below, found.judged, found.exams)
    curve = curves[0][3]
    return Drawing(
        key=key_of("calibration", place.tracer, place.partition, place.inputs),
        section="calibration",
        title=f"Calibration: {place.tracer}, {place.inputs}, {PARTITION_NAMES[place.partition]}",
        description="Observed frequency of events against predicted probability; on the diagonal both are equal, below "
        "it probabilities are too high. The histogram below counts probabilities, exams with the event upwards.",
        caption=(
            f"{place.about}. Points: groups of nearly equal size "
            f"by probability, lines: Wilson's {100 * level:g}% intervals over patients. {_curve_words(curve, level)} "
            "Below: probabilities, exams with the event upwards, without it downwards. ",
            *place.counted,
        ),
        data=pd.concat(
            [frame.assign(series="groups"), *(_frame(curve, name) for name, _, _, curve in curves)], ignore_index=True
        ),
        figure=figure,
    )  # fmt: skip


def _groups(found: Probabilities, level: float) -> pd.DataFrame:
    groups = calibration_groups(found.judged, found.exams, level, inflation=found.inflation)
    return pd.DataFrame(
        {
            "predicted": [one.predicted for one in groups],
            "observed": [one.observed.estimate for one in groups],
            "low": [one.observed.low for one in groups],
            "high": [one.observed.high for one in groups],
            "exams": [one.exams for one in groups],
        }
    )


def _draw(axes: Axes, curve: CalibrationCurve, colour: str, dashes: str, name: str) -> None:
    # The band of the judged curve only: two would hide each other.
    if dashes == "-":
        axes.fill_between(curve.predicted, curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(curve.predicted, curve.observed, color=colour, linestyle=dashes, label=name)


def _curve_words(curve: CalibrationCurve | None, level: float) -> str:
    if curve is None:
        return f"No curve: fewer than {CURVE_EVENTS} patients of a class."
    return f"Curve: {_KINDS[curve.kind]}; band: {100 * level:g}% of patient bootstraps, each point by itself."


def _histogram(axes: Axes, probabilities: Floats, exams: Exams) -> None:
    values = np.atleast_2d(probabilities)
    # Of repeats the mean number of exams, so that heights stay exams.
    for label, sign, colour in ((True, 1, INK), (False, -1, FAINT)):
        heights = np.histogram(values[:, exams.labels == label], bins=_BINS)[0] / len(values)
        axes.bar(_BINS[:-1], sign * heights, width=np.diff(_BINS), align="edge", color=colour, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.5)
    axes.set(xlabel="predicted probability", xlim=(0, 1), ylabel="exams")
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    # Both directions count exams: no minus sign.
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")


def _frame(curve: CalibrationCurve | None, name: str) -> pd.DataFrame:
    if curve is None:
        return pd.DataFrame()
    points = {part: getattr(curve, part) for part in ("predicted", "observed", "low", "high")}
    return pd.DataFrame({**points, "series": f"{name}, {curve.kind}"})
