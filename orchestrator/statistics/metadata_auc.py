"""How well a label can be told from a category alone, such as the site: what a network could learn beside the map.

A category scores an exam by the share of positive exams among the others of that category. Scores that are made with
one exam left out are not comparable. Leaving out a positive exam lowers its own category's share, so a category without
any information has an AUC far below one half (Parker, Günter & Bedo 2007, doi:10.1186/1471-2105-8-326). So two patients
are left out at a time, and only they are compared (leave-pair-out, Airola et al. 2011, doi:10.1016/j.csda.2010.11.018).
"""

import numpy as np

from orchestrator.statistics.auc import Influence, intervals_from
from orchestrator.statistics.intervals import Interval
from orchestrator.statistics.scores import Codes, Exams, Floats


def metadata_auc(categories: Codes, exams: Exams, level: float) -> Interval:
    """The leave-pair-out AUC of a category, with the interval that fits the counts, clustered by patient.

    About 0.5 for a category without information; below it where shares are more alike than chance makes them.

    Args:
        categories: `[N]`, 0 to G − 1.
        exams: Labels and patients of the N exams.
        level: Confidence level.

    Raises:
        StatisticsError: A class comes from a single patient.
    """
    won, opponents = _leave_pair_out(categories, exams)
    influence = Influence.of(won, opponents, exams.labels, exams.patients, exams.patient_count)
    return intervals_from(influence, exams, level)[0]


def _leave_pair_out(categories: Codes, exams: Exams) -> tuple[Floats, Floats]:
    """`[N]` wins and `[N]` opponents, over the pairs of a positive and a negative exam of two patients."""
    shape = (exams.patient_count, int(categories.max()) + 1)
    place = np.ravel_multi_index((exams.patients, categories), shape)
    # Exams and positive exams of each patient in each category: what leaving the patient out takes away.
    counts, events = (
        np.bincount(place, weights, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
        for weights in (np.ones(len(place)), exams.labels.astype(np.float64))
    )
    negative = np.flatnonzero(~exams.labels)
    won, opponents = np.zeros(len(categories)), np.zeros(len(categories))
    for exam in np.flatnonzero(exams.labels):
        patient, others = exams.patients[exam], exams.patients[negative]
        mine = _shares(np.full(len(negative), categories[exam]), patient, others, counts, events)
        theirs = _shares(categories[negative], patient, others, counts, events)
        # Equal shares are equal fractions, and division rounds equal fractions equally: ties are exact.
        gained = np.where(others == patient, 0.0, (mine > theirs) + (mine == theirs) / 2)
        faced = (others != patient).astype(np.float64)
        won[exam], opponents[exam] = gained.sum(), faced.sum()
        won[negative] += gained
        opponents[negative] += faced
    return won, opponents


def _shares(category: Codes, patient: int, others: Codes, counts: Floats, events: Floats) -> Floats:
    """`[M]`, the share of positive exams of a category without one patient and each of the M others.

    The share of all categories, where nobody else has that one.
    """
    left, found = (
        table.sum(axis=0)[category] - table[patient, category] - table[others, category] for table in (counts, events)
    )
    everywhere = (events.sum() - events[patient].sum() - events[others].sum(axis=1)) / np.maximum(
        counts.sum() - counts[patient].sum() - counts[others].sum(axis=1), 1
    )
    shares: Floats = np.where(left > 0, found / np.maximum(left, 1), everywhere)
    return shares
