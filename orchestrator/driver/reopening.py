"""A run's experiment with its cohort, read again from where it lies: pixels are nowhere in a run directory."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mpi_model.errors import RunDirectoryError
from orchestrator.driver.permute import permutation_number
from orchestrator.driver.resume import ResolvedRun, RunOptions, resolve_run
from orchestrator.driver.run_cohort import experiment_of_run
from orchestrator.ledger.identity import SAMPLED, differences
from orchestrator.ledger.reading import Run
from orchestrator.monitoring.progress import Progress


def reopened(
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
    loaded = experiment_of_run(run, manifest)
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
