"""One row a patient, and the strata that the folds balance.

Folds are dealt on patients, never on exams: a patient's exams always travel together, and stratification by
row (scikit-learn's `StratifiedGroupKFold`) balances exams, not patients.
"""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

BLANK = "(blank)"
MERGED = "*"
OF_PROTOCOL = ("tracer", "label")

Stratum = tuple[str, ...]


def patient_table(exams: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """One row per patient, sorted by id: what each stratification column says of that patient.

    Args:
        exams: `patient_id, tracer, label` and the other `columns`, one row an exam.
        columns: `tracer` (the pattern of tracers, for example `Tc-99m+Tl-201`), `label` (for each of them 1 if
            any exam is positive), and columns of the manifest (the value of the patient's first exam).

    Returns:
        Texts, indexed by `patient_id`.
    """
    by_tracer = exams.groupby(["patient_id", "tracer"], sort=True)["label"].max().reset_index()
    patients = by_tracer.groupby("patient_id", sort=True)
    table = pd.DataFrame(
        {
            "tracer": patients["tracer"].agg("+".join),
            "label": patients["label"].agg(lambda labels: "".join(str(int(label)) for label in labels)),
        }
    )
    firsts = exams.sort_values(["patient_id", "exam_id"]).groupby("patient_id", sort=True)
    for column in columns:
        if column not in OF_PROTOCOL:
            table[column] = firsts[column].first().fillna(BLANK).astype(str).replace("", BLANK)
    return table[list(columns)]


def merge_small(strata: Sequence[Stratum], columns: Sequence[str], smallest: int) -> list[Stratum]:
    """Merge strata with fewer than `smallest` patients.

    Columns are given up from the last to the first, `label` after all others; giving up a column merges the
    small strata that agree in the rest. Strata that are large enough keep all their columns.

    Args:
        strata: The stratum of each patient, values in the order of `columns`.
        columns: The stratification columns, most important first.
        smallest: The size below which a stratum is merged: the number of folds.
    """
    merged = list(strata)
    for column in sorted(range(len(columns)), key=lambda place: (columns[place] == "label", -place)):
        sizes = Counter(merged)
        merged = [
            stratum if sizes[stratum] >= smallest else (*stratum[:column], MERGED, *stratum[column + 1 :])
            for stratum in merged
        ]
    return merged


def strata_of(exams: pd.DataFrame, columns: Sequence[str], smallest: int) -> tuple[list[str], list[Stratum]]:
    """The patients, sorted, and the merged stratum of each."""
    table = patient_table(exams, columns)
    strata = [tuple(row) for row in table.itertuples(index=False, name=None)]
    return [str(patient) for patient in table.index], merge_small(strata, columns, smallest)
