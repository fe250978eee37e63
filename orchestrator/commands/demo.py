"""`polarmap demo [DIR]`: a synthetic cohort, a picture of it, a whole experiment, its report."""

import argparse
import sys
from importlib.resources import files
from pathlib import Path
from typing import Final

from mpi_model.errors import ExperimentError
from orchestrator.commands.experiments import show
from orchestrator.driver.resume import RunOptions
from orchestrator.driver.run import run_experiment
from orchestrator.experiment.file import load_experiment
from orchestrator.phantom.preview import preview
from orchestrator.phantom.writer import write_cohort
from orchestrator.terminal.progress import counted, progress_for

PATIENTS: Final = 260
SIZE: Final = 64


def demo(arguments: argparse.Namespace) -> int:
    """Make the cohort where it is not there yet, then run the experiment; run again, it goes on or has ended."""
    folder: Path = arguments.folder
    experiment = write_demo(folder)
    print(f"a picture of the cohort: {folder / 'cohort.png'}", file=sys.stderr)
    options = RunOptions(open_test=True, runner=arguments.runner, address=arguments.address)
    return show(run_experiment(load_experiment(experiment), options, progress_for(arguments.progress)))


def write_demo(folder: Path) -> Path:
    """Write cohort, picture and experiment file; what is there already is left alone.

    Raises:
        ExperimentError: The folder holds something else, or cannot be written.
    """
    experiment, manifest = folder / "experiment.toml", folder / "cohort" / "manifest.csv"
    if folder.exists() and any(folder.iterdir()) and not (folder / "cohort").is_dir():
        raise ExperimentError(f"{folder} holds other files; name a new folder: polarmap demo DIR")
    if not manifest.exists():
        with counted(progress_for(), "simulating patients") as advance:
            write_cohort(folder / "cohort", patients=PATIENTS, size=SIZE, progress=advance)
    if not (folder / "cohort.png").exists():
        preview(folder / "cohort", folder / "cohort.png")
    if not experiment.exists():
        experiment.write_text(
            files("orchestrator.experiment").joinpath("demo.toml").read_text("utf-8"), encoding="utf-8"
        )
    return experiment
