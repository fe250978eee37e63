"""`polarmap status`: how a run stands, from any terminal. No torch, no Ray, no statistics."""

import argparse

from orchestrator.ledger.paths import run_paths
from orchestrator.monitoring.status import status_of
from orchestrator.terminal.status_view import print_status, watch


def status(arguments: argparse.Namespace) -> int:
    """`polarmap status RUN`."""
    paths = run_paths(arguments.run)
    if arguments.watch:
        watch(lambda: status_of(paths), machine=arguments.json)
    else:
        print_status(status_of(paths), machine=arguments.json)
    return 0
