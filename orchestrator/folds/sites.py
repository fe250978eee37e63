"""Sites as folds: every development patient belongs to one."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpi_model.errors import FoldsError
from orchestrator.cohort.problems import rows_text


def check_sites(exams: pd.DataFrame) -> None:
    """Refuse exams that cannot be divided by site.

    Raises:
        FoldsError: There is no column `site`, a site is blank, a patient has two, or there is only one.
    """
    if "site" not in exams:
        raise FoldsError('`folds.by` = "site" needs a column `site`, which the manifest does not have; add it')
    blank = exams.loc[exams["site"].isna() | (exams["site"] == ""), "manifest_row"]
    moved = exams[exams.groupby("patient_id")["site"].transform("nunique") > 1]["manifest_row"]
    problems = [
        f"{rows_text(rows)}: {rule}"
        for rows, rule in (
            (blank.tolist(), 'the site is blank; `folds.by` = "site" needs it for every development exam'),
            (moved.tolist(), "a patient has exams at two sites and would be trained on and judged; name one site"),
        )
        if rows
    ]
    if not problems and exams["site"].nunique() < 2:
        problems = ['`folds.by` = "site" needs two sites, but all development exams are of one; use "patient"']
    if problems:
        raise FoldsError(*problems)


def site_of_patients(exams: pd.DataFrame, patients: Sequence[str]) -> NDArray[np.str_]:
    """The site of each patient, `[patients]`."""
    sites = exams.drop_duplicates("patient_id").set_index("patient_id")["site"]
    return sites.loc[list(patients)].to_numpy(dtype=np.str_)
