"""How much of the objective's variation each hyperparameter explains, by Optuna."""

from collections.abc import Sequence

import numpy as np
import optuna
import pandas as pd
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState, create_trial

from orchestrator.report.figures.drawing import SERIES, Drawing, panel
from orchestrator.report.figures.hyperparameters import relative_objective, searched_columns
from search_spaces.stored import StoredParameter, drawn_values

# Complete candidates of an input configuration below which nothing is said: a forest of trees would fit noise.
_FEWEST = 30
# Beyond so many a forest takes ever longer and says the same.
_MOST = 200


def importances(
    candidates: pd.DataFrame, inputs: Sequence[str], space: Sequence[StoredParameter], objective: str
) -> pd.DataFrame:
    """The importance of each hyperparameter, in the sum 1, by input configuration.

    Functional analysis of variance (Hutter, Hoos & Leyton-Brown 2014) by Optuna, on the complete candidates of all
    cells or on 200 of them. Their objectives are taken less the median of their cell. Only candidates that have every
    hyperparameter count, because some exist under a condition.

    Args:
        candidates: Of the run.
        inputs: The input configurations.
        space: What the search drew.
        objective: What it chose by.

    Returns:
        `inputs, hyperparameter, importance, candidates`; empty where there is nothing to say.
    """
    relative = relative_objective(candidates) if len(candidates) else pd.Series(dtype=float)
    searched = [one for one in space if f"hp_{one.name}" in searched_columns(candidates)] if len(candidates) else []
    rows = []
    for name in inputs if len(searched) > 1 else ():
        columns = {one.name: candidates[f"hp_{one.name}"] for one in searched}
        mine = (candidates["inputs"] == name) & relative.notna()
        trials = _trials(pd.DataFrame(columns)[mine], relative[mine], searched)
        if len(trials) < _FEWEST:
            continue
        study = _study(objective)
        # Evenly through all cells.
        chosen = np.unique(np.linspace(0, len(trials) - 1, _MOST).round().astype(int))
        study.add_trials([trials[place] for place in chosen])
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(n_trees=32, seed=0))
        rows += [(name, parameter, share, len(chosen)) for parameter, share in found.items()]
    return pd.DataFrame(rows, columns=["inputs", "hyperparameter", "importance", "candidates"])


def _study(objective: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="minimize" if objective == "balanced_log_loss" else "maximize")


def _trials(
    values: pd.DataFrame, objectives: "pd.Series[float]", space: Sequence[StoredParameter]
) -> list[optuna.trial.FrozenTrial]:
    """The candidates in which every hyperparameter exists."""
    found = []
    distributions = {one.name: one.distribution for one in space}
    for row, objective in zip(values.to_dict(orient="records"), objectives, strict=True):
        there = {str(name): value for name, value in row.items() if not pd.isna(value)}
        params = {
            # Through Optuna's own representation: the tables hold whole numbers and choices as floats.
            name: distributions[name].to_external_repr(distributions[name].to_internal_repr(value))
            for name, value in drawn_values(space, there).items()
        }
        if len(params) == len(space):
            found.append(
                create_trial(
                    state=TrialState.COMPLETE, params=params, distributions=distributions, value=float(objective)
                )
            )
    return found


def importance(found: pd.DataFrame) -> Drawing | None:
    """Bars of the importances; None where there are none.

    Args:
        found: From `importances`.
    """
    if found.empty:
        return None
    names = list(dict.fromkeys(found["hyperparameter"]))
    inputs = list(dict.fromkeys(found["inputs"]))
    figure, axes = panel(height=0.7 + 0.17 * len(names) * len(inputs), left=1.3)
    width = 0.8 / len(inputs)
    for place, one in enumerate(inputs):
        shares = found[found["inputs"] == one].set_index("hyperparameter")["importance"].reindex(names).fillna(0)
        axes.barh(
            np.arange(len(names)) + (place - (len(inputs) - 1) / 2) * width, shares, height=width * 0.9,
            color=SERIES[place % len(SERIES)], label=one,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set(xlabel="share of the explained variation", xlim=(0, 1))
    axes.legend(loc="lower right")
    return Drawing(
        key="importance",
        section="search",
        title="Importance of hyperparameters",
        description="; ".join(
            f"{row.inputs}, {str(row.hyperparameter).replace('_', ' ')}: {row.importance:.2f}"
            for row in found.itertuples()
        ),
        caption=(
            f"Functional analysis of variance by Optuna, on the complete candidates of all cells that have every "
            f"hyperparameter ({_MOST} of an input configuration at most). Objectives are less the median of their "
            "cell; there is no interval.",
        ),
        data=found,
        figure=figure,
    )
