"""`polarmap check --html` and `--patients`: a cohort as a page, before anything is trained. No torch, no Ray."""

import numpy as np
import pandas as pd

from mpi_model.maps import Maps
from mpi_model.vocabulary import PHASES
from orchestrator.cohort.duplicates import ReadImage, near_duplicates
from orchestrator.cohort.encodings import encodings
from orchestrator.driver.prepare import Prepared
from orchestrator.report.cohort_page.page import CohortFacts, cohort_page


def cohort_page_of(prepared: Prepared) -> str:
    """The page on a prepared experiment's cohort: no patient's id, path or pixel."""
    exams = prepared.cohort.exams
    near = near_duplicates(_scanned(exams, prepared.cohort.maps))
    return cohort_page(
        CohortFacts(
            experiment=prepared.loaded.experiment,
            exams=exams,
            maps=prepared.cohort.maps,
            folds=pd.DataFrame(prepared.plan.columns()),
            encodings=encodings(prepared.loaded.manifest),
            near_duplicates=tuple(near),
            notices=tuple(one for one in prepared.notices if one not in near),
        )
    )


def _scanned(exams: pd.DataFrame, maps: Maps) -> list[ReadImage]:
    """Maps of a camera, as `load_cohort` compares them; those painted from scores are often alike."""
    painted = exams["map_source"] == "scores" if "map_source" in exams else pd.Series(False, index=exams.index)
    return [
        ReadImage.of(
            getattr(maps, phase)[row],
            row=int(exams["manifest_row"].iloc[row]),
            patient_id=str(exams["patient_id"].iloc[row]),
            phase=phase,
        )
        for row in np.flatnonzero(~painted.to_numpy())
        for phase in PHASES
        if getattr(maps, f"has_{phase}")[row]
    ]
