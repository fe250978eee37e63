"""Fills an `Engine` with the real parts; importing this module imports torch."""

from orchestrator.engine import Engine
from orchestrator.runners.inline import InlineRunner
from orchestrator.runners.runner import Runner
from orchestrator.test_partition import open_test


def engine_with(runner: Runner) -> Engine:
    """The engine around a runner."""
    return Engine(runner=runner, fetch_weights=fetch_weights, load_weights=load_state, open_test=open_test)
