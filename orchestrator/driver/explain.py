"""Explains a run: where its networks' scores come from, on exams that they have not learned from.

Final networks are explained on the test partition, once that was opened. The networks of the cross-validation are
refitted from the ledger, compared with it score by score, and explained on the exams that their cells held out.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from mpi_model.errors import ExperimentError, IncompleteRunError, RunDirectoryError
from orchestrator.cells.records import cell_keys
from orchestrator.driver.explained_cells import (
    CellExplanations,
    explain_final_networks,
    explanation_jobs,
    keep_reference_maps,
)
from orchestrator.driver.permute import permutation_number
from orchestrator.driver.reopening import resolve_again
from orchestrator.driver.resume import ResolvedRun, RunOptions
from orchestrator.driver.training import runner_for, worker_context
from orchestrator.explanation.cells import explain_cell
from orchestrator.explanation.groups import attribution_groups, with_permuted
from orchestrator.explanation.integrated_gradients import METHOD
from orchestrator.hashing import digest
from orchestrator.ledger.integrity import find_damage, quarantine_attributions
from orchestrator.ledger.joining import joined_attributions
from orchestrator.ledger.paths import CellPart
from orchestrator.ledger.reading import Run
from orchestrator.ledger.seals import write_sealed
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.log import logging_to
from orchestrator.monitoring.progress import Progress
from orchestrator.runners.runner import Runner, RunnerName


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """What is asked for."""

    cells: bool = False
    """Whether the networks of the cross-validation are refitted and explained, too."""
    manifest: Path | None = None
    """The cohort, where it does not lie where the run found it."""
    permuted: Run | None = None
    """A label permutation of the run, to compare with."""
    report: bool = True
    """Whether the run's report is written again, with what was found."""
    runner: RunnerName = "ray"
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOutcome:
    """How it ended."""

    done_now: int
    """Cells that this call explained."""
    test: bool
    """Whether final networks are among the explained ones."""
    failed: tuple[str, ...]
    """The cells that could not be explained."""

    def check(self) -> None:
        """Refuse an explanation that lacks cells.

        Raises:
            IncompleteRunError: Some could not be explained.
        """
        if self.failed:
            raise IncompleteRunError(
                f"{len(self.failed)} cells could not be explained ({', '.join(self.failed[:3])}); the reasons are in "
                "run.log; the same command tries them again"
            )


def explain_run(run: Run, options: ExplainOptions, progress: Progress, runner: Runner | None = None) -> ExplainOutcome:
    """Explain a run, or what is left of it; run it again to resume.

    Args:
        run: A run.
        options: What is asked for.
        progress: Shows what the driver is doing.
        runner: Does the cells instead of the one that `options` names.

    Raises:
        ExperimentError: There are no exams that the final networks have not learned from, and cells are not asked
            for; or the cohort is not at hand.
        RunDirectoryError: The cohort is not the run's, or refitted networks are not the run's.
        IncompleteRunError: `cells` is asked for and a cell is not complete.
    """
    opened = _check_exams(run, options)
    permuted = options.permuted
    if permuted is not None:
        if permutation_number(permuted.name) is None or not permuted.name.startswith(f"{run.name}-permutation-"):
            raise ExperimentError(f"--permuted takes a run that `polarmap permute` made of {run.name}")
        explain_run(permuted, replace(options, cells=True, permuted=None), progress, runner)
    asked = RunOptions(runner=options.runner, address=options.address)
    resolved = resolve_again(run, options.manifest, asked, progress, lambda fact: _is_free(fact, options.cells))
    # One driver a run directory, as for `polarmap run`.
    with run.paths.storage.hold(), logging_to(run.paths):
        state = RunState.read(run.paths)
        if find_damage(state, run.description.hash).is_of_results:
            raise RunDirectoryError(f"{run.paths.name} has damaged cells; `polarmap run` does them again")
        done, failed = _explain(run, resolved, state, options, opened, progress, runner)
        _write_tables(run, state, permuted)
        if options.report and state.is_reported:
            from orchestrator.report.build import write_report  # noqa: PLC0415 - matplotlib; only the report needs it

            write_report(run)
    return ExplainOutcome(done_now=done, test=opened, failed=failed)


def _check_exams(run: Run, options: ExplainOptions) -> bool:
    """Whether the test was opened; refuses where there would be nothing that may be explained."""
    description = run.description
    finals = [key for key in cell_keys(description.settings, final=description.final) if key.partition == "test"]
    opened = bool(finals) and all(
        run.paths.in_cell(key.name, CellPart.TEST_PREDICTIONS.marker).exists() for key in finals
    )
    if not (opened or options.cells):
        raise ExperimentError(
            "final networks are explained on exams that they have not learned from, but the test partition was not "
            "opened; open it with `polarmap run … --open-test`, or explain the cross-validation with --cells"
        )
    return opened


def _is_free(fact: str, cells: bool) -> bool:
    """Versions may differ where networks are only read; refitted ones are compared with the ledger in any case."""
    return fact.startswith("versions.") or (fact == "device" and not cells)


def _explain(
    run: Run,
    resolved: ResolvedRun,
    state: RunState,
    options: ExplainOptions,
    opened: bool,
    progress: Progress,
    runner: Runner | None,
) -> tuple[int, tuple[str, ...]]:
    """Explain what is left: how many cells that were, and which of them failed."""
    # Whatever changes how scores are explained makes earlier attributions those of another experiment.
    source = digest({"experiment": run.description.hash, "method": METHOD})
    for line in quarantine_attributions(state, source):
        progress.say(line)
    keep_reference_maps(resolved, run.description.hash)
    done = explain_final_networks(resolved, state, source, progress) if opened else 0
    if not options.cells:
        return done, ()
    jobs = explanation_jobs(resolved, state)
    events = CellExplanations(state, source, resolved, progress, len(jobs))
    if jobs:
        context = worker_context(resolved.prepared, resolved.weights, resolved.device, resolved.facts)
        resources = resolved.prepared.loaded.experiment.resources
        # A pilot measures a candidate, and there are none here.
        if resources.gpus_per_cell == "auto" and resolved.device != "cpu":
            resources = replace(resources, gpus_per_cell=1.0)
        try:
            (runner or runner_for(resolved.options, explain_cell)).run(jobs, context, resources, events)
        finally:
            progress.end()
    return done + len(jobs) - len(events.failed), tuple(events.failed)


def _write_tables(run: Run, state: RunState, permuted: Run | None) -> None:
    """Write the attributions of exams, and of groups of them."""
    exams, (predictions,) = joined_attributions(state), run.tables("predictions")
    experiment = run.description.hash
    write_sealed(run.paths.table("exam_attributions"), exams, experiment)
    found = exams.to_pandas()
    if permuted is not None:
        found = with_permuted(found, permuted.exam_attributions)
    groups = attribution_groups(found, predictions, run.description.settings.statistics.level)
    write_sealed(run.paths.table("attributions"), groups, experiment)
