"""The cohort of a finished run, read again: its pixels are nowhere in the run directory. No torch."""

from dataclasses import replace
from pathlib import Path

from mpi_model.errors import ExperimentError, RunDirectoryError
from mpi_model.vocabulary import PHASES
from orchestrator.cohort.loading import load_cohort
from orchestrator.cohort.records import Cohort
from orchestrator.driver.map_facts import facts_of_maps
from orchestrator.experiment.settings import LoadedExperiment
from orchestrator.ledger.reading import Run


def experiment_of_run(run: Run, manifest: Path | None) -> LoadedExperiment:
    """A run's settings with the folder that their paths start from: the one that holds `storage.runs`.

    Args:
        run: The run.
        manifest: Its cohort, where that does not lie where the run found it.

    Raises:
        ExperimentError: The cohort is not there.
    """
    settings = run.description.settings
    root, runs = run.paths.root, settings.storage.runs
    folder = Path.cwd() if "://" in root or Path(runs).is_absolute() else Path(root).parents[len(Path(runs).parts)]
    if manifest is not None:
        settings = replace(settings, cohort=replace(settings.cohort, manifest=str(manifest.resolve())))
    loaded = LoadedExperiment(experiment=settings, folder=folder)
    if not loaded.manifest.is_file():
        raise ExperimentError("the run's manifest is not where it was; name it with --manifest FILE")
    return loaded


def cohort_of_run(run: Run, manifest: Path | None) -> Cohort:
    """A run's exams with their maps, each the one that the run has read.

    Args:
        run: A run that keeps facts of its maps.
        manifest: As for `experiment_of_run`.

    Raises:
        ExperimentError: The cohort is not there.
        RunDirectoryError: It is another one, or a map was changed.
        CohortError: Manifest or images are unusable.
    """
    loaded = experiment_of_run(run, manifest)
    cohort = load_cohort(loaded.manifest, size=loaded.experiment.images.size)
    columns = [f"{phase}_sha256" for phase in PHASES]
    prints = facts_of_maps(cohort.maps)[columns].set_axis(cohort.exams["exam_id"].to_numpy())
    due = run.maps[columns].set_axis(run.cohort["exam_id"].to_numpy())
    if not prints.sort_index().equals(due.sort_index()):
        raise RunDirectoryError(
            f"{run.paths.name} was made from other maps than that manifest names; name the run's own with --manifest"
        )
    return cohort
