"""Internal–external cross-validation of one input configuration and tracer: each site held out once, then together.

Every site's exams were predicted by networks trained on none of that site (Steyerberg & Harrell 2016,
doi:10.1016/j.jclinepi.2015.04.005). Sites differ, so they are not pooled as if they were folds of one population.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from mpi_model.errors import StatisticsError
from orchestrator.report.counts import with_counts
from orchestrator.report.models import Tested
from orchestrator.report.records import HELD_OUT_SITE
from orchestrator.report.rows import Group, Row
from orchestrator.statistics.auc import auc_intervals
from orchestrator.statistics.intervals import Method
from orchestrator.statistics.meta_analysis import (
    logit_auc,
    random_effects,
)
from orchestrator.statistics.proportions import Decisions, wilson_interval

# Patients of a class; fewer give no usable estimate, and might disclose a person.
_FEWEST = 5
_LOGIT = "of the logit AUC, Paule–Mandel"


def site_rows(group: Group, predictions: pd.DataFrame, site_of: "pd.Series[str]") -> list[Row]:
    """The rows of every site and of all together.

    Args:
        group: Without counts.
        predictions: All held-out predictions of the group.
        site_of: The site, by exam id.
    """
    sites = predictions["exam_id"].map(site_of)
    rows: list[Row] = []
    models: list[Tested] = []
    for site in sorted(site_of.dropna().unique()):
        place = replace(group, subgroup=f"{HELD_OUT_SITE}{site}")
        mine = predictions[sites == site]
        model, reason = _model_of(mine)
        if model is None:
            counts = {"patients": mine["patient_id"].nunique(), "exams": mine["exam_id"].nunique()}
            events = mine.loc[mine["label"] == 1, "exam_id"].nunique()
            place = replace(place, **counts, positives=events, negatives=counts["exams"] - events)
            rows.append(place.refusal("auc", "logit DeLong", reason, primary=True))
            continue
        models.append(model)
        site = _rows_of_site(place.counted(model.scores.exams), model)
        rows.extend(with_counts(site, model.scores.exams, model.positive))
    return [*_rows_together(group, models), *rows]


def _model_of(predictions: pd.DataFrame) -> tuple[Tested | None, str]:
    """A site's model, or why there is no estimate."""
    if predictions.empty:
        return None, "no exam with this tracer"
    try:
        found = Tested.of(predictions)
    except StatisticsError as error:
        return None, "; ".join(error.problems)
    if min(found.scores.exams.class_patients) < _FEWEST:
        return None, f"fewer than {_FEWEST} patients of a class: counts only"
    return found, ""


def _rows_of_site(group: Group, model: Tested) -> list[Row]:
    rows = [group.interval("auc", auc_intervals(model.scores, group.level)[0], primary=True)]
    if model.positive is not None:
        decisions = Decisions(exams=model.scores.exams, positive=model.positive)
        for metric, label in (("sensitivity", True), ("specificity", False)):
            found = wilson_interval(decisions.correct_of_class(label), group.level)
            rows.append(group.interval(metric, found, primary=True))
    return rows


def _rows_together(group: Group, models: list[Tested]) -> list[Row]:
    exams = [model.scores.exams for model in models]
    group = replace(
        group,
        patients=sum(one.patient_count for one in exams),
        exams=sum(one.labels.size for one in exams),
        positives=sum(int(one.labels.sum()) for one in exams),
        negatives=sum(int((~one.labels).sum()) for one in exams),
    )
    values = [logit_auc(model.scores) for model in models]
    # `reshape(-1, 2)` keeps two columns when no site has an estimate.
    estimates, variances = np.array(values, dtype=np.float64).reshape(-1, 2).T
    try:
        found = random_effects(estimates, variances, group.level)
    except StatisticsError as error:
        return [group.refusal("auc", Method.HARTUNG_KNAPP, "; ".join(error.problems), primary=True)]
    note = f"mean over {len(models)} sites, each held out once"
    return [
        group.interval("auc", found.auc_interval(group.level), primary=True, reason=note),
        group.attempt("auc_of_new_site", Method.PREDICTION, lambda: found.auc_of_new_site(group.level), primary=True),
        group.row("auc_tau2", _LOGIT, estimate=found.tau2, primary=True),
        group.row("auc_i2", "Higgins & Thompson", estimate=found.i2, primary=True),
    ]
