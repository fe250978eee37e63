"""`folds.by = "site"`: the folds are exactly the sites, and what cannot be done that way is refused beforehand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi_model.errors import FoldsError
from orchestrator.experiment.settings import FoldSettings
from orchestrator.folds.draws import inner_parts
from orchestrator.folds.plan import plan_folds

TWO_SITES = [*["athens"] * 4, *["larissa"] * 4] * 4  # every class of every tracer at both
BY_SITE = FoldSettings(by="site", repeats=1)


def cohort(sites: list[str]) -> pd.DataFrame:
    """Two tracers and both classes at every site, patient by patient; a fifth of the patients has both tracers."""
    rows = []
    for number, site in enumerate(sites):
        for tracer in ("Tc-99m", "Tl-201") if number % 5 == 0 else (("Tc-99m", "Tl-201")[number % 2],):
            rows.append({"patient_id": f"p{number:03d}", "tracer": tracer, "label": number // 2 % 2, "site": site})
    exams = pd.DataFrame(rows).assign(partition="development", sex="F")
    return exams.assign(exam_id=exams["patient_id"] + exams["tracer"], manifest_row=range(1, len(exams) + 1))


def plan(exams: pd.DataFrame, folds: FoldSettings = BY_SITE, inner_folds: int = 2):
    return plan_folds(exams, {"stress": np.ones(len(exams), dtype=np.bool_)}, folds, inner_folds)


@given(st.lists(st.sampled_from(["athens", "larissa", "patras", "volos"]), min_size=24, max_size=60))
@settings(max_examples=15)
def test_the_folds_are_exactly_the_sites(sites):
    """Two patients share a fold where they share a site; inner folds hold no patient of the site held out."""
    exams = cohort([*sites, *TWO_SITES])
    found = plan(exams)
    site_of = exams.drop_duplicates("patient_id").set_index("patient_id")["site"].loc[list(found.patients)].to_numpy()
    assert found.folds.shape == (1, len(site_of))
    assert found.count == len(set(site_of))
    same_fold = found.folds[0][:, None] == found.folds[0][None, :]
    assert (same_fold == (site_of[:, None] == site_of[None, :])).all()
    for fold in range(found.count):
        inner = inner_parts(found, 0, fold, 2)
        assert ((inner == -1) == (found.folds[0] == fold)).all()


def test_a_held_out_site_may_lack_a_class():
    """A site of one class is a fold like any other: its patients are predicted, and the report says what is missing."""
    exams = cohort(["athens", "larissa", "volos"] * 12)
    exams.loc[exams["site"] == "volos", "label"] = 1
    assert plan(exams).count == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda exams: exams.drop(columns="site"), "needs a column `site`"),
        (
            lambda exams: exams.assign(site=exams["site"].where(exams.index != 3)),
            r"^manifest row 4 \(line 5\): the site is blank",
        ),
        (lambda exams: exams.assign(site="athens"), "needs two sites"),
        (
            lambda exams: exams.assign(site=exams["site"].where(exams.index != 0, "volos")),
            r"^manifest rows 1 and 2 \(lines 2 and 3\): a patient has exams at two sites",
        ),
        (
            lambda exams: exams.assign(label=exams["label"].where(exams["site"] == "athens", 1)),
            "without site 'athens' the other sites",
        ),
    ],
)
def test_what_cannot_be_held_out_by_site_is_refused(change, message):
    """No sites, a blank, one site, a patient at two, or nothing left to train on: said before anything is trained."""
    exams = change(cohort(TWO_SITES))
    with pytest.raises(FoldsError, match=message):
        plan(exams)


def test_a_plan_by_site_is_another_plan():
    """Its digest seeds other draws than that of folds by patient, and changes with a patient's site."""
    exams = cohort(TWO_SITES)
    moved = exams.assign(site=exams["site"].where(exams["patient_id"] != "p001", "larissa"))
    by_patient = plan(exams, FoldSettings(folds=2, repeats=1))
    assert len({plan(exams).digest, plan(moved).digest, by_patient.digest}) == 3
    assert plan(exams.sample(frac=1, random_state=0).reset_index(drop=True)).digest == plan(exams).digest
