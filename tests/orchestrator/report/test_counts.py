"""Below ten patients of a class: counts in place of an AUC, in every table, sentence and figure."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from orchestrator.experiment.settings import Noninferiority, SearchSettings, StatisticsSettings
from orchestrator.report.evaluate import evaluation_report
from orchestrator.report.export import export
from orchestrator.report.figures.drawing import Drawing, Place
from orchestrator.report.figures.forest import forest
from orchestrator.report.figures.models import sides_of
from orchestrator.report.figures.roc import roc
from orchestrator.report.further_designs import further_designs
from orchestrator.report.layout import numbered
from orchestrator.report.page.answer import answer
from orchestrator.report.permutation import permutation_rows
from orchestrator.report.records import Report, RunTables
from orchestrator.report.summary import summarise
from orchestrator.report.traced import plain

SETTINGS = StatisticsSettings(subgroups=("sex",), noninferiority=Noninferiority(pair="stress-dual", margin=0.05))
PARTS = ("development", "test")
OF_PAIRS = ["probability_first_worse", "probability_equivalent", "probability_first_better"]
OF_AUCS = ["auc", "partial_auc", "auc_above_chance", "auc_difference", "auc_noninferiority"]


def with_positives(run: RunTables, count: int, partition: str = "test") -> RunTables:
    """The run with so many positive patients of Tc-99m in a partition, who were told apart well."""
    rows = run.predictions
    mine = rows[(rows["partition"] == partition) & (rows["tracer"] == "Tc-99m") & (rows["label"] == 1)]
    # Dealt over the folds, each of which needs a positive in every repeat.
    dealt = mine.drop_duplicates("patient_id").sort_values(["fold", "patient_id"])["patient_id"].to_numpy()
    kept = dealt[np.linspace(0, len(dealt) - 1, count).round().astype(int)]
    rows = rows[~rows["patient_id"].isin(set(dealt) - set(kept))]
    easy = rows["score"] + np.where(rows["partition"] == partition, 1.5 * (rows["label"] - 0.5), 0.0)
    return replace(run, predictions=rows.assign(score=easy).reset_index(drop=True))


def of_all(summary: pd.DataFrame, partition: str = "test") -> pd.DataFrame:
    """The rows of a partition of Tc-99m, of all exams."""
    return summary[
        (summary["partition"] == partition) & (summary["tracer"] == "Tc-99m") & (summary["subgroup"] == "all")
    ].reset_index(drop=True)


@pytest.fixture(scope="module")
def nine(finished_run: RunTables) -> RunTables:
    """Nine positive and eighteen negative test patients of Tc-99m."""
    return with_positives(finished_run, 9)


@pytest.fixture(scope="module")
def counted(nine: RunTables) -> pd.DataFrame:
    """Its summary."""
    return summarise(nine, SETTINGS)


@pytest.fixture(scope="module")
def nine_held_out(finished_run: RunTables) -> RunTables:
    """Nine positive and 48 negative patients of Tc-99m in cross-validation."""
    return with_positives(finished_run, 9, "development")


@pytest.fixture(scope="module")
def counted_held_out(nine_held_out: RunTables) -> pd.DataFrame:
    """Its summary."""
    return summarise(nine_held_out, SETTINGS)


def test_the_summary_keeps_the_rows_and_marks_each(nine: RunTables, counted: pd.DataFrame) -> None:
    """Whoever reads the table has scikit-learn's AUC, and in `reason` the counts by hand and why nobody is shown it."""
    rows = of_all(counted)
    for area in rows[(rows["metric"] == "auc") & rows["primary"]].itertuples():
        mine = nine.predictions.query("partition == 'test' and tracer == 'Tc-99m' and inputs == @area.inputs")
        right = (mine["probability"] >= mine["threshold"]) == mine["label"]
        positive, negative = (int(right[mine["label"] == label].sum()) for label in (1, 0))

        assert area.estimate == pytest.approx(roc_auc_score(mine["label"], mine["score"]))
        assert area.state == "ok"
        assert area.reason == (
            f"correct: {positive} of 9 positive, {negative} of 18 negative at the threshold; too few for an AUC"
        )
    marked = rows[rows["metric"].isin(OF_AUCS)]
    ends = ("too few for an AUC", "too few for a difference of AUCs")
    assert len(marked) == 20
    assert marked["reason"].str.endswith(ends).all()
    assert not counted.loc[counted["partition"] == "development", "reason"].str.endswith(ends[1]).any()


def test_a_cross_validation_counts_the_decisions_of_each_repeat(
    nine_held_out: RunTables, counted_held_out: pd.DataFrame
) -> None:
    """The mean of scikit-learn's fold AUCs stays in the table; in `reason` the worst and the best repeat, by hand."""
    rows = of_all(counted_held_out, "development")
    areas = rows[(rows["metric"] == "auc") & rows["primary"]]
    for area in areas.itertuples():
        mine = nine_held_out.predictions.query(
            "partition == 'development' and tracer == 'Tc-99m' and inputs == @area.inputs"
        )
        folds = [roc_auc_score(one["label"], one["score"]) for _, one in mine.groupby(["repeat", "fold"])]
        right = ((mine["probability"] >= mine["threshold"]) == mine["label"]).groupby([mine["label"], mine["repeat"]])
        sides = right.sum().unstack()
        reach = [f"{sides.loc[label].min()} to {sides.loc[label].max()}" for label in (1, 0)]

        assert len(folds) == 12
        assert area.estimate == pytest.approx(np.mean(folds))
        assert area.reason == (
            f"correct in each of 3 repeats: {reach[0]} of 9 positive, {reach[1]} of 48 negative at the threshold; "
            "too few for an AUC"
        )
    marked = rows[rows["metric"].isin([*OF_AUCS, *OF_PAIRS])]
    assert len(areas) == 3
    assert set(marked["metric"]) == {"auc", "auc_difference", "auc_noninferiority", *OF_PAIRS}
    assert marked["reason"].str.endswith(("too few for an AUC", "too few for a difference of AUCs")).all()
    others = counted_held_out[(counted_held_out["tracer"] == "Tl-201") & (counted_held_out["subgroup"] == "all")]
    assert not others["reason"].str.contains("too few for").any()


@pytest.mark.parametrize("partition", PARTS)
def test_no_report_shows_what_is_marked(request: pytest.FixtureRequest, partition: str) -> None:
    """Markdown, page and LaTeX hold the counts, and no interval of a marked row."""
    summary = request.getfixturevalue("counted" if partition == "test" else "counted_held_out")
    report = Report(name="nine", summary=summary, statistics=SETTINGS)
    rows = of_all(summary, partition)
    marked = rows[rows["metric"].isin(OF_AUCS) & rows["low"].notna()]

    for text in (export(report, name) for name in ("markdown", "html", "latex")):
        assert rows.loc[rows["metric"] == "auc", "reason"].iloc[0].split(";")[0] in text
        for low, high in marked[["low", "high"]].itertuples(index=False):
            assert f"[{low:.3f}, {high:.3f}]" not in text
            assert f"{low:.3f} to {high:.3f}" not in text
            assert f"{low:+.3f} to {high:+.3f}" not in text
        assert "whether stress is worse than dual by 0.05 of AUC or more cannot be told" in text


def test_a_pair_that_is_not_compared_has_its_counts_all_the_same(nine_held_out: RunTables) -> None:
    """Models at chance are refused a difference; the table still has the pair, and why it has no number."""
    noise = np.random.default_rng(5).normal(size=len(nine_held_out.predictions))
    chance = replace(nine_held_out, predictions=nine_held_out.predictions.assign(score=noise))
    summary = summarise(chance, SETTINGS, partitions=("development",))
    pairs = of_all(summary, "development").query("metric == 'auc_difference' and primary")
    table = export(Report(name="chance", summary=summary), "markdown")
    table = table.partition("## Tc-99m, abnormal perfusion: cross-validation: differences")[2].partition("##")[0]

    assert set(pairs["state"]) == {"refused"}
    for pair in pairs["inputs"]:
        assert f"| {pair} | too few for a difference of AUCs |" in table


def figures_of(
    run: RunTables, summary: pd.DataFrame, hidden: str
) -> tuple[Drawing | None, Drawing | None, Drawing | None]:
    """Forest and ROC curves of Tc-99m, and the curves where the hidden partition alone is there."""
    rows = [row for row in numbered(summary) if row["tracer"] == "Tc-99m"]
    sides = next(one for one in sides_of(run, "Tc-99m") if one.inputs == "stress")
    places = [Place(tracer="Tc-99m", endpoint="label 1", partition=one, inputs="stress", counted=()) for one in PARTS]
    shown = {"test": "development", "development": "test"}[hidden]
    return (
        forest("Tc-99m", "label 1", rows, 0.05, declared="stress-dual"),
        roc(*places, sides, 0.95),
        roc(*places, replace(sides, **{shown: None}), 0.95),
    )


def test_no_figure_draws_what_is_marked(nine: RunTables, counted: pd.DataFrame) -> None:
    """The forest has the words and not the point, and the steps of the small test partition are not drawn."""
    drawn, curve, alone = figures_of(nine, counted, hidden="test")

    assert drawn is not None
    assert set(drawn.data["partition"]) == {"development"}
    assert "too few for an AUC" in plain(drawn.caption)
    assert curve is not None
    assert set(curve.data["partition"]) == {"development"}
    assert "too few patients" in plain(curve.caption)
    assert alone is None


def test_no_figure_draws_a_cross_validation_of_nine(nine_held_out: RunTables, counted_held_out: pd.DataFrame) -> None:
    """Forest and curves show the test partition alone, and what more patients would buy is told of the others."""
    drawn, curve, alone = figures_of(nine_held_out, counted_held_out, hidden="development")

    assert drawn is not None
    assert set(drawn.data["partition"]) == {"test"}
    assert curve is not None
    assert set(curve.data["partition"]) == {"test"}
    assert "Cross-validation has too few patients" in plain(curve.caption)
    assert alone is None
    assert set(further_designs(counted_held_out, nine_held_out.folds)["tracer"]) == {"Tl-201"}


def test_a_mean_over_tracers_does_not_tell_what_one_of_them_hides(nine_held_out: RunTables) -> None:
    """The optimism of a search stays in the table for both tracers, and the page shows it of neither."""
    cells = nine_held_out.cells
    epochs = cells.assign(inner_fold=0, epoch=1, validation_loss=0.5, validation_auc=0.77)
    summary = summarise(replace(nine_held_out, epochs=epochs), SETTINGS, partitions=("development",))
    areas = summary.query("metric == 'auc' and primary and subgroup == 'all'").groupby("inputs")["estimate"].mean()
    found = summary[summary["metric"].isin(["auc_of_search", "optimism"])]
    optimism = found[found["metric"] == "optimism"].set_index("inputs")["estimate"]

    assert len(found) == 12
    assert found["reason"].str.endswith("too few for an AUC").all()
    assert optimism.to_numpy(float) == pytest.approx((0.77 - areas[optimism.index]).to_numpy(float))
    for text in (export(Report(name="searched", summary=summary), name) for name in ("markdown", "html")):
        assert "Optimism of the search" not in text
        assert "0.770" not in text


def test_a_flat_search_is_named_once(nine_held_out: RunTables) -> None:
    """The sentence with the counts says beforehand that the search was flat, and not in every bracket again."""
    flat = replace(nine_held_out, search=SearchSettings(scheme="flat"))
    summary = summarise(flat, SETTINGS, partitions=("development",))
    sentences = [plain(one) for one in answer(Report(name="flat", summary=summary)).sentences]
    (said,) = [one for one in sentences if one.startswith("Tc-99m") and "too few for an AUC" in one]

    assert said.count("flat search, bias-reduced") == 1
    assert said.count("correct in each of 3 repeats") == 3


def test_a_site_of_eight_has_counts_and_stays_in_the_mean(finished_run: RunTables) -> None:
    """Sites of eight positive patients are counted by hand; the AUC over all sites, of 32, is shown."""
    rows = finished_run.predictions.query("partition == 'development' and repeat == 0").reset_index(drop=True)
    exams = finished_run.exams.merge(rows.drop_duplicates("exam_id")[["exam_id", "fold"]]).rename(
        columns={"fold": "site"}
    )
    run = replace(
        finished_run,
        predictions=rows, exams=exams, by="site",
        folds=finished_run.folds.query("repeat == 0"), cells=finished_run.cells.query("repeat == 0"),
    )  # fmt: skip
    summary = summarise(run, SETTINGS, partitions=("development",)).query("tracer == 'Tc-99m' and inputs == 'stress'")
    text = export(Report(name="sites", summary=summary), "markdown")
    mine = rows[(rows["tracer"] == "Tc-99m") & (rows["inputs"] == "stress")]
    right = (mine["probability"] >= mine["threshold"]) == mine["label"]
    found = summary[summary["metric"] == "auc"].set_index("subgroup")

    for site, one in mine.groupby("fold"):
        area = found.loc[f"held-out site={site}"]
        told = [int(right[one.index][one["label"] == label].sum()) for label in (1, 0)]
        assert area["estimate"] == pytest.approx(roc_auc_score(one["label"], one["score"]))
        assert area["reason"] == (
            f"correct: {told[0]} of 8 positive, {told[1]} of 12 negative at the threshold; too few for an AUC"
        )
        assert area["reason"] in text
        assert f"[{area['low']:.3f}, {area['high']:.3f}]" not in text
    assert f"{found.loc['all', 'estimate']:.3f}" in text


def test_permuted_runs_answer_for_a_small_cohort_without_its_auc(counted_held_out: pd.DataFrame) -> None:
    """Runs that reach the AUC that nobody is shown give p = 4/4; the report has that p and not the AUC."""
    found = permutation_rows(counted_held_out, [counted_held_out] * 3).query("tracer == 'Tc-99m'")
    text = export(Report(name="permuted", summary=found), "markdown")

    assert found["p"].tolist() == [1.0] * 3
    assert text.count("p 1.000") == 3
    for value in found["estimate"]:
        assert f"{value:.3f}" not in text


def test_ten_of_a_class_have_an_auc(finished_run: RunTables) -> None:
    """The rule begins below ten: with ten patients of a class nothing is marked, and the report shows the AUC."""
    both = with_positives(with_positives(finished_run, 10), 10, "development")
    summary = summarise(both, SETTINGS)
    text = export(Report(name="ten", summary=summary), "markdown")
    for partition in PARTS:
        area = of_all(summary, partition).query("metric == 'auc' and primary").iloc[0]

        assert not of_all(summary, partition)["reason"].str.contains("too few for").any()
        assert f"[{area['low']:.3f}, {area['high']:.3f}]" in text


@pytest.mark.parametrize("partition", PARTS)
def test_what_is_not_shown_does_not_ease_what_is(request: pytest.FixtureRequest, partition: str) -> None:
    """Holm over six: the three comparisons of the small tracer count with p = 1, however small theirs is."""
    summary = request.getfixturevalue("counted" if partition == "test" else "counted_held_out")
    pairs = summary[
        (summary["metric"] == "auc_difference")
        & summary["primary"]
        & (summary["partition"] == partition)
        & (summary["model"] == "network")
        & (summary["subgroup"] == "all")
    ]
    small = pairs["tracer"] == "Tc-99m"
    expected = multipletests(np.where(small, 1.0, pairs["p"].fillna(1.0)), method="holm")[1]
    other = (~small & pairs["p"].notna()).to_numpy()

    assert pairs["p_holm"].to_numpy(dtype=float)[other] == pytest.approx(expected[other])
    assert pairs.loc[small, "p_holm"].isna().all()


def test_several_exams_of_a_patient_do_not_make_a_class_larger() -> None:
    """Nine patients with two positive exams each are nine: `evaluate` counts eighteen exams and gives no AUC."""
    generator = np.random.default_rng(3)
    frame = pd.DataFrame({"patient_id": np.repeat(np.arange(29), 2), "label": np.repeat(np.arange(29) < 9, 2) * 1})
    frame["exam_id"] = np.arange(58)
    frame["probability"] = np.clip(0.3 + 0.4 * frame["label"] + generator.normal(scale=0.2, size=58), 0.01, 0.99)
    right = (frame["probability"] >= 0.5) == frame["label"]
    text = export(evaluation_report(frame, "two exams each"), "markdown")

    positive, negative = (int(right[frame["label"] == label].sum()) for label in (1, 0))
    assert (
        f"correct: {positive} of 18 positive, {negative} of 40 negative at the threshold, exams of 9 and 20 patients; "
        "too few for an AUC"
    ) in text
    assert "Newcombe" not in text


def test_a_small_subgroup_has_counts_and_a_very_small_one_only_its_size(finished_run: RunTables) -> None:
    """From five of a class how many were decided rightly, by hand; below, how a single person was decided stays out."""
    rows = finished_run.predictions.query("partition == 'development' and inputs == 'stress' and tracer == 'Tl-201'")
    ids = {label: sorted(rows.loc[rows["label"] == label, "exam_id"].unique()) for label in (0, 1)}
    names = {**dict.fromkeys(ids[1][:6] + ids[0][:12], "six"), **dict.fromkeys(ids[1][6:10] + ids[0][12:22], "four")}
    exams = finished_run.exams.assign(scanner=finished_run.exams["exam_id"].map(names).fillna("other"))
    summary = summarise(
        replace(finished_run, exams=exams), StatisticsSettings(subgroups=("scanner",)), partitions=("development",)
    )
    found = summary[(summary["tracer"] == "Tl-201") & (summary["inputs"] == "stress")].set_index("subgroup")["reason"]
    six = rows[rows["exam_id"].map(names) == "six"]
    right = ((six["probability"] >= six["threshold"]) == six["label"]).groupby([six["label"], six["repeat"]]).sum()
    told = [
        f"{low} to {high}" if low < high else f"{low}"
        for low, high in (right.loc[label].agg(["min", "max"]) for label in (1, 0))
    ]

    assert found["scanner=six"] == (
        f"correct in each of 3 repeats: {told[0]} of 6 positive, {told[1]} of 12 negative at the threshold; "
        "too few for an AUC"
    )
    assert found["scanner=four"] == "4 positive, 10 negative exams; too few for an AUC"
    table = export(Report(name="scanners", summary=summary), "markdown").partition("cross-validation: subgroups")[2]
    assert found["scanner=six"] in table
    assert found["scanner=four"] in table


def test_a_reader_of_rows_gets_no_number_to_show(counted: pd.DataFrame) -> None:
    """Tables, sentences and figures begin with `numbered`, which leaves the counts and takes the numbers away."""
    marked = [row for row in numbered(counted) if str(row["reason"]).endswith("too few for an AUC")]

    assert marked
    assert {row[name] for row in marked for name in ("estimate", "low", "high", "p", "p_holm", "sd")} == {None}
