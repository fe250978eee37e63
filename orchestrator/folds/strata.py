"""Strata of patients, and their balanced assignment to folds.

Folds are assigned to patients, not to exams, so that all exams of a patient are in one fold. scikit-learn's
`StratifiedGroupKFold` also keeps groups together, but balances the number of exams, not of patients.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PROTOCOL_COLUMNS: Final = ("tracer", "label")
"""Stratification columns that every manifest has."""

_BLANK: Final = "(blank)"
_MERGED: Final = "*"

Stratum = tuple[str, ...]
"""The values of a patient in the stratification columns."""


def _patient_table(exams: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The stratification columns of every patient.

    Args:
        exams: `patient_id, tracer, label` and the other `columns`, one row an exam.
        columns: `tracer` (all tracers of the patient, for example `Tc-99m+Tl-201`), `label` (for each of these tracers
            1 if any exam is positive). Others are columns of the manifest (the value of the first exam).

    Returns:
        Text, one row a patient, sorted by and indexed by `patient_id`.
    """
    by_tracer = exams.groupby(["patient_id", "tracer"], sort=True)["label"].max().reset_index()
    patients = by_tracer.groupby("patient_id", sort=True)
    table = pd.DataFrame(
        {
            "tracer": patients["tracer"].agg("+".join),
            "label": patients["label"].agg(lambda labels: "".join(str(int(label)) for label in labels)),
        }
    )
    first_exams = exams.sort_values(["patient_id", "exam_id"]).groupby("patient_id", sort=True)
    for column in columns:
        if column not in PROTOCOL_COLUMNS:
            # Missing values form a stratum of their own instead of removing the patient.
            table[column] = first_exams[column].first().fillna(_BLANK).astype(str).replace("", _BLANK)
    return table[list(columns)]


def _merge_small(strata: Sequence[Stratum], columns: Sequence[str], min_size: int) -> list[Stratum]:
    """Merge strata with fewer than `min_size` patients.

    Columns are dropped from the last to the first, `label` after all others. Dropping a column merges the small
    strata that agree in the remaining columns. Large strata keep all columns.

    Args:
        strata: The stratum of each patient, values in the order of `columns`.
        columns: The stratification columns, most important first.
        min_size: The size below which a stratum is merged: the number of folds.

    Returns:
        The merged stratum of each patient, `*` in place of a dropped value.
    """
    merged = list(strata)
    # `label` comes last because a fold without one class cannot be scored.
    for column in sorted(range(len(columns)), key=lambda place: (columns[place] == "label", -place)):
        sizes = Counter(merged)
        merged = [
            stratum if sizes[stratum] >= min_size else (*stratum[:column], _MERGED, *stratum[column + 1 :])
            for stratum in merged
        ]
    return merged


def strata_of(exams: pd.DataFrame, columns: Sequence[str], min_size: int) -> tuple[list[str], list[Stratum]]:
    """The patients, sorted, and the merged stratum of each."""
    table = _patient_table(exams, columns)
    strata = [tuple(row) for row in table.itertuples(index=False, name=None)]
    return [str(patient) for patient in table.index], _merge_small(strata, columns, min_size)


def assign_folds(strata: Sequence[Stratum], folds: int, seed: int) -> NDArray[np.int64]:
    """Assign patients to folds, balanced within every stratum.

    Patients are ordered by stratum, shuffled within each, and assigned to the folds in rotation. The rotation continues
    from one stratum to the next. Every stratum and every range of neighbouring strata (all patients of a tracer, all
    its positives, all patients) therefore differs by at most one patient between folds.

    Args:
        strata: The stratum of each of P patients.
        folds: The number of folds.
        seed: The seed of the shuffling and of the order of the folds.

    Returns:
        `[P]`, the fold of each patient, 0 to `folds - 1`.
    """
    # A separator below every character: the joined texts sort as the strata do.
    codes = np.unique(np.asarray(["\x00".join(stratum) for stratum in strata]), return_inverse=True)[1]
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(codes))
    order = shuffled[np.argsort(codes[shuffled], kind="stable")]
    rotation = random.permutation(folds)
    assigned = np.empty(len(order), dtype=np.int64)
    assigned[order] = rotation[np.arange(len(order)) % folds]
    return assigned
