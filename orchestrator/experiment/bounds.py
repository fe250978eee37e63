"""The smallest and largest value of every whole number of an experiment file, and of the lengths of its texts.

The upper bounds are far above what a study of patients needs. They keep a typing error, such as a fold number with
nine zeros, from filling the memory, and a path from failing after the training.
"""

import re
from collections.abc import Iterator
from pathlib import PurePath
from types import MappingProxyType
from typing import Final

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
MOST_CELLS: Final = 10_000
"""Folds times repeats of an input configuration."""
FEWEST_FLAT_FOLDS: Final = 3
"""Folds of a flat search, which trains without two of them."""
MOST_SHARE: Final = 100_000.0
"""GPUs or cores that a cell may reserve."""
LONGEST_DEADLINE: Final = 1e7
"""Seconds, about four months."""
LONGEST_ENDPOINT: Final = 200
"""Characters of an endpoint's definition, which is a cell of the report's tables."""
_LONGEST_NAME: Final = 255
"""Bytes of one name in a path, which the file systems of Linux, macOS and Windows share (NAME_MAX)."""
_LONGEST_PATH: Final = 1000
"""Bytes; macOS ends at 1024 with what a run adds below."""


def path_problems(key: str, path: str) -> Iterator[str]:
    """Why no file or folder can have this path, found before anything is trained.

    Args:
        key: The setting, for the message.
        path: Its value.
    """
    longest = max((len(part.encode("utf-8", "replace")) for part in PurePath(path).parts), default=0)
    if not path.strip():
        yield f"`{key}` must be a path, but is empty"
    elif longest > _LONGEST_NAME:
        yield f"`{key}` holds a name of {longest} bytes; file systems allow {_LONGEST_NAME}: shorten it"
    elif len(path.encode("utf-8", "replace")) > _LONGEST_PATH:
        yield f"`{key}` has {len(path)} characters; a path may have {_LONGEST_PATH}: shorten it"
