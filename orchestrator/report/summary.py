"""The summary of a run: every estimate, interval and comparison, one row a method, refusals included.

A cross-validation with a failed or missing cell gets refusals, not an average over the cells that happen to be there.
Cells fail for reasons that have to do with their results (memory, divergence). Leaving them out would favour the
configuration that fails. `polarmap run --retry-failed` completes it. Other input configurations are estimated as ever.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.comparison_rows import comparison_rows, pair_rows, with_holm
from orchestrator.report.counts import with_counts
from orchestrator.report.development_rows import development_rows
from orchestrator.report.held_out_rows import held_out_rows
from orchestrator.report.models import CrossValidated, JudgedModel, Tested
from orchestrator.report.optimism_rows import (
    above_chance_refusal,
    marked_as_flat_search,
    optimism_rows,
    selection_bias_of,
    with_means_over_tracers,
)
from orchestrator.report.records import RunTables
from orchestrator.report.rows import Group, Row, summary_frame
from orchestrator.report.site_rows import site_rows
from orchestrator.report.subgroup_rows import subgroup_rows
from orchestrator.statistics.intervals import Method

_LEADING = {"development": Method.WITHIN_FOLD, "test": "logit DeLong"}
_NOT_COMPARED = "folds are sites: two models are not compared over sites, which differ"
_OTHER_EXAMS = 'patients = "available": each input configuration was judged on other exams, so no pair is compared'


def summarise(
    tables: RunTables, settings: StatisticsSettings, partitions: Sequence[str] = ("development", "test")
) -> pd.DataFrame:
    """Every estimate the tables of a run allow, per partition, tracer, inputs and model; tracers are never pooled.

    Args:
        tables: Of one run, finished or not.
        settings: The experiment's `[statistics]`.
        partitions: Those to estimate.

    Returns:
        A frame with exactly `orchestrator.ledger.schemas.SUMMARY_COLUMNS`, one row a method.
    """
    rows: list[Row] = []
    tables = replace(tables, selection_bias=selection_bias_of(tables, settings.level))
    for partition in partitions:
        chosen = tables.predictions[tables.predictions["partition"] == partition]
        for tracer in sorted(tables.exams["tracer"].unique()):
            found = chosen[chosen["tracer"] == tracer]
            # A closed test has no rows; a cross-validation that was planned and has no result has one, a refusal.
            if len(found) or (partition == "development" and len(tables.folds)):
                rows.extend(_tracer_rows(tables, settings, partition, str(tracer), found))
    if tables.search.scheme == "flat":
        rows = [marked_as_flat_search(row) for row in rows]
    return summary_frame(with_holm(with_means_over_tracers(rows)))


def unfinished(tables: RunTables, inputs: str) -> str:
    """What keeps the cross-validation of an input configuration from being complete; empty when it is."""
    expected = set(tables.folds[["repeat", "fold"]].drop_duplicates().itertuples(index=False, name=None))
    mine = tables.cells[(tables.cells["inputs"] == inputs) & tables.cells["repeat"].notna()]
    # To whole numbers: the final cells' missing repeats make the columns nullable, and tuples must compare equal.
    complete = mine[mine["state"] == "complete"][["repeat", "fold"]].astype("int64")
    missing = expected - set(complete.itertuples(index=False, name=None))
    if not missing:
        return ""
    failed = int((mine["state"] == "failed").sum())
    return (
        f"{len(missing)} of {len(expected)} cells have no result ({failed} failed); an average over the others would "
        "favour what fails; run again with --retry-failed"
    )


def _tracer_rows(
    tables: RunTables, settings: StatisticsSettings, partition: str, tracer: str, predictions: pd.DataFrame
) -> list[Row]:
    endpoint = settings.endpoints.get(tracer, "label 1")
    base = {"partition": partition, "tracer": tracer, "endpoint": endpoint, "level": settings.level}
    judged, *others = tables.models
    groups = {
        model: [Group(**base, inputs=inputs, model=model) for inputs in tables.inputs]  # type: ignore[arg-type] # texts and one number
        for model in tables.models
    }
    rows, models = _rows_of_model(tables.of(judged), settings, groups[judged], predictions)
    by_site = partition == "development" and tables.by == "site"
    refused = _OTHER_EXAMS if tables.patients == "available" else _NOT_COMPARED if by_site else ""
    of_pairs = Group(**base, inputs="", model=judged)  # type: ignore[arg-type]
    rows.extend(comparison_rows(of_pairs, models, settings, refused))
    for other in others:
        # The subgroups of the judged model say where it fails; those of a baseline would only make the table longer.
        plain = replace(settings, subgroups=())
        more, theirs = _rows_of_model(tables.of(other), plain, groups[other], predictions)
        rows.extend(more)
        for group in groups[judged]:
            pair = replace(group, model=f"{judged}-{other}")
            rows.extend(
                pair_rows(
                    pair,
                    models[group.inputs],
                    theirs[group.inputs],
                    settings.equivalence,
                    _NOT_COMPARED if by_site else "",
                )
            )
    return rows


def _rows_of_model(
    tables: RunTables, settings: StatisticsSettings, groups: Sequence[Group], predictions: pd.DataFrame
) -> tuple[list[Row], dict[str, JudgedModel | None]]:
    """The rows of one model in every input configuration, and what they were computed from.

    Args:
        tables: With this model's predictions only.
        settings: The experiment's.
        groups: One an input configuration.
        predictions: Of the groups' partition and tracer, whoever predicted.
    """
    rows: list[Row] = []
    models: dict[str, JudgedModel | None] = {}
    for group in groups:
        mine = predictions[(predictions["inputs"] == group.inputs) & (predictions["model"] == group.model)]
        by_site = group.partition == "development" and tables.by == "site"
        # Sites are not folds of one population: they get their own rows, and no model is returned for comparisons.
        if by_site and not unfinished(tables, group.inputs):
            models[group.inputs] = None
            rows.extend(site_rows(group, mine, _by_exam(tables)["site"]))
            continue
        model, refused = arranged(tables, group.partition, group.inputs, mine)
        models[group.inputs] = model
        if model is None:
            rows.append(group.refusal("auc", _LEADING[group.partition], refused, primary=True))
            continue
        full = group.counted(model.scores.exams)
        rows.extend(with_counts(_model_rows(tables, settings, full, model), model.scores.exams, model.positive))
        rows.extend(_subgroups(tables, settings, full, model))
    return rows, models


def arranged(
    tables: RunTables, partition: str, inputs: str, predictions: pd.DataFrame
) -> tuple[JudgedModel | None, str]:
    """The model of an input configuration, and an empty text; or None, and why there is none."""
    arrange: Callable[[pd.DataFrame], JudgedModel] = Tested.of
    if partition == "development":
        arrange = CrossValidated.of
        reason = unfinished(tables, inputs)
        if reason:
            return None, reason
    if predictions.empty:
        return None, "there are no predictions: none were given, or its cell failed or has not run"
    try:
        return arrange(predictions), ""
    except StatisticsError as error:
        return None, "; ".join(error.problems)


def _model_rows(tables: RunTables, settings: StatisticsSettings, group: Group, model: JudgedModel) -> list[Row]:
    if isinstance(model, CrossValidated):
        refused = [above_chance_refusal(group)] if tables.search.scheme == "flat" else []
        return [
            *refused,
            *development_rows(group, model, settings.specificity, tables.calibrated),
            *optimism_rows(group, model, tables),
        ]
    return held_out_rows(
        group, model, settings.specificity, tables.calibrated, settings.prevalence, _development(tables, group)
    )


def _development(tables: RunTables, group: Group) -> CrossValidated | None:
    """The cross-validation of the same inputs and tracer, where it is complete."""
    rows = tables.predictions
    mine = rows[
        (rows["partition"] == "development") & (rows["inputs"] == group.inputs) & (rows["tracer"] == group.tracer)
    ]
    model, _ = arranged(tables, "development", group.inputs, mine)
    return model if isinstance(model, CrossValidated) else None


def _by_exam(tables: RunTables) -> pd.DataFrame:
    return tables.exams.set_index(tables.exams["exam_id"].astype(str))


def _subgroups(tables: RunTables, settings: StatisticsSettings, group: Group, model: JudgedModel) -> Iterator[Row]:
    by_exam = _by_exam(tables)
    for column in settings.subgroups:
        yield from subgroup_rows(group, model, column, by_exam.get(column))
