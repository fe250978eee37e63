"""The whole pipeline under permuted labels: what cross-validation finds where there is nothing to find.

Labels are permuted between patients and the plan is redrawn. Each permutation is a run of its own under the same
ledger rules. Final networks are not trained, and the test partition is never touched. Permuting labels against
fixed scores would leave out what training itself does with chance (Ojala & Garriga 2010, JMLR 11:1833).
"""

import re
from dataclasses import replace
from typing import Final

from mpi_model.errors import IncompleteRunError
from orchestrator.driver.resume import RunOptions
from orchestrator.driver.run import run_experiment
from orchestrator.experiment.bounds import MOST_SAMPLES, check_number
from orchestrator.experiment.settings import LoadedExperiment
from orchestrator.ledger.reading import Run
from orchestrator.monitoring.progress import Progress
from orchestrator.report.records import Report

_NAMED: Final = re.compile(r"(.+)-permutation-(\d{4,})")


def permute_labels(loaded: LoadedExperiment, times: int, options: RunOptions, progress: Progress) -> Report:
    """Run an experiment, then again `times` times under permuted labels; interrupted, it goes on where it was.

    Args:
        loaded: The experiment.
        times: Permutations.
        options: Who runs the cells, as for `run_experiment`.
        progress: Shows what the driver is doing.

    Returns:
        One row per tracer and inputs: the observed AUC and its permutation p-value.

    Raises:
        IncompleteRunError: Cells of the run itself failed.
    """
    # The run itself first; where it is finished already, nothing is trained.
    observed = run_experiment(loaded, options, progress)
    if observed.failed:
        raise IncompleteRunError(
            f"{len(observed.failed)} cells of the run itself failed; finish it with `polarmap run`"
        )
    summaries = []
    failed = 0
    for number in range(1, times + 1):
        progress.say(f"permutation {number} of {times}")
        outcome = run_experiment(_permuted(loaded, number), replace(options, permutation=number), progress)
        summaries.append(Run(outcome.paths).summary)
        # Counted against the hypothesis: leaving failed permutations out would make the p-value smaller.
        failed += bool(outcome.failed)
    from orchestrator.report.permutation import permutation_rows  # noqa: PLC0415 - scipy; `run` shares this verb's module

    summary = permutation_rows(Run(observed.paths).summary, summaries)
    counted = (f"{failed} of {times} permutations have failed cells and count as reaching the observed AUC",)
    name = f"{loaded.experiment.name}: {times} label permutations"
    return Report(name=name, summary=summary, notices=counted if failed else ())


def check_times(times: int) -> None:
    """Refuse a number of permutations before anything is read.

    Raises:
        ExperimentError: It is no whole number, or out of its bounds.
    """
    check_number("--times", times, 1, MOST_SAMPLES, "999 are many")


def permutation_number(name: str) -> int | None:
    """The number in the name of a label permutation's run; None for the name of another run."""
    found = _NAMED.fullmatch(name)
    return int(found[2]) if found else None


def _permuted(loaded: LoadedExperiment, number: int) -> LoadedExperiment:
    """The experiment under the name of its permutation."""
    return replace(
        loaded, experiment=replace(loaded.experiment, name=f"{loaded.experiment.name}-permutation-{number:04d}")
    )
