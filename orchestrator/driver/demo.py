"""The demonstration: a synthetic cohort, a picture of it and an experiment file, written where they are not yet."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from mpi_model.errors import ExperimentError
from orchestrator.driver.prepare import weights_of
from orchestrator.experiment.file import load_experiment
from orchestrator.monitoring.progress import Progress, progress_callback
from orchestrator.phantom.preview import preview
from orchestrator.phantom.writer import write_cohort

_PATIENTS: Final = 260
_SIZE: Final = 64


def write_demo(folder: Path, progress: Progress) -> Path:
    """Write cohort, picture and experiment file; what is there already is left alone.

    Args:
        folder: A new folder, or that of an earlier demonstration.
        progress: Shows how many patients are simulated.

    Returns:
        The experiment file.

    Raises:
        ExperimentError: The folder holds something else, or cannot be written.
        WeightsError: The package with the ImageNet weights is not installed; nothing has been written.
    """
    experiment, manifest = folder / "experiment.toml", folder / "cohort" / "manifest.csv"
    if folder.exists() and not folder.is_dir():
        raise ExperimentError(f"{str(folder)[:200]} is not a folder; name a new one: polarmap demo DIR")
    if folder.exists() and any(folder.iterdir()) and not (folder / "cohort").is_dir():
        raise ExperimentError(f"{folder} holds other files; name a new folder: polarmap demo DIR")
    with as_file(files("orchestrator.experiment") / "demo.toml") as packaged:
        if not manifest.exists():
            # Before patients are simulated, so that a missing package is reported at once.
            weights_of(load_experiment(experiment if experiment.exists() else packaged))
            with progress_callback(progress, "simulating patients") as advance:
                write_cohort(folder / "cohort", patients=_PATIENTS, size=_SIZE, progress=advance)
        if not (folder / "cohort.png").exists():
            preview(folder / "cohort", folder / "cohort.png")
        if not experiment.exists():
            experiment.write_text(packaged.read_text("utf-8"), encoding="utf-8")
    return experiment
