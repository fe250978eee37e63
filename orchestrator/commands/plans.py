"""`polarmap plan`: what a run would do, and how wide its intervals will be. No torch, no Ray."""

import argparse

from orchestrator.commands.checks import loaded_from
from orchestrator.driver.prepare import prepare
from orchestrator.ledger.paths import run_paths
from orchestrator.ledger.reading import Run
from orchestrator.terminal.planning import print_plan
from orchestrator.terminal.progress import progress_for


def plan(arguments: argparse.Namespace) -> int:
    """`polarmap plan EXPERIMENT`; an earlier run of that name tells how long a cell takes."""
    loaded = loaded_from(arguments)
    paths = run_paths(loaded.run_directory)
    print_plan(prepare(loaded, progress_for()), Run(paths) if paths.experiment.exists() else None)
    return 0
