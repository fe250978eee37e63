"""How many candidates the search of each input configuration tried."""

from collections.abc import Sequence

import pandas as pd

_STATES = ("complete", "pruned", "failed")


def candidate_counts(candidates: pd.DataFrame, inputs: Sequence[str]) -> pd.DataFrame:
    """`inputs, cells, complete, pruned, failed`: over all cells, the final ones included."""
    if candidates.empty:
        return pd.DataFrame()
    rows = []
    for name in inputs:
        mine = candidates[candidates["inputs"] == name]
        cells = len(mine[["repeat", "fold"]].drop_duplicates())
        rows.append((name, cells, *(int((mine["state"] == state).sum()) for state in _STATES)))
    return pd.DataFrame(rows, columns=["inputs", "cells", *_STATES])
