"""`polarmap check`: every problem at once. No torch, no Ray; statistics for `--html` alone, so it answers at once."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpi_model.errors import PolarmapError
from orchestrator.driver.cohort_check import check_experiment
from orchestrator.driver.prepare import Prepared
from orchestrator.experiment.file import load_experiment
from orchestrator.experiment.settings import LoadedExperiment
from orchestrator.output_files import new_named_file, write_named_file
from orchestrator.terminal.checking import print_check
from orchestrator.terminal.progress import progress_for


def loaded_from(arguments: argparse.Namespace) -> LoadedExperiment:
    """The experiment that the arguments name, with its overrides."""
    return load_experiment(arguments.experiment, arguments.overrides)


def check(arguments: argparse.Namespace) -> int:
    """`polarmap check EXPERIMENT`, and what is in the run directory of its name."""
    with problems_as_json(arguments.json):
        found, prepared = check_experiment(arguments.experiment, arguments.overrides, progress_for())
        _write_pages(prepared, arguments.html, arguments.patients)
    if arguments.json:
        print_json({**found.to_dict(), "exit_code": 0})
    else:
        print_check(found)
    return 0


def _write_pages(prepared: Prepared, html: Path | None, patients: Path | None) -> None:
    """The cohort page, and apart from it, where asked for, the maps of single patients.

    Raises:
        ExperimentError: A file cannot be written, or the one with patients' maps exists.
    """
    if html is None and patients is None:
        return
    # Statistics and drawing, for these files alone.
    from orchestrator.driver.cohort_page import cohort_page_of  # noqa: PLC0415
    from orchestrator.report.cohort_page.single_maps import single_maps_page  # noqa: PLC0415

    if patients is not None:
        # Only a new file is sure to have this mode from its first byte on: a written one keeps that of its user.
        name, cohort = prepared.loaded.experiment.name, prepared.cohort
        new_named_file(patients, single_maps_page(name, cohort.exams, cohort.maps).encode("utf-8"))
    if html is not None:
        write_named_file(html, cohort_page_of(prepared).encode("utf-8"))


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
