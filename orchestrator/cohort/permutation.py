"""Permutes the development labels of a cohort, for a permutation test of the whole procedure."""

from dataclasses import replace

import numpy as np
import pandas as pd

from orchestrator.cohort.records import Cohort, digest_of
from orchestrator.hashing import derive_seed


def with_permuted_labels(cohort: Cohort, number: int) -> Cohort:
    """Permute labels between development patients with the same tracers and numbers of exams.

    The labels of a patient stay together, so that the null distribution keeps the correlation between exams of one
    patient. Test exams keep their labels.

    Args:
        cohort: The cohort.
        number: The number of the permutation, from 1; together with the cohort it seeds the draw.

    Returns:
        The cohort with permuted labels and its own digest.
    """
    random = np.random.default_rng(derive_seed(cohort.digest, "permutation", number))
    exams = cohort.exams.copy()
    development = exams[exams["partition"] == "development"].sort_values(["patient_id", "tracer", "exam_id"])
    rows = {patient: group.index.to_numpy() for patient, group in development.groupby("patient_id", sort=True)}
    # Only patients with equal patterns of exams can exchange all their labels.
    alike: dict[tuple[str, ...], list[str]] = {}
    for patient, places in rows.items():
        alike.setdefault(tuple(exams.loc[places, "tracer"]), []).append(str(patient))
    labels = exams["label"].to_numpy().copy()
    for _, patients in sorted(alike.items()):
        for source, target in zip(patients, random.permutation(patients), strict=True):
            labels[rows[str(target)]] = exams.loc[rows[source], "label"].to_numpy()
    exams["label"] = pd.Series(labels, index=exams.index, dtype=cohort.exams["label"].dtype)
    return replace(cohort, exams=exams, digest=digest_of(exams, cohort.maps))
