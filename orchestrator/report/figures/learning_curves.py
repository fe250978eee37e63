"""Learning curves of the chosen candidates: loss per epoch on their own inner folds."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from orchestrator.report.figures.drawing import SERIES, Drawing, key_of, panel

_CELL: Final = ["inputs", "repeat", "fold"]
_LINES: Final = (
    ("training_loss", SERIES[1], "--", "training"),
    ("validation_loss", SERIES[0], "-", "inner validation"),
)
# Fewer curves than this share reach an epoch: its median would be that of the few that went on.
_LEAST_SHARE: Final = 0.25


def learning_curves(cells: pd.DataFrame, epochs: pd.DataFrame, inputs: Sequence[str]) -> list[Drawing]:
    """One panel an input configuration; none where no epochs are known.

    Args:
        cells: Of the run, with the chosen candidate.
        epochs: Of the run.
        inputs: The input configurations, in order.
    """
    if epochs.empty or "candidate" not in cells:
        return []
    done = cells[(cells["state"] == "complete") & cells["repeat"].notna()]
    chosen = epochs.merge(done[[*_CELL, "candidate"]], on=[*_CELL, "candidate"])
    found = [(name, chosen[chosen["inputs"] == name]) for name in inputs]
    top = chosen[["training_loss", "validation_loss"]].quantile(0.95).max() if len(chosen) else 1.0
    return [_panel(name, rows, float(top)) for name, rows in found if len(rows)]


def _panel(inputs: str, rows: pd.DataFrame, top: float) -> Drawing:
    figure, axes = panel(height=2.6, left=0.62)
    counts = rows.groupby("epoch").size()
    kept = counts.index[counts >= _LEAST_SHARE * counts.iloc[0]]
    by_epoch = rows[rows["epoch"].isin(kept)].groupby("epoch")
    parts = []
    for column, colour, dashes, name in _LINES:
        found = by_epoch[column].quantile(np.array([0.25, 0.5, 0.75])).unstack()
        axes.fill_between(found.index, found[0.25], found[0.75], color=colour, alpha=0.15, linewidth=0)
        axes.plot(found.index, found[0.5], color=colour, linestyle=dashes, label=name)
        parts.append(found.set_axis(["lower_quartile", "median", "upper_quartile"], axis=1).assign(loss=name))
    axes.set(xlabel="epoch", ylabel="loss", ylim=(0, top * 1.1), title=inputs)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.legend(loc="upper right")
    return Drawing(
        key=key_of("learning-curves", inputs),
        section="search",
        title=f"Learning curves: {inputs}",
        description="The median loss of the chosen candidates per epoch, in training and on inner validation folds; "
        "where the two part, the network begins to learn its training exams by heart.",
        caption=(
            "Lines: median over the chosen candidates' inner folds, all cells and tracers; bands: quartiles, a spread "
            "and no interval. Epochs that fewer than a quarter of the trainings reached are left out.",
        ),
        data=pd.concat(parts).reset_index(),
        figure=figure,
    )  # fmt: skip
