"""The smallest and largest value of every whole number of an experiment file.

The upper bounds are far above what a study of patients needs. They keep a typing error, such as a fold number with
nine zeros, from filling the memory.
"""

import operator
import re
from types import MappingProxyType
from typing import Any, Final

from mpi_model.errors import ExperimentError

BOUNDS: Final = MappingProxyType(
    {
        # The smallest image is the encoder's; `mpi_model.stages` names it.
        "images.size": (1, 1024),
        "folds.folds": (2, 1000),
        "folds.repeats": (1, 1000),
        "folds.seed": (0, 2**32 - 1),
        "search.candidates": (1, 10_000),
        "search.inner_folds": (1, 100),
        "search.winners": (1, 10_000),
        "training.epochs": (1, 10_000),
        # Batch norm estimates a variance over the batch; one exam is too few.
        "training.batch_size": (2, 65_536),
        "training.patience": (1, 10_000),
        "training.members": (1, 100),
        "resources.attempts": (1, 100),
    }
)
"""Smallest and largest value by dotted name, both allowed; the JSON Schema and the rules are written from it."""

BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/(?!\.+(/|$))[\w.-]+)*/?")
"""A place in object storage; parts of a prefix are no `..`."""
HIGHEST_LEVEL: Final = 0.9999
"""Confidence level; nearer to 1 an interval says nothing, and its ends are no longer computed."""
MOST_SAMPLES: Final = 10_000
"""Permutations, or bootstrap samples, on each of which the whole procedure runs again."""


def check_number(name: str, value: Any, low: int, high: int, hint: str) -> None:  # noqa: ANN401 - a program may give anything
    """Refuse a number of the command line, or of a call, that is not whole or out of its bounds.

    Args:
        name: What a message calls it, `--times`.
        value: What was given.
        low: The smallest that is allowed.
        high: The largest.
        hint: What is usual.

    Raises:
        ExperimentError: It is refused.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise ExperimentError(f"`{name}` must be a whole number, but is a {type(value).__name__}; {hint}") from None
    if number < low:
        raise ExperimentError(f"`{name}` must be at least {low}, but is {number}; {hint}")
    if number > high:
        raise ExperimentError(f"`{name}` must be at most {high}, but is {number}; {hint}")
