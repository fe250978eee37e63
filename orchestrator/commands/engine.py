"""Imports torch and a runner when a run has something to do, and not before."""

import argparse
import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from mpi_model.errors import ExperimentError
from orchestrator.runners.environment import prepare_for_ray

if TYPE_CHECKING:
    from orchestrator.driver.engine import Engine


def engine_loader(arguments: argparse.Namespace) -> "Callable[[], Engine]":
    """What imports torch, and the runner that was asked for; a second call costs nothing."""
    if arguments.address is not None and arguments.runner == "inline":
        raise ExperimentError("`--address` names a Ray cluster, but `--runner inline` uses none; leave one of them out")

    def load() -> "Engine":
        if "torch" not in sys.modules:
            print(f"loading torch{' and Ray' if arguments.runner == 'ray' else ''}", file=sys.stderr, flush=True)
        torch_engine = importlib.import_module("orchestrator.driver.torch_engine")
        if arguments.runner == "inline":
            runner = importlib.import_module("orchestrator.runners.inline").InlineRunner()
        else:
            prepare_for_ray()
            runner = importlib.import_module("orchestrator.runners.ray_tune").RayRunner(address=arguments.address)
        engine: Engine = torch_engine.engine_with(runner)
        return engine

    return load
