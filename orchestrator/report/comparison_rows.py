"""Pairs of input configurations on the same patients, folds and seeds, within a tracer.

Pairs are the declared secondary hypotheses, or all of them where none was declared; Holm's adjustment runs over that
family in both tracers, one family a partition. The primary hypothesis, non-inferiority, is one a tracer and is not
adjusted.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations

from mpi_model.errors import StatisticsError
from orchestrator.experiment.settings import Noninferiority, StatisticsSettings
from orchestrator.report.counts import shows_counts, too_few, unanswered, with_counts
from orchestrator.report.models import CrossValidated, JudgedModel, Tested
from orchestrator.report.readings import Limits, answer
from orchestrator.report.records import EVERYONE
from orchestrator.report.rows import Group, Row
from orchestrator.statistics.auc import auc, auc_intervals
from orchestrator.statistics.comparisons import (
    Difference,
    above_chance,
    corrected_resampled_t,
    correlated_bayesian_t,
    cross_validated_difference,
    held_out_difference,
    holm,
    paired_delong,
)
from orchestrator.statistics.cross_validation import fold_aucs, within_fold_interval
from orchestrator.statistics.intervals import Method
from orchestrator.statistics.paired_proportions import cross_validated_paired_difference, paired_difference
from orchestrator.statistics.proportions import Decisions
from orchestrator.statistics.resampling import rank_swap_p_value
from orchestrator.statistics.scores import require_same_exams

_PRIMARY = "primary hypothesis, not adjusted"
_UNADJUSTED = "not adjusted for multiplicity"
# Draws of a report's permutation test.
_DRAWS = 2000
# Seeds every permutation of a report, so that a report repeats.
_RESAMPLING_SEED = 20_261_122
_CLASSES = (("sensitivity_difference", True), ("specificity_difference", False))


def comparison_rows(
    group: Group, models: Mapping[str, JudgedModel | None], settings: StatisticsSettings, refused: str = ""
) -> list[Row]:
    """The rows of the hypotheses of one tracer and partition, the primary one first.

    Args:
        group: Its `inputs` are replaced by the pair's.
        models: By inputs, in order; None where an input configuration has no estimate.
        settings: Which pairs were declared, the margin, the region of equivalence.
        refused: Why no pair may be compared at all; empty when they may.
    """
    rows: list[Row] = []
    primary = settings.noninferiority
    if primary is not None:
        first, second = primary.sides
        pair = replace(group, inputs=primary.pair)
        rows.append(_noninferiority_row(pair, models.get(first), models.get(second), primary, refused))
    declared = [tuple(pair.split("-")) for pair in settings.comparisons] or list(combinations(models, 2))
    for first, second in declared:
        pair = replace(group, inputs=f"{first}-{second}")
        rows.extend(pair_rows(pair, models.get(first), models.get(second), settings.equivalence, refused))
    return rows


def _noninferiority_row(
    group: Group,
    first: JudgedModel | None,
    second: JudgedModel | None,
    question: Noninferiority,
    refused: str = "",
) -> Row:
    """The primary hypothesis: the first is not worse than the second by the margin or more.

    Its p-value is one-sided; it is below (1 − level)/2 exactly where the printed interval lies above −margin.
    """
    method, metric = _leading_method(group), "auc_noninferiority"
    reason = _unpaired(first, second, refused)
    if reason:
        absent = [name for name, model in zip(question.sides, (first, second), strict=True) if model is None]
        if absent and not refused:
            # Of `stress-only-dual` the sides could be meant otherwise than they were read.
            parted = "; a pair is parted at its first dash" if question.pair.count("-") > 1 else ""
            reason = f"no estimate of {' and '.join(absent)}{parted}"
        return group.refusal(metric, method, reason, at=question.margin, primary=True, family=_PRIMARY)
    assert first is not None
    group, (first_name, second_name) = _group_of_pair(group, first), question.sides
    exams = first.scores.exams
    instead = unanswered(first_name, second_name, question.margin, exams) if too_few(exams) else ""
    try:
        found = _difference_of(first, second, group.level)
    except StatisticsError as error:
        reason = instead or "; ".join(error.problems)
        return group.refusal(metric, method, reason, at=question.margin, primary=True, family=_PRIMARY)
    limits = Limits(low=found.interval.low, high=found.interval.high)
    said = instead or answer(first_name, second_name, limits, question.margin)
    return group.interval(
        # The margin is negative on the scale of the difference: first − second > −margin.
        metric, found.interval, at=question.margin, p=found.p_above(-question.margin), primary=True, family=_PRIMARY,
        reason=said,
    )  # fmt: skip


def pair_rows(
    group: Group,
    first: JudgedModel | None,
    second: JudgedModel | None,
    equivalence: float,
    refused: str = "",
) -> list[Row]:
    """The rows of one pair: the leading method, what stands beside it, or one refusal."""
    method = _leading_method(group)
    reason = _unpaired(first, second, refused)
    if reason:
        return [group.refusal("auc_difference", method, reason, primary=True)]
    assert first is not None
    group = _group_of_pair(group, first)
    if isinstance(first, CrossValidated) and isinstance(second, CrossValidated):
        rows = _cross_validated_pair(group, first, second, equivalence)
    else:
        assert isinstance(first, Tested)
        assert isinstance(second, Tested)
        rows = _held_out_pair(group, first, second)
    return with_counts(rows, first.scores.exams)


def with_holm(rows: list[Row]) -> list[Row]:
    """Adjust the leading p-values of each partition's families, refused ones counted.

    One family are all pairs of input configurations in all tracers; another, the differences from all other models:
    asking for the second does not make the first stricter.
    """
    adjusted = list(rows)
    judged = rows[0]["model"] if rows else ""
    for partition, others in dict.fromkeys((row["partition"], row["model"] != judged) for row in rows):
        family = [
            place
            for place, row in enumerate(rows)
            if (row["partition"], row["model"] != judged) == (partition, others)
            and row["metric"] == "auc_difference"
            and row["primary"]
            and row["subgroup"] == EVERYONE
        ]
        # Refused comparisons, and those that no report shows, count in the family without a p-value: it was declared
        # before the data.
        values = holm([None if shows_counts(rows[place]) else rows[place].get("p") for place in family])  # type: ignore[misc] # a float or None
        name = _family_name([rows[place] for place in family], against_others=others)
        for place, value in zip(family, values, strict=True):
            adjusted[place] = {**rows[place], "p_holm": value, "family": name}
    return adjusted


def _family_name(family: list[Row], *, against_others: bool) -> str:
    if not family:
        return ""
    tracers, pairs = len({row["tracer"] for row in family}), list(dict.fromkeys(str(row["model"]) for row in family))
    against = f"against {'the baseline' if len(pairs) == 1 else 'other models'} ({', '.join(pairs)})"
    over = f"{len(family)} comparison{'s' if len(family) != 1 else ''}"
    asked = against if against_others else "secondary"
    return f"{asked}, Holm over {over} ({tracers} tracer{'s' if tracers != 1 else ''})"


def _leading_method(group: Group) -> str:
    return Method.CROSS_VALIDATED_DIFFERENCE if group.partition == "development" else Method.HELD_OUT_DIFFERENCE


def _group_of_pair(group: Group, model: JudgedModel) -> Group:
    """With counts and with what the interval is for: a pair's is for the networks that were trained."""
    estimand = "these networks" if isinstance(model, CrossValidated) else "final network"
    return replace(group, estimand=estimand).counted(model.scores.exams)


def _unpaired(first: JudgedModel | None, second: JudgedModel | None, refused: str) -> str:
    """Why two models cannot be paired; empty where they can."""
    if refused or first is None or second is None:
        return refused or "one side has no estimate"
    if type(first) is not type(second):
        return "one side is cross-validated, the other tested"
    try:
        require_same_exams([first.scores, second.scores])
    except StatisticsError as error:
        return "; ".join(error.problems)
    return ""


def _difference_of(first: JudgedModel, second: JudgedModel | None, level: float) -> Difference:
    if isinstance(first, CrossValidated) and isinstance(second, CrossValidated):
        return cross_validated_difference(first.cross_validation, second.cross_validation, level)
    assert isinstance(first, Tested)
    assert isinstance(second, Tested)
    return held_out_difference(first.scores, second.scores, level)


def _cross_validated_pair(group: Group, first: CrossValidated, second: CrossValidated, equivalence: float) -> list[Row]:
    level, sides = group.level, (first.cross_validation, second.cross_validation)
    if not above_chance(*(within_fold_interval(side, level) for side in sides)):
        return [_gated(group, Method.CROSS_VALIDATED_DIFFERENCE)]
    # Paired by fold: both models were judged on the same patients in each.
    differences = fold_aucs(first.scores) - fold_aucs(second.scores)
    spread = float(differences.std(ddof=1))
    rows = [
        _difference(
            group, Method.CROSS_VALIDATED_DIFFERENCE, lambda: cross_validated_difference(*sides, level), spread, True
        ),
        _difference(group, "Nadeau–Bengio t", lambda: corrected_resampled_t(differences, level), spread, False),
        *_equivalence(group, lambda: correlated_bayesian_t(differences, equivalence), equivalence),
    ]
    if first.positive is None or second.positive is None:
        return rows
    # The larger factor of the two is the cautious choice.
    factor = max(side.factor for side in sides)
    positives = first.positive, second.positive
    return rows + [
        group.interval(
            metric,
            cross_validated_paired_difference(first.scores.exams, *positives, label, factor, level),
            reason=_UNADJUSTED,
        )
        for metric, label in _CLASSES
    ]


def _held_out_pair(group: Group, first: Tested, second: Tested) -> list[Row]:
    level, scores = group.level, (first.scores, second.scores)
    if not above_chance(*(auc_intervals(model, level)[0] for model in scores)):
        return [_gated(group, Method.HELD_OUT_DIFFERENCE)]
    swapped = rank_swap_p_value(*scores, _DRAWS, _RESAMPLING_SEED)
    rows = [
        _difference(group, Method.HELD_OUT_DIFFERENCE, lambda: held_out_difference(*scores, level), None, True),
        _difference(group, "paired DeLong", lambda: paired_delong(*scores, level), None, False),
        group.row("auc_difference", "rank-swap permutation", estimate=auc(scores[0]) - auc(scores[1]), p=swapped),
    ]
    if first.positive is None or second.positive is None:
        return rows
    one, other = (Decisions(exams=scores[0].exams, positive=called) for called in (first.positive, second.positive))
    return rows + [
        group.interval(metric, paired_difference(one, other, label, level), reason=_UNADJUSTED)
        for metric, label in _CLASSES
    ]


def _gated(group: Group, method: str) -> Row:
    reason = "neither AUC has been shown to exceed 0.5, and two such models are not compared"
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
