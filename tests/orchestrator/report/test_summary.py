"""The summary of a run: its contract, what it refuses, and that its numbers are those of the statistics."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.ledger.schemas import SUMMARY_COLUMNS, SUMMARY_DTYPES
from orchestrator.report.records import RunTables
from orchestrator.report.summary import summarise

SETTINGS = StatisticsSettings()


def leading(summary: pd.DataFrame, metric: str, **where: str) -> pd.DataFrame:
    """The leading rows of a metric for all exams, narrowed by column values."""
    rows = summary[(summary["metric"] == metric) & summary["primary"] & (summary["subgroup"] == "all")]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return rows


def test_the_summary_has_exactly_the_contracts_columns(summary: pd.DataFrame) -> None:
    """Names, order and types of the columns are the contract; a refused row has a reason, an estimate has counts."""
    assert tuple(summary.columns) == SUMMARY_COLUMNS
    assert {name: str(summary[name].dtype) for name in SUMMARY_DTYPES} == SUMMARY_DTYPES
    assert set(summary["state"]) <= {"ok", "refused"}
    assert (summary.loc[summary["state"] == "refused", "reason"] != "").all()
    assert summary.loc[summary["state"] == "ok", ["patients", "exams", "positives", "negatives"]].notna().all().all()


def test_every_interval_names_its_method_and_holds_its_estimate(summary: pd.DataFrame) -> None:
    """Wherever limits stand there is a method, a level and an estimate between them."""
    limits = summary[summary["low"].notna()]

    assert (limits["method"] != "").all()
    assert (limits["level"] == 0.95).all()
    assert ((limits["low"] <= limits["estimate"]) & (limits["estimate"] <= limits["high"])).all()


def test_the_cross_validated_auc_is_the_mean_of_the_folds(finished_run: RunTables, summary: pd.DataFrame) -> None:
    """The leading estimate and its spread, recomputed from the predictions with scikit-learn, tracer by tracer."""
    rows = finished_run.predictions
    for (tracer, inputs), mine in rows[rows["partition"] == "development"].groupby(["tracer", "inputs"]):
        areas = [roc_auc_score(cell["label"], cell["score"]) for _, cell in mine.groupby(["repeat", "fold"])]
        (found,) = leading(summary, "auc", partition="development", tracer=tracer, inputs=inputs).itertuples()

        assert found.estimate == pytest.approx(np.mean(areas), abs=1e-12)
        assert found.sd == pytest.approx(np.std(areas, ddof=1), abs=1e-12)
        assert found.method == "within-fold logit"
        assert found.exams == mine["exam_id"].nunique()


def test_tracers_are_never_pooled(closed_run: RunTables) -> None:
    """Every row speaks of one tracer under its own endpoint; changing one tracer's scores leaves the other alone."""
    changed = closed_run.predictions.copy()
    changed.loc[changed["tracer"] == "Tl-201", "score"] *= -1
    before, after = (
        summarise(replace(closed_run, predictions=one), SETTINGS) for one in (closed_run.predictions, changed)
    )

    assert set(zip(before["tracer"], before["endpoint"], strict=True)) == set(SETTINGS.endpoints.items())
    untouched = [
        table[table["tracer"] == "Tc-99m"].drop(columns="p_holm").reset_index(drop=True) for table in (before, after)
    ]
    pd.testing.assert_frame_equal(*untouched)


def test_members_are_averaged_before_anything_is_computed(closed_run: RunTables) -> None:
    """Two members with opposite errors are judged as their mean, not as two models."""
    noise = np.random.default_rng(0).normal(size=len(closed_run.predictions))
    members = [
        closed_run.predictions.assign(member=number, score=closed_run.predictions["score"] + sign * noise)
        for number, sign in ((0, 1), (1, -1))
    ]
    both = replace(closed_run, predictions=pd.concat(members, ignore_index=True))
    single, averaged = (leading(summarise(one, SETTINGS), "auc") for one in (closed_run, both))

    assert averaged["estimate"].to_numpy() == pytest.approx(single["estimate"].to_numpy(), abs=1e-12)
    assert averaged["exams"].tolist() == single["exams"].tolist()


def test_a_failed_cell_refuses_the_estimate_and_not_the_others(closed_run: RunTables) -> None:
    """One failed cell of `rest`: its estimate and its pairs are refused with the count, `stress` and `dual` stand."""
    failed = (
        (closed_run.cells["inputs"] == "rest") & (closed_run.cells["repeat"] == 1) & (closed_run.cells["fold"] == 2)
    )
    cells = closed_run.cells.assign(state=np.where(failed, "failed", "complete"))
    gone = closed_run.predictions["inputs"].eq("rest") & closed_run.predictions["repeat"].eq(1).fillna(False)
    gone &= closed_run.predictions["fold"].eq(2).fillna(False)
    summary = summarise(replace(closed_run, cells=cells, predictions=closed_run.predictions[~gone]), SETTINGS)
    states = leading(summary, "auc", partition="development", tracer="Tc-99m").set_index("inputs")["state"].to_dict()
    pairs = leading(summary, "auc_difference", partition="development", tracer="Tc-99m").set_index("inputs")["state"]

    assert states == {"stress": "ok", "rest": "refused", "dual": "ok"}
    assert pairs.to_dict() == {"stress-rest": "refused", "stress-dual": "ok", "rest-dual": "refused"}
    (row,) = leading(summary, "auc", partition="development", tracer="Tc-99m", inputs="rest").itertuples()
    assert "1 of 12 cells" in row.reason
    assert np.isnan(row.estimate)


def test_a_missing_cell_counts_as_failed(closed_run: RunTables) -> None:
    """A run that was stopped has no row for a cell at all; that is no reason to average over the others."""
    kept = closed_run.cells.iloc[1:]
    summary = summarise(replace(closed_run, cells=kept), SETTINGS)

    assert leading(summary, "auc", partition="development", inputs="stress")["state"].tolist() == ["refused"] * 2


def test_available_patients_are_not_compared(closed_run: RunTables) -> None:
    """With patients = "available" each inputs has other exams: every pair is refused, every estimate stands."""
    summary = summarise(replace(closed_run, patients="available"), SETTINGS)

    assert (leading(summary, "auc_difference")["state"] == "refused").all()
    assert leading(summary, "auc_difference")["reason"].str.contains("available").all()
    assert (leading(summary, "auc")["state"] == "ok").all()


def test_other_exams_of_one_inputs_are_not_compared(closed_run: RunTables) -> None:
    """Exams missing from one inputs end the comparison, not silently its patients."""
    first = closed_run.predictions.loc[closed_run.predictions["label"] == 1, "exam_id"].iloc[0]
    gone = (closed_run.predictions["exam_id"] == first) & (closed_run.predictions["inputs"] == "rest")
    summary = summarise(replace(closed_run, predictions=closed_run.predictions[~gone]), SETTINGS)
    refused = leading(summary, "auc_difference", partition="development").query("state == 'refused'")

    assert set(refused["inputs"]) == {"stress-rest", "rest-dual"}
    assert refused["reason"].str.contains("same exams").all()


def test_holm_counts_the_pairs_of_both_tracers(summary: pd.DataFrame) -> None:
    """The smallest of six p-values of a partition is multiplied by six, and only leading rows are adjusted."""
    pairs = leading(summary, "auc_difference", partition="development")

    assert len(pairs) == 6
    smallest = pairs.loc[pairs["p"].idxmin()]
    assert smallest["p_holm"] == pytest.approx(min(1.0, 6 * smallest["p"]))
    assert set(pairs["family"]) == {"secondary, Holm over 6 comparisons (2 tracers)"}
    assert summary.loc[~summary["primary"], "p_holm"].isna().all()


def test_models_at_chance_are_not_compared(closed_run: RunTables) -> None:
    """Scores without any signal: every comparison is gated, none is significant."""
    noise = np.random.default_rng(1).normal(size=len(closed_run.predictions))
    summary = summarise(replace(closed_run, predictions=closed_run.predictions.assign(score=noise)), SETTINGS)
    pairs = leading(summary, "auc_difference", partition="development")

    assert (pairs["state"] == "refused").all()
    assert pairs["reason"].str.contains("shown to exceed 0.5").all()


def test_small_subgroups_are_counted_and_not_estimated(closed_run: RunTables) -> None:
    """Fewer than five patients of a class: the row holds the counts and the reason, and no number."""
    positive = closed_run.exams.query("tracer == 'Tc-99m' and label == 1 and partition == 'development'").index
    exams = closed_run.exams.assign(sex="M")
    exams.loc[positive[:4], "sex"] = "F"
    exams.loc[exams.query("tracer == 'Tc-99m' and label == 0").index[:9], "sex"] = "F"
    summary = summarise(replace(closed_run, exams=exams), SETTINGS)
    (row,) = summary.query(
        "subgroup == 'sex=F' and tracer == 'Tc-99m' and inputs == 'stress' and partition == 'development'"
    ).itertuples()

    assert (row.state, row.positives, row.patients) == ("refused", 4, 13)
    assert np.isnan(row.estimate)


def test_subgroups_follow_any_column_and_name_what_is_wrong(closed_run: RunTables) -> None:
    """A missing column and one with too many values are refused in a row; a blank is a value of its own."""
    exams = closed_run.exams.assign(
        age=[str(20 + number % 50) for number in range(len(closed_run.exams))],
        site=np.where(np.arange(len(closed_run.exams)) % 3 == 0, None, "north"),
    )
    settings = StatisticsSettings(subgroups=("age", "site", "camera"))
    summary = summarise(replace(closed_run, exams=exams), settings)
    development = summary[(summary["partition"] == "development") & (summary["metric"] == "auc")]
    found = development.drop_duplicates("subgroup").set_index("subgroup")

    assert "bin it in the manifest" in found.loc["age", "reason"]
    assert "no column `camera`" in found.loc["camera", "reason"]
    assert {"site=north", "site=(blank)"} <= set(found.index)


def test_subgroups_that_share_patients_are_not_subtracted(closed_run: RunTables) -> None:
    """A column that varies between the exams of one patient gives no gap; sex, which does not, gives three."""
    twin = closed_run.predictions.assign(exam_id=closed_run.predictions["exam_id"] + "-again")
    again = closed_run.exams.assign(exam_id=closed_run.exams["exam_id"] + "-again", scanner="B")
    exams = pd.concat([closed_run.exams.assign(scanner="A"), again], ignore_index=True)
    doubled = replace(closed_run, predictions=pd.concat([closed_run.predictions, twin], ignore_index=True), exams=exams)
    summary = summarise(doubled, StatisticsSettings(subgroups=("scanner", "sex")))
    shared, apart = (
        summary[(summary["subgroup"] == name) & (summary["tracer"] == "Tc-99m") & (summary["inputs"] == "dual")]
        for name in ("scanner=A-B", "sex=F-M")
    )

    assert shared["state"].tolist() == ["refused"]
    assert shared["reason"].str.contains("80 patients have exams in both").all()
    assert apart["metric"].tolist() == ["auc_difference", "sensitivity_difference", "specificity_difference"]


def test_the_gap_between_subgroups_squares_and_adds_their_limits(summary: pd.DataFrame) -> None:
    """Newcombe's rule for independent groups, from the two groups' own printed limits."""
    where = (summary["partition"] == "development") & (summary["inputs"] == "dual") & (summary["tracer"] == "Tl-201")
    rows = summary[where & (summary["metric"].isin(["auc", "auc_difference"]))].set_index("subgroup")
    women, men, gap = (rows.loc[name] for name in ("sex=F", "sex=M", "sex=F-M"))

    assert gap["estimate"] == pytest.approx(women["estimate"] - men["estimate"])
    down = np.hypot(women["estimate"] - women["low"], men["high"] - men["estimate"])
    assert gap["low"] == pytest.approx(gap["estimate"] - down)


def test_net_benefit_waits_for_calibrated_probabilities(finished_run: RunTables, summary: pd.DataFrame) -> None:
    """Probabilities of the class-balanced loss are not risks: net benefit is refused until they are recalibrated."""
    calibrated = summarise(replace(finished_run, calibrated=True), SETTINGS)

    assert (leading(summary, "net_benefit")["state"] == "refused").all()
    assert (leading(calibrated, "net_benefit")["state"] == "ok").all()


def test_the_threshold_for_a_specificity_never_sees_the_judged_exams(finished_run: RunTables) -> None:
    """Moving all test scores up by a constant changes the achieved specificity: the threshold came from elsewhere."""
    shifted = finished_run.predictions.copy()
    shifted.loc[shifted["partition"] == "test", "score"] += 10
    summary = summarise(replace(finished_run, predictions=shifted), SETTINGS)
    rows = summary[(summary["partition"] == "test") & (summary["metric"] == "specificity") & (summary["at"] == 0.8)]

    assert (rows["estimate"] == 0).all()
    assert (leading(summary, "auc", partition="test")["state"] == "ok").all()


def test_a_closed_test_partition_has_no_rows(closed_run: RunTables) -> None:
    """Before the test is opened there are no test predictions, and the summary does not mention the test."""
    assert set(summarise(closed_run, SETTINGS)["partition"]) == {"development"}


def test_the_summary_repeats(finished_run: RunTables, summary: pd.DataFrame) -> None:
    """Bootstraps and permutations are seeded, and the order of the predictions' rows is of no account."""
    shuffled = finished_run.predictions.sample(frac=1, random_state=0)

    pd.testing.assert_frame_equal(summarise(replace(finished_run, predictions=shuffled), SETTINGS), summary, rtol=1e-9)


def test_several_exams_a_patient_are_clustered_throughout(closed_run: RunTables) -> None:
    """Doubling every exam of every patient leaves estimates and leading intervals as they were."""
    twin = closed_run.predictions.assign(exam_id=closed_run.predictions["exam_id"] + "-again")
    exams = pd.concat(
        [closed_run.exams, closed_run.exams.assign(exam_id=closed_run.exams["exam_id"] + "-again")],
        ignore_index=True,
    )
    doubled = replace(closed_run, predictions=pd.concat([closed_run.predictions, twin], ignore_index=True), exams=exams)
    single, double = (leading(summarise(one, SETTINGS), "auc") for one in (closed_run, doubled))

    for column in ("estimate", "low", "high", "patients"):
        assert double[column].to_numpy(float) == pytest.approx(single[column].to_numpy(float), abs=1e-9)
    assert (double["exams"] == 2 * single["exams"]).all()
