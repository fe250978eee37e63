"""Fills an `Engine` with the real parts; importing this module imports torch."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpi_model.weights import fetch_imagenet, load_state
from orchestrator.driver.engine import Engine
from orchestrator.driver.open_test import open_test
from orchestrator.monitoring.progress import Progress
from orchestrator.runners.runner import Runner


def engine_with(runner: Runner) -> Engine:
    """The engine around a runner."""
    return Engine(runner=runner, fetch_weights=_fetch_weights, load_weights=_load_weights, open_test=open_test)


def _fetch_weights(backbone: str, progress: Progress) -> Path:
    progress.say(f"downloading the ImageNet weights of {backbone}, once")
    return fetch_imagenet(backbone, progress=True)


def _load_weights(path: Path, backbone: str, image_channels: int) -> Mapping[str, NDArray[np.generic]]:
    return load_state(path, backbone, image_channels=image_channels)
