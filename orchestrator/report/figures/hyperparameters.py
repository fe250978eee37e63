"""The objective against each hyperparameter that the search drew, with what was pruned."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from orchestrator.report.figures.drawing import FAINT, SERIES, Drawing, key_of, panel

_MARKERS: Final = ("o", "s", "^", "D", "v")
_CELL: Final = ["inputs", "repeat", "fold"]
# From this ratio of largest to smallest value an axis is logarithmic, as learning rates are drawn.
_LOGARITHMIC: Final = 50


def searched_columns(candidates: pd.DataFrame) -> list[str]:
    """The columns of hyperparameters that differ between candidates."""
    names = [str(name) for name in candidates.columns if str(name).startswith("hp_")]
    return [name for name in names if candidates[name].nunique(dropna=True) > 1]


def relative_objective(candidates: pd.DataFrame) -> "pd.Series[float]":
    """The objective less the median of its cell: cells differ more than candidates do."""
    kept = candidates["objective"].where(candidates["state"] == "complete")
    # The final cell has neither repeat nor fold; it is a cell like the others.
    median = kept.groupby([candidates[name] for name in _CELL], dropna=False).transform("median")
    return kept - median


def hyperparameters(candidates: pd.DataFrame, inputs: Sequence[str], objective: str) -> list[Drawing]:
    """One panel a hyperparameter; none where none was searched.

    Args:
        candidates: Of the run.
        inputs: The input configurations, in order.
        objective: What the search chose by.
    """
    if candidates.empty:
        return []
    relative = relative_objective(candidates)
    return [_panel(candidates, relative, name, inputs, objective) for name in searched_columns(candidates)]


def _panel(
    candidates: pd.DataFrame, relative: "pd.Series[float]", name: str, inputs: Sequence[str], objective: str
) -> Drawing:
    figure, axes = panel(height=2.8, left=0.72)
    values = candidates[name].astype(np.float64)
    words = name.removeprefix("hp_").replace("_", " ")
    for place, one in enumerate(inputs):
        chosen = (candidates["inputs"] == one) & relative.notna() & values.notna()
        axes.plot(
            values[chosen], relative[chosen], linestyle="none", marker=_MARKERS[place % len(_MARKERS)], markersize=3,
            color=SERIES[place % len(SERIES)], alpha=0.5, markeredgewidth=0, label=one,
        )  # fmt: skip
    pruned = (candidates["state"] == "pruned") & values.notna()
    if relative.notna().any():
        low, high = np.nanquantile(relative, (0.01, 0.97))
        reach = max(high - low, 1e-6)
        axes.set_ylim(low - 0.18 * reach, high + 0.05 * reach)
    # Pruned candidates have no objective: a rug below the others.
    axes.plot(
        values[pruned], np.full(pruned.sum(), 0.03), linestyle="none", marker="|", markersize=5, color=FAINT,
        transform=axes.get_xaxis_transform(), label="pruned",
    )  # fmt: skip
    if values.min() > 0 and values.max() / values.min() > _LOGARITHMIC:
        axes.set_xscale("log")
        # Matplotlib's own labels are formulas, which the house style leaves unread.
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel=words, ylabel="objective − median of its cell")
    axes.legend(loc="upper left", ncols=2, handletextpad=0.1, columnspacing=0.8)
    frame = pd.DataFrame(
        {"inputs": candidates["inputs"], "state": candidates["state"], words: values, "relative_objective": relative}
    )
    better = "lower is better" if objective == "balanced_log_loss" else "higher is better"
    return Drawing(
        key=key_of("objective", words),
        section="search",
        title=f"Objective against {words}",
        description=f"Each candidate's objective, less the median of its cell, against {words}; {better}.",
        caption=(
            f"A point a candidate, all cells: {objective.replace('_', ' ')} on inner folds, less the median of the "
            f"candidate's cell ({better}). The few worst may lie beyond the axis. Pruned candidates, below, have none.",
        ),
        data=frame[values.notna()],
        figure=figure,
    )
