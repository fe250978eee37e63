"""`polarmap compare`: two runs with one fold plan, paired cell by cell."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.ledger.reading import Run
from orchestrator.report.build import run_tables
from orchestrator.report.comparison_rows import pair_rows, with_holm
from orchestrator.report.models import JudgedModel
from orchestrator.report.optimism_rows import marked_as_flat_search
from orchestrator.report.records import Report, RunTables
from orchestrator.report.rows import Group, Row, summary_frame
from orchestrator.report.summary import arranged
from orchestrator.storage.locations import resolved


@dataclass(frozen=True, slots=True, kw_only=True)
class _ComparedRun:
    """One side of a comparison."""

    name: str
    plan_hash: str
    """Of development patients, labels, strata and folds; the training seeds derive from it."""
    tables: RunTables
    """With the predictions of one model."""


def comparison_report(first: Run, second: Run) -> Report:
    """The report of two runs, paired; the first run's statistics settings are used.

    Raises:
        StatisticsError: It is the same experiment twice, or see `_compare_runs`.
    """
    if resolved(first.paths.root) == resolved(second.paths.root):
        raise StatisticsError("a run cannot be compared with itself; name two run directories")
    # The hash is of everything that decides the numbers: no difference between two such runs says anything.
    if first.description.hash == second.description.hash:
        raise StatisticsError("both are runs of one experiment, whose numbers are equal; name runs of two experiments")
    summary = _compare_runs(_compared(first), _compared(second), first.description.settings.statistics)
    return Report(name=f"{first.name} and {second.name}, paired", summary=summary)


def _compared(run: Run) -> _ComparedRun:
    tables = run_tables(run)
    # Of one plan and one input configuration the baseline is the same in both: the networks are what differs.
    return _ComparedRun(name=run.name, plan_hash=run.plan, tables=tables.of(tables.models[0]))


def _compare_runs(first: _ComparedRun, second: _ComparedRun, settings: StatisticsSettings) -> pd.DataFrame:
    """The differences first − second for every input configuration, tracer and partition both runs have.

    Args:
        first: A run.
        second: Another with the same plan.
        settings: Level, equivalence and endpoints; the first run's.

    Returns:
        Rows of the summary with `metric = "auc_difference"` and `inputs` such as `dual (first − second)`, in
        which the runs' names stand; Holm over all of a partition's.

    Raises:
        StatisticsError: Plans, seeds or patients differ, or the runs have nothing in common; all reasons
            together.
    """
    problems = list(_refusals(first, second))
    if problems:
        raise StatisticsError(*problems)
    # In the order of the first run.
    shared = [name for name in first.tables.inputs if name in second.tables.inputs]
    rows: list[Row] = []
    for partition in ("development", "test"):
        for tracer in _tracers(first.tables, second.tables, partition):
            for inputs in shared:
                group = Group(
                    partition=partition,
                    tracer=tracer,
                    endpoint=settings.endpoints.get(tracer, "label 1"),
                    inputs=f"{inputs} ({first.name} − {second.name})",
                    level=settings.level,
                )
                sides = [_side(run.tables, partition, inputs, tracer) for run in (first, second)]
                missing = "; ".join(
                    f"{run.name}: {reason}" for run, (_, reason) in zip((first, second), sides, strict=True) if reason
                )
                rows.extend(pair_rows(group, sides[0][0], sides[1][0], settings.equivalence, missing))
    if any(run.tables.search.scheme == "flat" for run in (first, second)):
        rows = [marked_as_flat_search(row) for row in rows]
    return summary_frame(with_holm(rows))


def _refusals(first: _ComparedRun, second: _ComparedRun) -> Iterator[str]:
    if first.plan_hash != second.plan_hash:
        yield "the runs have different fold plans, so their folds cannot be paired; use one cohort and [folds]"
    for run in (first, second):
        if run.tables.patients == "available":
            yield f'{run.name} has `cohort.patients = "available"`, so its inputs were judged on different exams'
    if not set(first.tables.inputs) & set(second.tables.inputs):
        yield "the runs share no input configuration"


def _tracers(first: RunTables, second: RunTables, partition: str) -> list[str]:
    found = [
        set(tables.predictions.loc[tables.predictions["partition"] == partition, "tracer"])
        for tables in (first, second)
    ]
    return sorted(found[0] & found[1])


def _side(tables: RunTables, partition: str, inputs: str, tracer: str) -> tuple[JudgedModel | None, str]:
    rows = tables.predictions
    mine = rows[(rows["partition"] == partition) & (rows["inputs"] == inputs) & (rows["tracer"] == tracer)]
    return arranged(tables, partition, inputs, mine)
