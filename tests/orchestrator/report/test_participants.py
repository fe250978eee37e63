"""The flow of participants, Table 1 and the exams left out, against counts by hand and tableone's numbers."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from orchestrator.experiment.settings import CohortSettings, Experiment, FoldSettings, StatisticsSettings
from orchestrator.report.manuscript.characteristics import left_out, table_one
from orchestrator.report.manuscript.participants import participants
from orchestrator.statistics.standardised_differences import difference_of_shares

AGES = {"development": [61, 72, 58, 66, 70, 49, 81, 64, 77, 55] * 4, "test": [59, 63, 71, 48, 52] * 4}
SEXES = {"development": list("FMMFM") * 8, "test": list("FFMFFMFFFM") * 2}
SITES = {"development": list("ABCA") * 10, "test": list("ABBC") * 5}
LABELS = {"development": [0, 1, 0, 1, 1] * 8, "test": [0, 0, 1, 0] * 5}


def experiment(**cohort: object) -> Experiment:
    """An experiment of one manifest."""
    return Experiment(
        name="one",
        cohort=CohortSettings(manifest="manifest.csv", **cohort),
        folds=FoldSettings(stratify=("tracer", "label", "sex", "site")),
        statistics=StatisticsSettings(subgroups=("sex",)),
    )


def exams_of(tracer: str = "Tc-99m") -> pd.DataFrame:
    """Sixty patients, one exam each, forty in development."""
    frames = [
        pd.DataFrame(
            {
                "partition": side,
                "age": [str(age) for age in AGES[side]],
                "sex": SEXES[side],
                "site": SITES[side],
                "label": LABELS[side],
            }
        )
        for side in ("development", "test")
    ]
    exams = pd.concat(frames, ignore_index=True)
    exams["patient_id"] = [f"patient-{number:02d}" for number in range(len(exams))]
    exams["exam_id"] = exams["patient_id"] + ":" + tracer
    return exams.assign(tracer=tracer, has_stress=True, has_rest=True, manifest_row=range(1, len(exams) + 1))


def differences(table) -> dict[str, float | None]:
    """Standardised differences by row; that of a column stands beside its first level."""
    return {row.name: row.difference for row in reversed(table.rows)}


def test_standardised_differences_are_those_of_tableone():
    """Age (with a blank in each group), sex, site with three levels and label: tableone 0.9.6 gave these numbers."""
    exams = exams_of()
    exams.loc[[3, 45], "age"] = None

    (table,) = table_one(exams, experiment(), test_labels=True)
    found = differences(table)
    assert found["age, mean ± SD"] == pytest.approx(TABLEONE["age"], abs=1e-12)
    assert found["sex"] == pytest.approx(TABLEONE["sex"], abs=1e-12)
    assert found["site"] == pytest.approx(TABLEONE["site"], abs=1e-12)
    assert found["exams with abnormal perfusion"] == pytest.approx(TABLEONE["label"], abs=1e-12)


TABLEONE = {
    "age": -0.7325484066283295,
    "sex": 0.6324555320336759,
    "site": 0.6030226891555273,
    "label": 0.7570332986102252,
}


def test_which_level_is_left_out_changes_no_difference():
    """The difference of several levels belongs to the column, not to the order of its levels."""
    first, second = np.array([5.0, 9.0, 1.0, 7.0]), np.array([8.0, 3.0, 4.0, 2.0])
    found = difference_of_shares(first, second)
    for order in ([1, 0, 2, 3], [3, 2, 1, 0]):
        assert difference_of_shares(first[order], second[order]) == pytest.approx(found, abs=1e-12)


def test_groups_without_a_common_level_have_no_finite_difference():
    """Where site is the partition, the difference is infinite and is not given as a number."""
    assert difference_of_shares(np.array([20.0, 0.0]), np.array([0.0, 20.0])) is None


def test_the_labels_of_a_closed_test_are_in_no_table():
    """Before the test was opened neither its events nor a difference that would tell them are computed."""
    (table,) = table_one(exams_of(), experiment(), test_labels=False)
    events = next(row for row in table.rows if "abnormal" in row.name)
    assert str(events.cells[0]) == "24 (60%)"
    assert str(events.cells[1]) == "—"
    assert events.difference is None
    assert any("before it was opened" in note for note in table.notes)

    flow = participants(exams_of(), folds(), experiment(), test_labels=False)
    assert [arm.count.events for side in flow.sides for arm in side.arms] == [24, None]


def folds() -> pd.DataFrame:
    """Two repeats of four folds of the development patients."""
    rows = [
        (repeat, f"patient-{number:02d}", (number + repeat) % 4 if number else 0)
        for repeat in range(2)
        for number in range(40)
    ]
    return pd.DataFrame(rows, columns=["repeat", "patient_id", "fold"])


def test_every_exclusion_is_counted_once():
    """Manifest = unused + eligible, and the reasons of one shared set of exams add up to what is unused."""
    exams = exams_of()
    exams.loc[[0, 1, 50], "has_rest"] = False
    exams.loc[[7], "has_stress"] = False
    again = exams.iloc[[10, 11, 55]].assign(exam_id=lambda rows: rows["exam_id"] + ":second")
    exams = pd.concat([exams, again], ignore_index=True)
    exams["exam_date"] = ["2024-01-01"] * 60 + ["2024-06-01"] * 3

    flow = participants(exams, folds(), experiment(exams="first"), test_labels=True)
    assert (flow.manifest.exams, flow.unused.exams, flow.eligible.exams) == (63, 7, 56)
    assert sum(one.count for one in flow.exclusions) == flow.unused.exams
    counted = {(one.partition, one.reason.split(" (")[0]): one.count for one in flow.exclusions}
    assert counted["development", "no rest map"] == 2
    assert counted["test", "no rest map"] == 1
    assert counted["development", "no stress map"] == 1
    assert counted["development", "not the patient's first exam with this tracer"] == 2
    assert flow.shared
    assert [side.count.exams for side in flow.sides] == [37, 19]


def test_where_configurations_use_other_exams_the_flow_says_how_many():
    """With `patients = "available"` nothing is unused, and each input configuration has its own count."""
    exams = exams_of()
    exams.loc[[0, 1], "has_rest"] = False
    flow = participants(exams, folds(), experiment(patients="available"), test_labels=True)
    (arm,) = flow.sides[0].arms
    assert flow.unused.exams == 0
    assert not flow.shared
    assert {inputs: count.exams for inputs, count in arm.by_inputs} == {"stress": 40, "rest": 38, "dual": 38}


def test_folds_are_counted_by_patient():
    """Smallest and largest fold over all repeats, and their patients with an event, by hand."""
    flow = participants(exams_of(), folds(), experiment(), test_labels=True)
    sizes = flow.sides[0].arms[0].folds
    by_hand = [
        [number for number in range(40) if ((number + repeat) % 4 if number else 0) == fold]
        for repeat in range(2)
        for fold in range(4)
    ]
    events = [sum(LABELS["development"][number] for number in part) for part in by_hand]
    assert sizes is not None
    assert sizes.patients == (min(map(len, by_hand)), max(map(len, by_hand)))
    assert sizes.events == (min(events), max(events))


def test_exams_that_lack_a_phase_stand_beside_the_others():
    """Age, sex, tracer and prevalence of what is left out, without the exams that are not a patient's first."""
    exams = pd.concat([exams_of(), exams_of("Tl-201").assign(has_rest=[number % 3 > 0 for number in range(60)])])
    exams = exams.reset_index(drop=True)
    development, _ = left_out(exams, experiment(), test_labels=False)

    assert development.groups == ("all phases", "a phase missing")
    found = {(row.name, row.level): [str(cell) for cell in row.cells] for row in development.rows}
    assert found["exams", ""] == ["66", "14"]
    assert found["exams by tracer", "Tl-201"][1] == "14 (100%)"
    complete = exams[(exams["partition"] == "development") & exams["has_rest"]]
    for tracer, count in complete["tracer"].value_counts().items():
        assert found["exams by tracer", tracer][0].startswith(f"{count} (")
    missing = exams[(exams["partition"] == "development") & ~exams["has_rest"]]
    assert found["Tl-201 exams with intermediate or high risk", ""][1].startswith(str(missing["label"].sum()))
    ages = missing["age"].astype(float)
    assert found["age, mean ± SD", ""][1] == f"{ages.mean():.1f} ± {ages.std():.1f}"
    assert left_out(exams_of(), experiment(), test_labels=True) == ()


def test_a_column_of_many_values_is_not_a_list_of_them():
    """Ten sites become the seven largest and the rest; the difference still counts them all."""
    exams = exams_of().assign(site=[f"site {number % 12}" for number in range(60)])
    (table,) = table_one(exams, experiment(), test_labels=True)
    levels = [row.level for row in table.rows if row.name == "site" and row.level]
    assert len(levels) == 8
    assert levels[-1] == "5 others"
    full = dataclasses.replace(experiment(), statistics=StatisticsSettings(subgroups=()))
    assert table_one(exams, full, test_labels=True)[0].rows == table.rows
