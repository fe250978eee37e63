"""Verbs that look before anything is trained: check, plan. No torch without a pilot, no Ray.

`check` answers at once: statistics are imported for `plan` and for `--html` alone.
"""

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mpi_model.errors import ExperimentError, PolarmapError
from orchestrator.driver.cohort_check import check_experiment
from orchestrator.driver.prepare import Prepared
from orchestrator.experiment.file import load_experiment
from orchestrator.experiment.settings import LoadedExperiment
from orchestrator.output_files import new_named_file, write_named_file
from orchestrator.terminal.checking import print_check
from orchestrator.terminal.progress import progress_for

if TYPE_CHECKING:
    from orchestrator.driver.run_plan import PilotRequest


def loaded_from(arguments: argparse.Namespace) -> LoadedExperiment:
    """The experiment that the arguments name, with its overrides."""
    return load_experiment(arguments.experiment, arguments.overrides)


def check(arguments: argparse.Namespace) -> int:
    """`polarmap check EXPERIMENT`, and what is in the run directory of its name."""
    with _problems_as_json(arguments.json):
        found, prepared = check_experiment(arguments.experiment, arguments.overrides, progress_for())
        _write_pages(prepared, arguments.html, arguments.patients)
    if arguments.json:
        _print_json({**found.to_dict(), "exit_code": 0})
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
    if html is not None and patients is not None and os.path.realpath(html) == os.path.realpath(patients):
        raise ExperimentError("`--html` and `--patients` name one file; name two, and give away the first alone")
    # Imported here: only these files need statistics and drawing.
    from orchestrator.driver.cohort_page import cohort_page_of  # noqa: PLC0415
    from orchestrator.report.cohort_page.single_maps import single_maps_page  # noqa: PLC0415

    if patients is not None:
        # Only a new file is sure to have this mode from its first byte on: a written one keeps that of its user.
        name, cohort = prepared.loaded.experiment.name, prepared.cohort
        new_named_file(patients, single_maps_page(name, cohort.exams, cohort.maps).encode("utf-8"))
    if html is not None:
        # A run's report and other people's pages end in .html, too.
        write_named_file(html, cohort_page_of(prepared).encode("utf-8"), ".html", _is_cohort_page)


def _is_cohort_page(content: bytes) -> bool:
    return b": cohort</title>" in content[:4096]


def plan(arguments: argparse.Namespace) -> int:
    """`polarmap plan EXPERIMENT`; an earlier run of that name tells how long a cell takes."""
    from orchestrator.driver.run_plan import plan_experiment  # noqa: PLC0415 - statistics, which `check` does without
    from orchestrator.terminal.planning import print_plan  # noqa: PLC0415 - likewise

    with _problems_as_json(arguments.json):
        found = plan_experiment(loaded_from(arguments), progress_for(), _pilot(arguments))
    if arguments.json:
        _print_json({**found.to_dict(), "exit_code": 0})
    else:
        print_plan(found)
    return 0


def _pilot(arguments: argparse.Namespace) -> "PilotRequest | None":
    from orchestrator.driver.run_plan import PilotRequest  # noqa: PLC0415 - as in `plan`

    if not arguments.pilot:
        if arguments.workers is not None or arguments.cluster is not None:
            raise ExperimentError("`--workers` and `--cluster` say what a pilot forecasts; add `--pilot`")
        return None
    return PilotRequest(workers=arguments.workers, cluster=arguments.cluster)


@contextmanager
def _problems_as_json(wanted: bool) -> Iterator[None]:
    """With `--json`, a program finds the problems on standard output, too; they are raised in any case."""
    try:
        yield
    except PolarmapError as error:
        if wanted:
            _print_json({"problems": list(error.problems), "exit_code": error.exit_code})
        raise


def _print_json(keys: dict[str, object]) -> None:
    """Print one object as one line of JSON; a number that is none would not be JSON."""
    print(json.dumps(keys, ensure_ascii=False, allow_nan=False))
