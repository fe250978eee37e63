"""The parts of a run that need torch, behind one door, so that a run with nothing to do never imports it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orchestrator.cells.records import CellKey
from orchestrator.driver.prepare import Prepared
from orchestrator.ledger.paths import RunPaths
from orchestrator.monitoring.progress import Progress
from orchestrator.runners.runner import Runner


class OpenTest(Protocol):
    """`orchestrator.driver.open_test.open_test`."""

    def __call__(
        self, prepared: Prepared, paths: RunPaths, facts_hash: str, keys: Sequence[CellKey], device: str
    ) -> int:
        """See there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What the command line imports when a run has work to do."""

    runner: Runner
    fetch_weights: Callable[[str, Progress], Path]
    """Downloads a backbone's ImageNet weights into torch's cache."""
    load_weights: Callable[[Path, str, int], Mapping[str, NDArray[np.generic]]]
    """Reads and checks a state dict for a backbone and a number of image channels."""
    open_test: OpenTest
