"""The AUC of metadata alone, against a naive reimplementation and against chance."""

import numpy as np
import pytest

from orchestrator.statistics.metadata_auc import metadata_auc
from orchestrator.statistics.scores import Exams


def naive(categories, labels, patients) -> float:
    """Every pair of two patients by hand, each share counted anew without both."""
    won = pairs = 0.0
    for i in np.flatnonzero(labels):
        for j in np.flatnonzero(~labels):
            if patients[i] == patients[j]:
                continue
            left = [k for k in range(len(labels)) if patients[k] not in (patients[i], patients[j])]
            shares = []
            for exam in (i, j):
                same = [labels[k] for k in left if categories[k] == categories[exam]] or [labels[k] for k in left]
                shares.append(sum(same) / len(same))
            won += 1.0 if shares[0] > shares[1] else 0.5 if shares[0] == shares[1] else 0.0
            pairs += 1
    return won / pairs


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_counting_every_pair_gives(seed):
    """With several exams a patient, and categories that only one patient has."""
    random = np.random.default_rng(seed)
    patients = np.sort(random.integers(0, 18, size=30))
    patients = np.unique(patients, return_inverse=True)[1]
    labels = random.random(30) < 0.4
    categories = random.integers(0, 6, size=30)

    found = metadata_auc(categories, Exams.of(labels.astype(int), patients), 0.95)
    assert found.estimate == pytest.approx(naive(categories, labels, patients), abs=1e-12)


def test_a_category_without_information_is_at_one_half_on_average():
    """Leaving one patient out instead of two would give .25 to .4 here."""
    random = np.random.default_rng(7)
    areas = []
    for _ in range(150):
        labels = (random.random(60) < 0.4).astype(int)
        areas.append(metadata_auc(random.integers(0, 5, size=60), Exams.of(labels), 0.95).estimate)
    assert np.mean(areas) == pytest.approx(0.5, abs=4 * np.std(areas) / np.sqrt(len(areas)))


def test_a_site_with_nearly_all_events_is_found():
    """Two sites of prevalence .9 and .1: the AUC is that of the site, and its interval excludes one half."""
    labels = np.array([1] * 36 + [0] * 4 + [1] * 4 + [0] * 36)
    sites = np.repeat([0, 1], 40)
    found = metadata_auc(sites, Exams.of(labels), 0.95)
    # P(positive in the first site) P(negative in the second) + half of the ties.
    assert found.estimate == pytest.approx(0.9 * 0.9 + (0.9 * 0.1 + 0.1 * 0.9) / 2, abs=1e-12)
    assert found.low > 0.5
