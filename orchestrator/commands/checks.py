"""`polarmap check`: every problem at once. No torch, no Ray, no statistics: it should answer in a moment."""

import argparse
from typing import Final

from mpi_model.errors import CohortError, ExperimentError
from orchestrator.cohort.loading import load_cohort
from orchestrator.driver.prepare import prepare
from orchestrator.driver.resume import resume_summary
from orchestrator.experiment.devices import device_for
from orchestrator.experiment.file import load_experiment, read_toml
from orchestrator.experiment.processor import check_precision
from orchestrator.experiment.settings import LoadedExperiment
from orchestrator.terminal.checking import print_check
from orchestrator.terminal.progress import progress_for

SMALL: Final = 32
"""Pixels: enough to see whether an image can be read, where the experiment does not say how large it should be."""


def loaded_from(arguments: argparse.Namespace) -> LoadedExperiment:
    """The experiment that the arguments name, with its overrides."""
    return load_experiment(arguments.experiment, arguments.overrides)


def check(arguments: argparse.Namespace) -> int:
    """`polarmap check EXPERIMENT`, and what is in the run directory of its name."""
    try:
        loaded = loaded_from(arguments)
        check_precision(loaded.experiment.training.precision, device_for(loaded.experiment.resources))
    except ExperimentError as error:
        raise ExperimentError(*error.problems, *_cohort_problems(arguments)) from error
    prepared = prepare(loaded, progress_for())
    remark = resume_summary(prepared)
    print_check(prepared, remark=remark)
    return 0


def _cohort_problems(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The problems of a cohort whose experiment file is wrong itself, as far as its manifest can be found."""
    try:
        section = read_toml(arguments.experiment).get("cohort")
        manifest = section.get("manifest") if isinstance(section, dict) else None
        if isinstance(manifest, str):
            load_cohort(arguments.experiment.resolve().parent / manifest, size=SMALL)
    except CohortError as error:
        return error.problems
    except ExperimentError:
        return ()
    return ()
