"""Phrases for the progress of a run, the same in the bar, in plain lines and in `polarmap status`."""

from collections.abc import Mapping

from orchestrator.experiment.settings import Objective
from orchestrator.monitoring.progress import RunProgress

SCORES: Mapping[Objective, str] = {"balanced_log_loss": "log loss", "auc": "AUC"}


def rounded(value: float, digits: int = 2) -> str:
    """A number to so many significant digits, without an exponent where it is large: `120`, not `1.2e+02`."""
    return f"{float(f'{value:.{digits}g}'):.15g}"


def _counts(run: RunProgress) -> str:
    """`12 of 33 cells, 1 failed, 2 running`."""
    return f"{run.complete + run.failed} of {run.total} cells, {run.failed} failed, {len(run.running)} running"


def pace(run: RunProgress) -> str:
    """`104 candidates, 1.9 a second`."""
    rate = "" if run.rate is None else f", {rounded(run.rate)} a second"
    return f"{run.candidates} candidate{'' if run.candidates == 1 else 's'}{rate}"


def best(scores: Mapping[str, float], objective: Objective) -> str:
    """`best validation log loss: stress 0.41, dual 0.38`; empty where there is none yet.

    The score is a mean over inner folds and over tracers, and the best of many: no estimate of performance.
    """
    if not scores:
        return ""
    return f"best validation {SCORES[objective]}: " + ", ".join(
        f"{inputs} {score:.3f}" for inputs, score in scores.items()
    )


def _remaining(seconds: float | None) -> str:
    """`about 4 min left`, or that it cannot be known yet."""
    return "time left: unknown until a cell has ended" if seconds is None else f"about {duration(seconds)} left"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`, `2 d 4 h`."""
    # Two units at most: an estimate is not known to the second.
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def sentence(run: RunProgress) -> str:
    """All of it in one line."""
    parts = (_counts(run), pace(run), best(run.best, run.objective), _remaining(run.seconds_left))
    return "; ".join(part for part in parts if part)
