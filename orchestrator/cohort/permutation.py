"""A cohort whose development labels belong to other patients."""

from dataclasses import replace

import numpy as np
import pandas as pd

from orchestrator.cohort.records import Cohort, digest_of
from orchestrator.hashing import derive_seed


def with_permuted_labels(cohort: Cohort, number: int) -> Cohort:
    """Exchange labels between development patients with the same tracers and numbers of exams.

    A patient's labels travel together, so that what makes exams of one patient alike stays in the null; test
    exams keep theirs.

    Args:
        cohort: The cohort.
        number: The permutation's number, from 1; it and the cohort decide the draw.
    """
    random = np.random.default_rng(derive_seed(cohort.digest, "permutation", number))
    exams = cohort.exams.copy()
    development = exams[exams["partition"] == "development"].sort_values(["patient_id", "tracer", "exam_id"])
    rows = {patient: group.index.to_numpy() for patient, group in development.groupby("patient_id", sort=True)}
    alike: dict[tuple[str, ...], list[str]] = {}
    for patient, places in rows.items():
        alike.setdefault(tuple(exams.loc[places, "tracer"]), []).append(str(patient))
    labels = exams["label"].to_numpy().copy()
    for _, patients in sorted(alike.items()):
        for giver, taker in zip(patients, random.permutation(patients), strict=True):
            labels[rows[str(taker)]] = exams.loc[rows[giver], "label"].to_numpy()
    exams["label"] = pd.Series(labels, index=exams.index, dtype=cohort.exams["label"].dtype)
    return replace(cohort, exams=exams, digest=digest_of(exams, cohort.maps))
