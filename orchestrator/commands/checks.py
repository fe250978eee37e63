"""`polarmap check`: every problem at once. No torch, no Ray, no statistics: it should answer in a moment."""

import argparse

from orchestrator.experiment.file import load_experiment
from orchestrator.experiment.settings import LoadedExperiment
from orchestrator.preparation import prepare
from orchestrator.terminal.checking import print_check
from orchestrator.terminal.progress import progress_for


def loaded_from(arguments: argparse.Namespace) -> LoadedExperiment:
    """The experiment that the arguments name, with its overrides."""
    return load_experiment(arguments.experiment, arguments.overrides)


def check(arguments: argparse.Namespace) -> int:
    """`polarmap check EXPERIMENT`."""
    print_check(prepare(loaded_from(arguments), progress_for()))
    return 0
