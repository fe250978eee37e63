"""Which exams each input configuration uses."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mpi_model.errors import CohortError
from orchestrator.cohort.eligibility import eligible_exams
from orchestrator.cohort.loading import load_cohort
from orchestrator.cohort.records import Cohort, Exclusion

Rows = list[dict[str, str]]
Write = Callable[..., Path]


@pytest.fixture
def cohort(write_manifest: Write, rows: Rows) -> Cohort:
    """Exams e2, e4, e1, e3: e2 lacks rest, e4 (test) lacks stress, e1 is zoe's later exam."""
    rows[1]["rest"] = ""
    rows[3]["stress"] = ""
    return load_cohort(write_manifest(rows), size=16)


def test_common_uses_the_same_complete_exams_for_all_inputs(cohort: Cohort) -> None:
    """Configurations compared in pairs are judged on the same exams, and the rest is counted."""
    masks, exclusions = eligible_exams(cohort.exams, ["stress", "rest", "dual"], "common", "all")
    assert {inputs: mask.tolist() for inputs, mask in masks.items()} == {
        inputs: [False, False, True, True] for inputs in ("stress", "rest", "dual")
    }
    assert set(exclusions) == {
        Exclusion(reason="no stress map (stress, rest, dual)", partition="test", count=1),
        Exclusion(reason="no rest map (stress, rest, dual)", partition="development", count=1),
    }


def test_common_needs_only_the_phases_that_were_asked_for(cohort: Cohort) -> None:
    """A stress-only experiment does not lose exams for a rest map nobody looks at."""
    masks, exclusions = eligible_exams(cohort.exams, ["stress"], "common", "all")
    assert masks["stress"].tolist() == [True, False, True, True]
    assert [exclusion.reason for exclusion in exclusions] == ["no stress map (stress)"]


def test_available_gives_each_inputs_what_has_its_phases(cohort: Cohort) -> None:
    """Each configuration uses all exams it can read."""
    masks, exclusions = eligible_exams(cohort.exams, ["stress", "rest", "dual"], "available", "all")
    assert masks["stress"].tolist() == [True, False, True, True]
    assert masks["rest"].tolist() == [False, True, True, True]
    assert masks["dual"].tolist() == [False, False, True, True]
    assert {exclusion.reason for exclusion in exclusions} == {
        "no stress map (stress, dual)",
        "no rest map (rest, dual)",
    }


def test_first_takes_the_earliest_exam_of_a_patient_and_tracer(cohort: Cohort) -> None:
    """Zoe's exam of January counts, not the one of March that stands before it in the manifest."""
    masks, exclusions = eligible_exams(cohort.exams, ["stress"], "available", "first")
    assert masks["stress"].tolist() == [True, False, False, True]
    first = Exclusion(reason="not the patient's first exam with this tracer", partition="development", count=1)
    assert first in exclusions


def test_first_is_per_tracer_and_does_not_look_at_phases(write_manifest: Write, rows: Rows) -> None:
    """An exam with the other tracer stays; an incomplete index exam is not replaced by a later complete one."""
    rows[0]["tracer"] = "Tl-201"
    both = load_cohort(write_manifest(rows), size=16)
    assert eligible_exams(both.exams, ["dual"], "common", "first")[0]["dual"].tolist() == [True] * 4
    rows[0]["tracer"] = "Tc-99m"
    rows[2]["rest"] = ""
    incomplete = load_cohort(write_manifest(rows), size=16).exams
    assert eligible_exams(incomplete, ["dual"], "common", "first")[0]["dual"].tolist() == [True, True, False, False]


def test_first_without_dates_is_refused_by_row(write_manifest: Write, rows: Rows) -> None:
    """No date is invented for an exam that has none."""
    rows[3]["exam_date"] = ""
    undated = load_cohort(write_manifest(rows), size=16)
    with pytest.raises(CohortError, match=r"blank in manifest row 4 \(line 5\)$"):
        eligible_exams(undated.exams, ["dual"], "common", "first")
    for row in rows:
        del row["exam_date"]
    with pytest.raises(CohortError, match="needs the column exam_date"):
        eligible_exams(load_cohort(write_manifest(rows), size=16).exams, ["dual"], "common", "first")
