"""Which numbers of stages the cells chose: freeze depth, and where the encoder ends."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from orchestrator.report.figures.drawing import SERIES, Drawing, key_of, panel

_NAMES: Final = {"hp_freeze_depth": "freeze depth", "hp_encoder_stages": "encoder stages"}


def depths(cells: pd.DataFrame, inputs: Sequence[str]) -> list[Drawing]:
    """A histogram for each number of stages that cells chose differently.

    Args:
        cells: Of the run.
        inputs: The input configurations, in order.
    """
    done = cells[(cells["state"] == "complete") & cells["repeat"].notna()] if "state" in cells else cells.iloc[:0]
    return [
        _histogram(done, column, name, inputs)
        for column, name in _NAMES.items()
        if column in done and done[column].nunique(dropna=True) > 1
    ]


def _histogram(cells: pd.DataFrame, column: str, name: str, inputs: Sequence[str]) -> Drawing:
    stages = np.arange(int(cells[column].min()), int(cells[column].max()) + 1)
    figure, axes = panel(height=2.6)
    width, parts = 0.8 / len(inputs), []
    for place, one in enumerate(inputs):
        counts = cells.loc[cells["inputs"] == one, column].value_counts().reindex(stages, fill_value=0)
        axes.bar(
            stages + (place - (len(inputs) - 1) / 2) * width, counts, width=width * 0.9,
            color=SERIES[place % len(SERIES)], label=one,
        )  # fmt: skip
        parts.append(pd.DataFrame({"inputs": one, name.replace(" ", "_"): stages, "cells": counts.to_numpy()}))
    axes.set(xlabel=f"{name} (stages)", ylabel="cells", xticks=stages)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.legend(loc="upper right", ncols=len(inputs), handlelength=1, columnspacing=0.8)
    return Drawing(
        key=key_of(name),
        section="search",
        title=f"Chosen {name}",
        description=f"How many cells of the cross-validation chose which {name}.",
        caption=("Bars: cells of the cross-validation that chose so many stages, by input configuration.",),
        data=pd.concat(parts, ignore_index=True),
        figure=figure,
    )
