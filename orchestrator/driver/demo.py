"""The demonstration: a synthetic cohort, a picture of it and an experiment file, written where they are not yet."""

from importlib.resources import files
from pathlib import Path
from typing import Final

from mpi_model.errors import ExperimentError
from orchestrator.monitoring.progress import Progress
from orchestrator.phantom.preview import preview
from orchestrator.phantom.writer import write_cohort

_PATIENTS: Final = 260
_SIZE: Final = 64


def write_demo(folder: Path, progress: Progress) -> Path:
    """Write cohort, picture and experiment file; what is there already is left alone.

    Args:
        folder: A new folder, or that of an earlier demonstration.
        progress: Told how many patients are simulated.

    Returns:
        The experiment file.

    Raises:
        ExperimentError: The folder holds something else, or cannot be written.
    """
    experiment, manifest = folder / "experiment.toml", folder / "cohort" / "manifest.csv"
    if folder.exists() and any(folder.iterdir()) and not (folder / "cohort").is_dir():
        raise ExperimentError(f"{folder} holds other files; name a new folder: polarmap demo DIR")
    if not manifest.exists():
        progress.begin("simulating patients", _PATIENTS)
        try:
            advance = progress.advance
            write_cohort(folder / "cohort", patients=_PATIENTS, size=_SIZE, progress=lambda done, total: advance(done))
        finally:
            progress.end()
    if not (folder / "cohort.png").exists():
        preview(folder / "cohort", folder / "cohort.png")
    if not experiment.exists():
        text = files("orchestrator.experiment").joinpath("demo.toml").read_text("utf-8")
        experiment.write_text(text, encoding="utf-8")
    return experiment
