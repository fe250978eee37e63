"""Is stress alone enough? The primary hypothesis, from the setting to the sentence."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from orchestrator.experiment.settings import Noninferiority, StatisticsSettings
from orchestrator.report.export import export
from orchestrator.report.page.answer import answer
from orchestrator.report.records import Report, RunTables
from orchestrator.report.summary import summarise
from orchestrator.report.summary_tables import summary_tables
from orchestrator.report.traced import plain
from orchestrator.statistics.precision import noninferiority_power

QUESTION = StatisticsSettings(noninferiority=Noninferiority(pair="stress-dual", margin=0.05))


@pytest.fixture(scope="module")
def answered(finished_run: RunTables) -> pd.DataFrame:
    """The finished run's summary with a declared primary hypothesis."""
    return summarise(finished_run, QUESTION)


def primary(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of the primary hypothesis."""
    return summary[summary["metric"] == "auc_noninferiority"].reset_index(drop=True)


def test_one_primary_hypothesis_a_tracer_and_partition_is_not_adjusted(answered: pd.DataFrame) -> None:
    """Two tracers, two partitions: four rows, one-sided p-values, outside Holm's family of six."""
    rows = primary(answered)
    pairs = answered[(answered["metric"] == "auc_difference") & answered["primary"] & (answered["subgroup"] == "all")]

    assert list(zip(rows["partition"], rows["tracer"], strict=True)) == [
        (partition, tracer) for partition in ("development", "test") for tracer in ("Tc-99m", "Tl-201")
    ]
    assert set(rows["family"]) == {"primary hypothesis, not adjusted"}
    assert rows["p_holm"].isna().all()
    assert pairs.groupby("partition")["p_holm"].count().max() <= 6
    assert set(pairs["family"]) == {"secondary, Holm over 6 comparisons (2 tracers)"}
    classes = answered[answered["metric"].isin(["sensitivity_difference", "specificity_difference"])]
    assert classes["reason"].str.contains("not adjusted for multiplicity").all()


def test_the_answer_and_the_limit_say_the_same(answered: pd.DataFrame) -> None:
    """Shown exactly where the lower limit lies above −.05, and exactly there the one-sided p is below .025."""
    rows = primary(answered)
    shown = rows["low"] > -0.05

    assert (shown == (rows["p"] < 0.025)).all()
    assert (shown == rows["reason"].str.contains("not worse than dual by 0.05 of AUC or more: shown")).all()
    assert rows.loc[~shown, "reason"].str.contains("is not known|is worse").all()
    pairs = answered[(answered["metric"] == "auc_difference") & answered["primary"] & (answered["subgroup"] == "all")]
    same = pairs[(pairs["inputs"] == "stress-dual") & (pairs["state"] == "ok")]
    merged = rows.merge(same, on=["partition", "tracer"], suffixes=("", "_of_pair"))
    assert len(merged) == 4
    assert merged[["low", "high"]].to_numpy() == pytest.approx(merged[["low_of_pair", "high_of_pair"]].to_numpy())


def test_the_two_answers_below_a_table_say_whose_they_are(answered: pd.DataFrame) -> None:
    """Cross-validation and test answer the same question, perhaps differently: each sentence says which it is."""
    tables = [table for table in summary_tables(answered) if table.title.endswith("differences") and table.rows]
    brief = [table for table in tables if table.shown == "brief"]

    assert len(brief) == 2
    for table in brief:
        rows = primary(answered)
        reasons = rows[rows["tracer"] == table.title.partition(",")[0]].set_index("partition")["reason"]
        assert f"CV non-inferiority: {reasons['development']}." in str(table.note)
        assert f"test non-inferiority: {reasons['test']}." in str(table.note)


def test_the_page_begins_with_the_answers(answered: pd.DataFrame) -> None:
    """The first sentence about each tracer answers the declared question, for the test and for cross-validation."""
    sentences = [plain(one) for one in answer(Report(name="first", summary=answered, statistics=QUESTION)).sentences]
    rows = primary(answered).set_index(["tracer", "partition"])["reason"]

    assert len(sentences) == 4
    for tracer, said in zip(("Tc-99m", "Tl-201"), sentences[::2], strict=True):
        test, development = rows[tracer, "test"], rows[tracer, "development"]
        assert said.startswith(f"{tracer}, ")
        assert said.endswith(f". Test partition: {test}. Cross-validation: {development}.")


def test_equal_inputs_are_shown_not_to_be_worse(closed_run: RunTables) -> None:
    """Dual scores copied into stress with a little noise: the difference is small, and so is its interval."""
    rows = closed_run.predictions
    noise = 0.05 * np.random.default_rng(0).normal(size=len(rows))
    dual = rows[rows["inputs"] == "dual"].set_index(["exam_id", "repeat"])["score"]
    keys = pd.MultiIndex.from_frame(rows[["exam_id", "repeat"]])
    copied = np.where(rows["inputs"] == "stress", dual.reindex(keys).to_numpy() + noise, rows["score"])
    found = primary(summarise(replace(closed_run, predictions=rows.assign(score=copied)), QUESTION))

    assert found["reason"].str.contains("shown").all()
    assert (found["p"] < 0.025).all()


def test_only_declared_comparisons_are_made(finished_run: RunTables) -> None:
    """One declared pair is a family of two tracers; the others are not tested at all."""
    summary = summarise(finished_run, replace(QUESTION, comparisons=("stress-rest",)))
    pairs = summary[(summary["metric"] == "auc_difference") & summary["primary"] & (summary["subgroup"] == "all")]

    assert set(pairs["inputs"]) == {"stress-rest"}
    assert set(pairs["family"]) == {"secondary, Holm over 2 comparisons (2 tracers)"}


@pytest.mark.parametrize("text_format", ["markdown", "html", "latex"])
def test_the_answer_reaches_the_reader(answered: pd.DataFrame, text_format: str) -> None:
    """The sentence that answers the question stands in every format."""
    text = export(Report(name="answered", summary=answered), text_format)

    assert "stress" in text
    assert all(sentence.split(":")[0] in text for sentence in primary(answered)["reason"])


def test_power_agrees_with_simulated_comparisons() -> None:
    """Two equally good models, correlated by one half: the share of shown non-inferiorities is the power."""
    generator = np.random.default_rng(6)
    positives, negatives, margin = 60, 90, 0.08
    labels = np.arange(positives + negatives) < positives
    shift = np.sqrt(2) * stats.norm.ppf(0.85)
    shown, trials = 0, 400
    for _ in range(trials):
        shared, *own = generator.normal(size=(3, labels.size))
        areas, placements = [], []
        for one in own:
            scores = np.sqrt(0.5) * (shared + one) + shift * labels
            wins = (scores[labels][:, None] > scores[~labels]).astype(float)
            areas.append(wins.mean())
            placements.append((wins.mean(axis=1), wins.mean(axis=0)))
        up, down = (placements[0][side] - placements[1][side] for side in (0, 1))
        error = np.sqrt(up.var(ddof=1) / positives + down.var(ddof=1) / negatives)
        shown += areas[0] - areas[1] - 1.96 * error > -margin

    # Newcombe's variance supposes exponential, not normal, scores: a few points, beside the error of 400 trials.
    found = noninferiority_power(positives, negatives, margin)
    assert found.power == pytest.approx(shown / trials, abs=0.08)
    assert noninferiority_power(600, 900, margin).power > 0.99
    enough = noninferiority_power(round(0.4 * found.patients), round(0.6 * found.patients), margin)
    assert enough.power == pytest.approx(0.8, abs=0.01)


def test_a_difference_that_holm_takes_back_is_not_called_one(answered: pd.DataFrame) -> None:
    """The sentence about a secondary pair says so where its interval excludes 0 and its adjusted p is above .05."""
    pair = (answered["metric"] == "auc_difference") & answered["primary"] & (answered["model"] == "network")
    chosen = pair & (answered["inputs"] == "stress-rest") & (answered["subgroup"] == "all")
    said = []
    for adjusted in (0.04, 0.06):
        summary = answered.assign(
            low=answered["low"].mask(chosen, 0.01),
            estimate=answered["estimate"].mask(chosen, 0.1),
            high=answered["high"].mask(chosen, 0.2),
            p_holm=answered["p_holm"].mask(chosen, adjusted),
            state=answered["state"].mask(chosen, "ok"),
        )
        readings = answer(Report(name="pairs", summary=summary, statistics=QUESTION)).readings
        said.append([plain(line) for line in readings if "stress has a higher AUC than rest" in plain(line)])

    assert [len(lines) for lines in said] == [2, 2]
    assert all("but not after Holm's correction" not in line for line in said[0])
    assert all("but not after Holm's correction" in line for line in said[1])
