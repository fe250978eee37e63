"""The run's log: what happened and when, in the run directory, for whoever must find out why."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.ledger.log_lines import JsonLines
from orchestrator.ledger.paths import RunPaths

LOG = logging.getLogger("polarmap")


@contextmanager
def logging_to(paths: RunPaths) -> Iterator[None]:
    """Send what polarmap logs to the run's log, and nowhere else, while the run goes on."""
    handler = paths.storage.log_handler(paths.log.name)
    handler.setFormatter(JsonLines())
    propagate, level = LOG.propagate, LOG.level
    LOG.addHandler(handler)
    LOG.propagate = False
    LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.propagate = propagate
        LOG.setLevel(level)
        handler.close()
