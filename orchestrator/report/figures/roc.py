"""ROC curves: the mean over folds and repeats with a band over patients, and the test partition's own curve."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from orchestrator.report.figures.drawing import FAINT, INK, SERIES, Drawing, key_of, panel, square
from orchestrator.report.figures.models import Sides
from orchestrator.report.models import CrossValidated
from orchestrator.report.traced import Phrase
from orchestrator.statistics.roc import mean_curve, patient_band, roc_curve

_DRAWS = 500


def roc(tracer: str, endpoint: str, sides: Sides, level: float, counted: tuple[Phrase, ...]) -> Drawing:
    """The curves of one input configuration.

    Args:
        tracer: The tracer.
        endpoint: What was predicted.
        sides: Its models.
        level: Of the band.
        counted: Patients and events in both partitions, for the caption.
    """
    figure, axes = panel()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
    frames = []
    if sides.development is not None:
        frames.append(_cross_validated(axes, sides.development, level))
    if sides.test is not None:
        curve = roc_curve(sides.test.scores.scores, sides.test.scores.exams.labels)
        axes.step(curve[:, 0], curve[:, 1], where="post", color=INK, linewidth=1.1, label="test partition")
        frames.append(
            pd.DataFrame({"partition": "test", "one_minus_specificity": curve[:, 0], "sensitivity": curve[:, 1]})
        )
        _decided(axes, sides)
    square(axes, "1 − specificity", "sensitivity")
    axes.set_title(sides.inputs)
    axes.legend(loc="lower right")
    return Drawing(
        key=key_of("roc", tracer, sides.inputs),
        section="discrimination",
        title=f"ROC curves: {tracer}, {sides.inputs}",
        description="Sensitivity against one minus specificity, from bottom left to top right; the further above the "
        "diagonal, the better the classes are told apart.",
        caption=(
            f"{tracer}, {endpoint}. Line: mean of the folds' curves over all repeats, at equal specificity; band: "
            f"{level:.0%} of patient bootstraps, each point by itself; steps: the final network on the test partition, "
            "cross: at its frozen threshold. ", *counted),
        data=pd.concat(frames, ignore_index=True),
        figure=figure,
    )  # fmt: skip


def _cross_validated(axes: Axes, model: CrossValidated, level: float) -> pd.DataFrame:
    grid, mean = mean_curve(model.scores)
    low, high = patient_band(model.scores, level, _DRAWS)
    axes.fill_between(grid, low, high, color=SERIES[0], alpha=0.2, linewidth=0)
    axes.plot(grid, mean, color=SERIES[0], label="cross-validation")
    return pd.DataFrame(
        {"partition": "development", "one_minus_specificity": grid, "sensitivity": mean, "low": low, "high": high}
    )


def _decided(axes: Axes, sides: Sides) -> None:
    """A cross where the frozen threshold puts the test partition."""
    assert sides.test is not None
    if sides.test.positive is None:
        return
    labels, called = sides.test.scores.exams.labels, sides.test.positive
    axes.plot(
        np.mean(called[~labels]), np.mean(called[labels]), "x", color=SERIES[1], markersize=7, markeredgewidth=1.8
    )
