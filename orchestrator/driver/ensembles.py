"""Which networks predict: of the runs and exported folders that were named, one ensemble an input configuration."""

import os
from collections.abc import Sequence
from pathlib import Path

from mpi_model.errors import ExperimentError
from mpi_model.pipeline import BUNDLE_WEIGHTS, WEIGHTS, Pipeline, load_pipeline
from mpi_model.vocabulary import INPUTS, Inputs
from orchestrator.driver.final_model import FinalModel
from orchestrator.driver.predict import Ensemble
from orchestrator.export.folder import is_export, verify_folder
from orchestrator.ledger.reading import Run, open_run


def ensembles_of(sources: Sequence[Run | str | Path]) -> tuple[Ensemble, ...]:
    """Read the networks of runs and exported folders.

    Args:
        sources: Runs, or the locations of runs and exported folders.

    Returns:
        One ensemble for every input configuration that all of them have.

    Raises:
        ExperimentError: They have no input configuration in common, or an exported folder is damaged or a graph.
        IncompleteRunError: A run has no final networks.
        RunDirectoryError: A network is not the one that was trained.
    """
    named = [_pipelines_of(source) for source in sources]
    names = [name for name, _ in named]
    shared = [inputs for inputs in INPUTS if all(inputs in found for _, found in named)]
    if not shared:
        raise ExperimentError(f"{', '.join(names)} have no input configuration in common; predict with each alone")
    name = names[0] if len(names) == 1 else f"ensemble of {', '.join(names)}"
    return tuple(Ensemble(name=name, pipelines=tuple(found[inputs] for _, found in named)) for inputs in shared)


def _pipelines_of(source: Run | str | Path) -> tuple[str, dict[Inputs, Pipeline]]:
    if not isinstance(source, Run) and "://" not in str(source) and is_export(Path(source)):
        return _exported(Path(source))
    run = source if isinstance(source, Run) else open_run(source)
    inputs = run.description.settings.cohort.inputs
    return run.paths.name, {name: FinalModel.of(run, name).pipeline for name in inputs}


def _exported(folder: Path) -> tuple[str, dict[Inputs, Pipeline]]:
    verify_folder(folder)
    if not any((folder / name).is_file() for name in (WEIGHTS, BUNDLE_WEIGHTS)):
        raise ExperimentError(
            f"{folder.name} holds a graph for other programs; predict with its own predict.py, or name a hub folder, a "
            "bundle or the run"
        )
    pipeline = load_pipeline(folder)
    return Path(os.path.realpath(folder)).name, {pipeline.config.inputs: pipeline}
