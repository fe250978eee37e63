"""Pairs of input configurations on the same patients, folds and seeds, within a tracer."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations

from mpi_model.errors import StatisticsError
from orchestrator.report.models import CrossValidated, Tested
from orchestrator.report.records import EVERYONE
from orchestrator.report.rows import Group, Row, counted
from orchestrator.statistics.auc import auc, auc_intervals
from orchestrator.statistics.comparisons import (
    HELD_OUT_DIFFERENCE,
    Difference,
    above_chance,
    corrected_resampled_t,
    correlated_bayesian_t,
    cross_validated_difference,
    held_out_difference,
    holm,
    paired_delong,
)
from orchestrator.statistics.cross_validation import fold_aucs, inflated_logit_interval
from orchestrator.statistics.resampling import rank_swap_p_value
from orchestrator.statistics.scores import FoldScores, PatientScores, require_same_exams

CROSS_VALIDATED = "NB-inflated t"
HELD_OUT = HELD_OUT_DIFFERENCE
DRAWS = 2000
"""Draws of a report's permutation test."""
RESAMPLING_SEED = 20_261_122
"""Seeds every permutation of a report, so that a report repeats."""


def comparison_rows(
    group: Group, models: Mapping[str, CrossValidated | Tested | None], equivalence: float, refused: str = ""
) -> list[Row]:
    """The rows of all pairs of inputs of one tracer and partition.

    Args:
        group: Its `inputs` are replaced by the pair's.
        models: By inputs, in order; None where an inputs has no estimate.
        equivalence: Half-width of the region of practical equivalence.
        refused: Why no pair may be compared at all; empty when they may.
    """
    rows = []
    for first, second in combinations(models, 2):
        pair = replace(group, inputs=f"{first}-{second}")
        rows.extend(pair_rows(pair, models[first], models[second], equivalence, refused))
    return rows


def pair_rows(
    group: Group,
    first: CrossValidated | Tested | None,
    second: CrossValidated | Tested | None,
    equivalence: float,
    refused: str = "",
) -> list[Row]:
    """The rows of one pair: the leading method, what stands beside it, or one refusal."""
    method = CROSS_VALIDATED if group.partition == "development" else HELD_OUT
    if refused or first is None or second is None:
        return [group.refusal("auc_difference", method, refused or "one side has no estimate", primary=True)]
    group = counted(group, first.scores.exams)
    try:
        require_same_exams([first.scores, second.scores])
    except StatisticsError as error:
        return [group.refusal("auc_difference", method, "; ".join(error.problems), primary=True)]
    if isinstance(first.scores, FoldScores) and isinstance(second.scores, FoldScores):
        return _cross_validated_pair(group, first.scores, second.scores, equivalence)
    if isinstance(first.scores, PatientScores) and isinstance(second.scores, PatientScores):
        return _held_out_pair(group, first.scores, second.scores)
    return [group.refusal("auc_difference", method, "one side is cross-validated, the other tested", primary=True)]


def with_holm(rows: list[Row]) -> list[Row]:
    """Adjust the leading p-values of each partition's families, refused ones counted.

    One family are all pairs of input configurations in all tracers; another, the differences from a baseline: asking
    for the second does not make the first stricter.
    """
    adjusted = list(rows)
    for partition, model in dict.fromkeys((row["partition"], row["model"]) for row in rows):
        family = [
            place
            for place, row in enumerate(rows)
            if (row["partition"], row["model"]) == (partition, model)
            and row["metric"] == "auc_difference"
            and row["primary"]
            and row["subgroup"] == EVERYONE
        ]
        values = holm([rows[place].get("p") for place in family])  # type: ignore[misc] # a float or None
        for place, value in zip(family, values, strict=True):
            adjusted[place] = {**rows[place], "p_holm": value}
    return adjusted


def _cross_validated_pair(group: Group, first: FoldScores, second: FoldScores, equivalence: float) -> list[Row]:
    level = group.level
    if not above_chance(*(inflated_logit_interval(model, level) for model in (first, second))):
        return [_gated(group, CROSS_VALIDATED)]
    differences = fold_aucs(first) - fold_aucs(second)
    spread = float(differences.std(ddof=1))
    return [
        _difference(group, CROSS_VALIDATED, lambda: cross_validated_difference(first, second, level), spread, True),
        _difference(group, "Nadeau–Bengio t", lambda: corrected_resampled_t(differences, level), spread, False),
        *_equivalence(group, lambda: correlated_bayesian_t(differences, equivalence), equivalence),
    ]


def _held_out_pair(group: Group, first: PatientScores, second: PatientScores) -> list[Row]:
    level = group.level
    if not above_chance(*(auc_intervals(model, level)[0] for model in (first, second))):
        return [_gated(group, HELD_OUT)]

    swapped = rank_swap_p_value(first, second, DRAWS, RESAMPLING_SEED)
    return [
        _difference(group, HELD_OUT, lambda: held_out_difference(first, second, level), None, True),
        _difference(group, "paired DeLong", lambda: paired_delong(first, second, level), None, False),
        group.row("auc_difference", "rank-swap permutation", estimate=auc(first) - auc(second), p=swapped),
    ]


def _gated(group: Group, method: str) -> Row:
    reason = "neither side's interval lies above 0.5: two models at chance are not compared"
    return group.refusal("auc_difference", method, reason, primary=True)


def _difference(
    group: Group, method: str, compute: Callable[[], Difference], spread: float | None, primary: bool
) -> Row:
    try:
        found = compute()
    except StatisticsError as error:
        return group.refusal("auc_difference", method, "; ".join(error.problems), primary=primary)
    return group.interval("auc_difference", found.interval, p=found.p, sd=spread, primary=primary)


def _equivalence(group: Group, compute: Callable[[], object], rope: float) -> list[Row]:
    method = "correlated Bayesian t"
    try:
        found = compute()
    except StatisticsError as error:
        return [group.refusal("probability_equivalent", method, "; ".join(error.problems), at=rope)]
    return [
        group.row(f"probability_{name}", method, estimate=getattr(found, part), at=rope)
        for name, part in (("first_worse", "below"), ("equivalent", "inside"), ("first_better", "above"))
    ]
