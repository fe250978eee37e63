"""The whole procedure again on bootstrap samples of the development patients: how far its predictions move.

Each sample is a cell like any other, searched, refitted and calibrated; a cell of the cohort itself trains the networks
that a run's final cell trains. The run directory is one of its own, `NAME-instability`, and more samples can be added
to it later (Riley & Collins 2023, doi:10.1002/bimj.202200302).
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from mpi_model.errors import ExperimentError, IncompleteRunError
from orchestrator.cells.records import CellKey, sample_keys
from orchestrator.cells.tasks import purposes_of, sample_task
from orchestrator.driver.prepare import Prepared
from orchestrator.driver.resume import ResolvedRun, RunOptions, quarantine_failed, record_of, resolve_run
from orchestrator.experiment.bounds import MOST_SAMPLES, check_number
from orchestrator.experiment.settings import LoadedExperiment
from orchestrator.folds.bootstrap import patients_drawn
from orchestrator.ledger.compaction import compact
from orchestrator.ledger.directory import begin_run
from orchestrator.ledger.identity import SAMPLED
from orchestrator.ledger.integrity import find_damage, quarantine_damaged
from orchestrator.ledger.reading import Run
from orchestrator.ledger.seals import write_sealed
from orchestrator.ledger.state import RunState
from orchestrator.monitoring.log import logging_to
from orchestrator.monitoring.progress import Progress
from orchestrator.report.records import Report
from orchestrator.runners.runner import Job, Runner

_FEWEST = 2


def measure_instability(
    loaded: LoadedExperiment, samples: int, options: RunOptions, progress: Progress, runner: Runner | None = None
) -> Report:
    """Train on bootstrap samples, or on those that are left, and compare their predictions.

    Args:
        loaded: The experiment.
        samples: Bootstrap samples; a later call may ask for more.
        options: Who runs the cells, and whether failed ones are done again.
        progress: Shows what the driver is doing.
        runner: Runs the cells instead of the one that `options` names.

    Returns:
        Means over exams; the exams themselves are in the run directory's `tables/instability.parquet`.

    Raises:
        ExperimentError: Fewer than two samples are asked for.
        IncompleteRunError: A cell of the cohort itself failed, with which all others are compared.
    """
    check_number("--samples", samples, _FEWEST, MOST_SAMPLES, "200 give stable percentiles")
    if loaded.experiment.search.scheme == "flat":
        raise ExperimentError(
            '`search.scheme` = "flat" shares trainings between folds, and a bootstrap sample has none; '
            "measure instability with `--set search.scheme=nested`"
        )
    resolved = _resolved(loaded, samples, options, progress)
    with resolved.paths.storage.hold():
        # A plan without repeats: nothing here is a cross-validation, and no report can read it as one.
        without = replace(resolved.prepared.plan, folds=np.empty((0, len(resolved.prepared.plan.patients)), np.int64))
        begin_run(resolved.paths, record_of(replace(resolved.prepared, plan=without), resolved.facts, final=False))
        state = RunState.read(resolved.paths)
        with logging_to(resolved.paths):
            for line in quarantine_damaged(state, find_damage(state, resolved.hash)):
                progress.say(line)
            if options.retry_failed:
                quarantine_failed(state, resolved.keys)
            jobs = [job for key in resolved.keys if (job := _job(key, resolved.prepared, state)) is not None]
            if jobs:
                state.forget_report()
                from orchestrator.driver.training import train  # noqa: PLC0415 - torch; not where all is done

                train(jobs, resolved, state, progress, runner)
            return _report(resolved, state, samples)


def _resolved(loaded: LoadedExperiment, samples: int, options: RunOptions, progress: Progress) -> ResolvedRun:
    """The experiment under a name of its own, with the cells of its samples."""
    named = replace(loaded.experiment, name=f"{loaded.experiment.name}-instability")
    resolved = resolve_run(replace(loaded, experiment=named), options, progress)
    # A fact of its own, so that no run of the same name is taken for it; the number of samples is none, so it may grow.
    facts = {**resolved.facts, SAMPLED: "bootstrap samples of patients"}
    return replace(resolved, facts=facts, keys=sample_keys(named, samples))


def _job(key: CellKey, prepared: Prepared, state: RunState) -> Job | None:
    """What a cell has to do; None where it has ended."""
    if state.state_of(key) is not None:
        return None
    experiment = prepared.loaded.experiment
    task = sample_task(
        key,
        prepared.plan,
        prepared.cohort.exams,
        prepared.eligible,
        experiment.search.inner_folds,
        calibrated=experiment.decision.calibration != "none",
    )
    return Job(task=task, finished=state.finished(key))


def _report(resolved: ResolvedRun, state: RunState, samples: int) -> Report:
    """Write the table of exams and the summary, and report the latter."""
    from orchestrator.report.instability import instability_rows, instability_table  # noqa: PLC0415 - scipy, likewise

    failed = [key for key in resolved.keys if state.state_of(key) == "failed"]
    if any(key.repeat is None for key in failed):
        raise IncompleteRunError(
            "a cell of the whole development partition failed, with which every sample is compared; "
            f"`polarmap status {resolved.paths.root}` has the reason, and "
            "`polarmap instability … --retry-failed` does it again"
        )
    compact(state)
    predictions, exams = Run(resolved.paths, tables_are_current=True).predictions, resolved.prepared.cohort.exams
    # A ledger may hold more samples than this call asks for.
    asked = predictions["repeat"].isna() | (predictions["repeat"] <= samples)
    settings = resolved.prepared.loaded.experiment.statistics
    table = instability_table(predictions[asked], exams, _patients_of(resolved, samples), settings.level)
    write_sealed(resolved.paths.table("instability"), table, resolved.hash)
    summary = instability_rows(table, exams, samples, settings)
    write_sealed(resolved.paths.summary, summary, resolved.hash)
    notices = (
        (f"{len(failed)} of {len(resolved.keys)} cells failed and are left out; `--retry-failed` does them again",)
        if failed
        else ()
    )
    name = f"{resolved.prepared.loaded.experiment.name}: {samples} bootstrap samples"
    return Report(name=name, summary=summary, notices=notices)


def _patients_of(resolved: ResolvedRun, samples: int) -> dict[int, frozenset[str]]:
    """The patients of each sample."""
    experiment, plan = resolved.prepared.loaded.experiment, resolved.prepared.plan
    purposes = purposes_of(experiment.decision.calibration != "none")
    names = pd.Index(plan.patients)
    return {
        number: frozenset(names[patients_drawn(plan, number, experiment.search.inner_folds, purposes)[0] > 0])
        for number in range(1, samples + 1)
    }
