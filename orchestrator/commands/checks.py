"""`polarmap check`: every problem at once. No torch, no Ray, no statistics: it should answer in a moment."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager

from mpi_model.errors import PolarmapError
from orchestrator.driver.cohort_check import check_experiment
from orchestrator.experiment.file import load_experiment
from orchestrator.experiment.settings import LoadedExperiment
from orchestrator.terminal.checking import print_check
from orchestrator.terminal.progress import progress_for


def loaded_from(arguments: argparse.Namespace) -> LoadedExperiment:
    """The experiment that the arguments name, with its overrides."""
    return load_experiment(arguments.experiment, arguments.overrides)


def check(arguments: argparse.Namespace) -> int:
    """`polarmap check EXPERIMENT`, and what is in the run directory of its name."""
    with problems_as_json(arguments.json):
        found = check_experiment(arguments.experiment, arguments.overrides, progress_for())
    if arguments.json:
        print_json({**found.to_dict(), "exit_code": 0})
    else:
        print_check(found)
    return 0


@contextmanager
def problems_as_json(wanted: bool) -> Iterator[None]:
    """With `--json`, a program finds the problems on standard output, too; they are raised in any case."""
    try:
        yield
    except PolarmapError as error:
        if wanted:
            print_json({"problems": list(error.problems), "exit_code": error.exit_code})
        raise


def print_json(keys: dict[str, object]) -> None:
    """Print one object as one line of JSON; a number that is none would not be JSON."""
    print(json.dumps(keys, ensure_ascii=False, allow_nan=False))
