"""`polarmap demo [DIR]`: a synthetic cohort, a picture of it, a whole experiment, its report."""

import argparse
import sys

from orchestrator.commands.experiments import show
from orchestrator.driver.demo import write_demo
from orchestrator.driver.resume import RunOptions
from orchestrator.driver.run import run_experiment
from orchestrator.experiment.file import load_experiment
from orchestrator.terminal.progress import progress_for


def demo(arguments: argparse.Namespace) -> int:
    """Make the cohort where it is not there yet, then run the experiment; run again, it goes on or has ended."""
    experiment = write_demo(arguments.folder, progress_for())
    print(f"a picture of the cohort: {arguments.folder / 'cohort.png'}", file=sys.stderr)
    options = RunOptions(open_test=True, runner=arguments.runner, address=arguments.address)
    return show(run_experiment(load_experiment(experiment), options, progress_for(arguments.progress)))
