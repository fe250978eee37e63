"""A run's experiment and cohort, read again from where they lie: pixels are nowhere in a run directory. No torch."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mpi_model.errors import ExperimentError, RunDirectoryError
from mpi_model.vocabulary import PHASES
from orchestrator.cohort.loading import load_cohort
from orchestrator.cohort.records import Cohort
from orchestrator.driver.map_facts import facts_of_maps
from orchestrator.driver.permute import permutation_number
from orchestrator.driver.resume import ResolvedRun, RunOptions, resolve_run
from orchestrator.experiment.settings import LoadedExperiment
from orchestrator.ledger.identity import SAMPLED, differences
from orchestrator.ledger.reading import Run
from orchestrator.monitoring.progress import Progress


def resolve_again(
    run: Run, manifest: Path | None, options: RunOptions, progress: Progress, is_free: Callable[[str], bool]
) -> ResolvedRun:
    """The run's experiment, resolved anew and compared with what the run says of itself.

    Args:
        run: A run.
        manifest: Its cohort, where that does not lie where the run found it.
        options: Who runs the cells.
        progress: Shows what the driver is doing.
        is_free: Says of each fact whether it may differ, such as a version.

    Raises:
        ExperimentError: The cohort is not at hand.
        RunDirectoryError: It is another one, or the experiment is.
    """
    description = run.description
    loaded = _experiment_of_run(run, manifest)
    number = None if description.final else permutation_number(description.name)
    resolved = replace(resolve_run(loaded, replace(options, permutation=number), progress), paths=run.paths)
    if SAMPLED in description.facts:
        resolved = replace(resolved, facts={**resolved.facts, SAMPLED: description.facts[SAMPLED]})
    stored, found = (
        {name: text for name, text in facts.items() if not is_free(name)}
        for facts in (description.facts, resolved.facts)
    )
    if different := differences(stored, found):
        raise RunDirectoryError(
            f"{run.paths.name} was made from another cohort or experiment: {'; '.join(different[:4])}; name the run's "
            "own manifest with --manifest"
        )
    return resolved


def _experiment_of_run(run: Run, manifest: Path | None) -> LoadedExperiment:
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
        settings = replace(settings, cohort=replace(settings.cohort, manifest=os.path.realpath(manifest)))
    loaded = LoadedExperiment(experiment=settings, folder=folder)
    if not loaded.manifest.is_file():
        raise ExperimentError("the run's manifest is not where it was; name it with --manifest FILE")
    return loaded


def cohort_of_run(run: Run, manifest: Path | None) -> Cohort:
    """A run's exams with their maps, each the one that the run has read.

    Args:
        run: A run that keeps facts of its maps.
        manifest: The run's cohort, where that does not lie where the run found it.

    Raises:
        ExperimentError: The cohort is not there.
        RunDirectoryError: It is another one, or a map was changed.
        CohortError: Manifest or images are unusable.
    """
    loaded = _experiment_of_run(run, manifest)
    cohort = load_cohort(loaded.manifest, size=loaded.experiment.images.size)
    columns = [f"{phase}_sha256" for phase in PHASES]
    prints = facts_of_maps(cohort.maps)[columns].set_axis(cohort.exams["exam_id"].to_numpy())
    due = run.maps[columns].set_axis(run.cohort["exam_id"].to_numpy())
    if not prints.sort_index().equals(due.sort_index()):
        raise RunDirectoryError(
            f"{run.paths.name} was made from other maps than that manifest names; name the run's own with --manifest"
        )
    return cohort
