"""ROC curves: the mean over folds and repeats with a band over patients, and the test partition's own curve."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from orchestrator.report.counts import too_few
from orchestrator.report.figures.drawing import FAINT, INK, SERIES, Drawing, Place, key_of, panel, square
from orchestrator.report.figures.models import Sides
from orchestrator.report.models import CrossValidated, Tested
from orchestrator.report.traced import Phrase
from orchestrator.statistics.roc import mean_curve, patient_band, roc_curve

_DRAWS = 500


def roc(development: Place, test: Place, sides: Sides, level: float) -> Drawing | None:
    """The curves of one input configuration; None where every partition has too few patients of a class for one.

    Args:
        development: Of the cross-validation.
        test: Of the test partition.
        sides: The models in both.
        level: Of the band.
    """
    figure, axes = panel()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    frames = []
    caption: list[Phrase] = [f"{development.tracer}, {development.endpoint}."]
    # A curve of few steps invites to read an AUC off it.
    if sides.development is not None and too_few(sides.development.scores.exams):
        caption += [" Cross-validation has too few patients of a class for a curve; ", *development.counted]
    elif sides.development is not None:
        frames.append(_cross_validated(axes, sides.development, level))
        band = f" Line: mean of the folds' curves over all repeats, at equal specificity; band: {100 * level:g}% of "
        caption += [band, "patient bootstraps, each point by itself; ", *development.counted]
    if sides.test is not None and too_few(sides.test.scores.exams):
        caption += [" The test partition has too few patients of a class for a curve; ", *test.counted]
    elif sides.test is not None:
        frames.append(_tested(axes, sides.test))
        caption += [" Steps: the final network on the test partition, cross: at its frozen threshold; ", *test.counted]
    if not frames:
        return None
    square(axes, "1 − specificity", "sensitivity")
    axes.set_title(sides.inputs)
    axes.legend(loc="lower right")
    return Drawing(
        key=key_of("roc", development.tracer, sides.inputs),
        section="discrimination",
        title=f"ROC curves: {development.tracer}, {sides.inputs}",
        description="Sensitivity against one minus specificity, from bottom left to top right; the further above the "
        "diagonal, the better the classes are told apart.",
        caption=tuple(caption),
        data=pd.concat(frames, ignore_index=True),
        figure=figure,
    )


def _cross_validated(axes: Axes, model: CrossValidated, level: float) -> pd.DataFrame:
    grid, mean = mean_curve(model.scores)
    low, high = patient_band(model.scores, level, _DRAWS)
    axes.fill_between(grid, low, high, color=SERIES[0], alpha=0.2, linewidth=0)
    axes.plot(grid, mean, color=SERIES[0], label="cross-validation")
    return pd.DataFrame(
        {"partition": "development", "one_minus_specificity": grid, "sensitivity": mean, "low": low, "high": high}
    )


def _tested(axes: Axes, model: Tested) -> pd.DataFrame:
    labels = model.scores.exams.labels
    curve = roc_curve(model.scores.scores, labels)
    axes.step(curve[:, 0], curve[:, 1], where="post", color=INK, linewidth=1.1, label="test partition")
    if model.positive is not None:
        # Where the threshold that was frozen before the test puts it.
        place = np.mean(model.positive[~labels]), np.mean(model.positive[labels])
        axes.plot(*place, "x", color=SERIES[1], markersize=7, markeredgewidth=1.8, clip_on=False)
    return pd.DataFrame({"partition": "test", "one_minus_specificity": curve[:, 0], "sensitivity": curve[:, 1]})
