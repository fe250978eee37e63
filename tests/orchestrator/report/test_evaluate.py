"""`evaluate`: predictions made elsewhere, judged by the same rules or refused with the rows at fault."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import spearmanr
from sklearn.metrics import recall_score
from statsmodels.stats.multitest import multipletests

from mpi_model.errors import StatisticsError
from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.ledger.schemas import SUMMARY_COLUMNS
from orchestrator.report.evaluate import _evaluate_predictions, evaluation_report
from orchestrator.report.export import export
from orchestrator.report.records import RunTables

SETTINGS = StatisticsSettings(subgroups=())


def plain(size: int = 60) -> pd.DataFrame:
    """The least that can be judged: labels and probabilities."""
    generator = np.random.default_rng(4)
    label = np.arange(size) % 3 == 0
    return pd.DataFrame(
        {
            "label": label.astype(int),
            "probability": np.clip(0.3 + 0.3 * label + 0.2 * generator.normal(size=size), 0, 1),
        }
    )


def leading(summary: pd.DataFrame, metric: str) -> pd.Series:
    """The leading row of a metric."""
    return summary[(summary["metric"] == metric) & summary["primary"]].iloc[0]


def test_labels_and_probabilities_are_a_test_set() -> None:
    """Two columns are enough for an AUC with its interval, decisions at one half and calibration."""
    summary = _evaluate_predictions(plain(), SETTINGS)
    auc = leading(summary, "auc")

    assert tuple(summary.columns) == SUMMARY_COLUMNS
    assert (auc["partition"], auc["patients"], auc["method"]) == ("test", 60, "logit DeLong")
    assert leading(summary, "balanced_accuracy")["method"] == "MOVER of Wilson"
    assert leading(summary, "calibration_slope")["state"] == "ok"


def test_scores_without_threshold_are_not_decided() -> None:
    """A raw score has no natural threshold, and none is chosen on the exams judged: refused, with the reason."""
    frame = plain().rename(columns={"probability": "score"})
    summary = _evaluate_predictions(frame, SETTINGS)

    assert leading(summary, "auc")["state"] == "ok"
    assert leading(summary, "balanced_accuracy")["state"] == "refused"
    assert "no threshold" in leading(summary, "balanced_accuracy")["reason"]
    assert "no probabilities" in leading(summary, "brier")["reason"]


def test_a_whole_run_evaluates_to_its_own_summary(finished_run: RunTables, summary: pd.DataFrame) -> None:
    """The predictions of a run, taken as someone else's, give the run's own AUCs and comparisons."""
    evaluated = _evaluate_predictions(finished_run.predictions, SETTINGS)
    for metric in ("auc", "auc_difference", "balanced_accuracy"):
        mine, theirs = (
            table[(table["metric"] == metric) & (table["subgroup"] == "all")].reset_index(drop=True)
            for table in (evaluated, summary)
        )
        pd.testing.assert_frame_equal(mine, theirs)


def test_folds_without_repeats_are_one_repeat(finished_run: RunTables) -> None:
    """One ordinary cross-validation has a fold column only; it is judged as one repeat."""
    once = finished_run.predictions.query("partition == 'development' and repeat == 0 and inputs == 'stress'")
    summary = _evaluate_predictions(once.drop(columns=["repeat", "partition", "inputs"]), SETTINGS)

    assert set(summary["partition"]) == {"development"}
    assert set(summary["inputs"]) == {"model"}
    assert leading(summary, "auc")["method"] == "within-fold logit"


def test_repeated_rows_cannot_pass_as_patients(finished_run: RunTables) -> None:
    """All repeats end to end without saying so: the same exam twice in one place is an error that names rows."""
    rows = finished_run.predictions.query("partition == 'development' and inputs == 'stress'").drop(columns="repeat")

    with pytest.raises(StatisticsError, match=r"predicted twice in the same place.*rows 1, "):
        _evaluate_predictions(rows, SETTINGS)


def test_several_exams_a_patient_are_clustered() -> None:
    """With a patient column the variance knows whose exams are whose, and the method's counts are patients."""
    frame = plain().assign(patient_id=np.arange(60) // 3, exam_id=np.arange(60))
    clustered, strangers = (_evaluate_predictions(one, SETTINGS) for one in (frame, plain()))

    assert leading(clustered, "auc")["patients"] == 20
    assert leading(clustered, "auc")["exams"] == 60
    assert leading(clustered, "auc")["estimate"] == leading(strangers, "auc")["estimate"]
    assert leading(clustered, "auc")["high"] != leading(strangers, "auc")["high"]


def test_all_problems_are_reported_together_with_their_rows() -> None:
    """Bad labels, probabilities and blanks: one line each, with the numbers of the rows, in one error."""
    frame = plain(8).astype({"label": object}).assign(patient_id=["a", "b", "c", "", "e", "f", "g", "h"])
    frame.loc[1, "label"] = "yes"
    frame.loc[[2, 5], "probability"] = [1.5, np.nan]

    with pytest.raises(StatisticsError) as caught:
        _evaluate_predictions(frame, SETTINGS)
    assert caught.value.problems == (
        "`label` must be 0 or 1: row 2 (line 3); the column holds 0 (4 times), 1 (3 times), yes (1 time)",
        "`probability` must be a finite number: row 6 (line 7); found blank (1 time)",
        "`probability` must lie in [0, 1]: row 3 (line 4)",
        "`patient_id` must not be blank: row 4 (line 5)",
    )


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (plain().drop(columns="label"), "column `label`"),
        (plain().drop(columns="probability"), "`score` or `probability`"),
        (plain().iloc[:0], "no predictions"),
        (plain().assign(repeat=0), "`repeat` without `fold`"),
        (plain().assign(fold=0), "cannot be told apart"),
        (plain().assign(partition="validation"), "development or test"),
        (plain().assign(exam_id="same"), "both labels"),
    ],
)
def test_what_cannot_be_judged_says_what_is_missing(frame: pd.DataFrame, message: str) -> None:
    """Each missing or contradictory column ends in a line that says what to add."""
    with pytest.raises(StatisticsError, match=message):
        _evaluate_predictions(frame, SETTINGS)


def test_a_patient_on_both_sides_is_leakage(finished_run: RunTables) -> None:
    """A patient in two folds of a repeat, or in development and test, is refused by row and never by name."""
    rows = finished_run.predictions.copy()
    rows["patient_id"] = rows["patient_id"].replace("patient-000", "patient-002").replace("patient-200", "patient-004")

    with pytest.raises(StatisticsError) as caught:
        _evaluate_predictions(rows, SETTINGS)
    assert "two folds of one repeat" in str(caught.value)
    assert "in development and in test" in str(caught.value)
    assert "patient-0" not in str(caught.value)


def test_one_class_is_refused_in_the_summary() -> None:
    """A file with positives only has no AUC; the summary says so in a row."""
    summary = _evaluate_predictions(plain().assign(label=1), SETTINGS)

    assert leading(summary, "auc")["state"] == "refused"
    assert "both classes" in leading(summary, "auc")["reason"]


def test_the_primary_hypothesis_and_predictive_values_are_for_everybody(finished_run: RunTables) -> None:
    """Somebody's two models, a margin and a prevalence: the answer, and PPV and NPV that follow Bayes' theorem."""
    rows = finished_run.predictions.query("partition == 'test' and tracer == 'Tc-99m' and inputs != 'rest'")
    summary = evaluation_report(rows, "two", noninferiority=("stress-dual", 0.1), prevalence=0.2).summary
    answer = leading(summary, "auc_noninferiority")
    known = summary[(summary["inputs"] == "dual") & (summary["state"] == "ok")]
    values = known.drop_duplicates("metric").set_index("metric")["estimate"]
    rate, specific, ppv = values[["sensitivity", "specificity", "positive_predictive_value"]]

    assert answer["inputs"] == "stress-dual"
    assert answer["at"] == 0.1
    assert ppv == pytest.approx(0.2 * rate / (0.2 * rate + 0.8 * (1 - specific)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prevalence": 1.5}, "`prevalence` must lie between 0 and 1"),
        ({"noninferiority": ("stress", 0.05)}, "joined by a dash"),
        ({"noninferiority": ("stress-dual", 0.0)}, "margin between 0 and 0.5"),
        ({"level": 95.0}, "`level` must lie"),
    ],
)
def test_options_out_of_range_are_refused_in_one_line(options: dict[str, object], message: str) -> None:
    """A prevalence in per cent, a pair without a second, no margin: each is refused with what it must be."""
    with pytest.raises(StatisticsError, match=message):
        evaluation_report(plain(), "plain", **options)


def test_a_pair_that_is_not_there_is_refused_in_a_row() -> None:
    """A hypothesis about inputs that the file lacks is a refusal with its reason, not a silence."""
    summary = evaluation_report(plain(), "plain", noninferiority=("stress-dual", 0.05)).summary
    row = leading(summary, "auc_noninferiority")

    assert row["state"] == "refused"
    assert "no estimate" in row["reason"]


def scored(change: Callable[[np.ndarray], np.ndarray]) -> pd.DataFrame:
    """Scores with probabilities made from them."""
    label = np.arange(60) % 3 == 0
    score = np.random.default_rng(4).normal(size=60) + label
    return pd.DataFrame({"label": label.astype(int), "score": score, "probability": change(score)})


def test_a_probability_that_falls_as_the_score_rises_is_refused() -> None:
    """A score of the other class would have an AUC below one half beside sound calibration, and no other sign of it."""
    opposite = scored(lambda score: expit(-score)).assign(tracer="Tl-201", inputs="dual")
    with pytest.raises(StatisticsError, match=r"falls as `score` rises \(dual, Tl-201, rank correlation -1\.00\)"):
        evaluation_report(opposite, "elsewhere")
    # Of one model among two it is the same mistake.
    both = pd.concat([scored(expit).assign(model="a"), scored(lambda score: expit(-score)).assign(model="b")])
    with pytest.raises(StatisticsError, match=r"rises \(b, rank"):
        evaluation_report(both, "elsewhere")


def test_probabilities_in_another_order_are_a_notice_with_their_rank_correlation() -> None:
    """A person learns that AUC and calibration are of two different columns."""
    noise = np.random.default_rng(5).normal(size=60)
    frame = scored(lambda score: expit(score + noise))
    (notice,) = evaluation_report(frame, "elsewhere").notices
    assert f"(rank correlation {spearmanr(frame['score'], frame['probability']).statistic:.2f})" in notice


def test_probabilities_that_have_nothing_to_do_with_the_scores_are_judged_with_a_notice() -> None:
    """A weak model's two columns may disagree by chance; only columns turned around are a mistake for certain."""
    chance = np.random.default_rng(6).permutation(np.linspace(0.1, 0.9, 60))
    frame = scored(lambda score: chance)
    correlation = spearmanr(frame["score"], frame["probability"]).statistic
    (notice,) = evaluation_report(frame, "elsewhere").notices

    assert -0.5 < correlation < 0
    assert f"(rank correlation {correlation:.2f})" in notice


@pytest.mark.parametrize(
    "change",
    [
        lambda score: expit(score).round(1),
        lambda score: np.where(score > 0, 0.9, 0.2),
        lambda score: np.full(60, 0.4),
        lambda score: expit(score).astype(np.float32),
    ],
    ids=["rounded", "isotonic", "constant", "of another library"],
)
def test_ties_and_rounding_are_no_other_order(change: Callable[[np.ndarray], np.ndarray]) -> None:
    """A calibration in steps keeps the order of the scores, and so does any number of digits."""
    frame = scored(change)
    assert evaluation_report(frame, "elsewhere").notices == ()
    assert evaluation_report(frame.assign(score=frame["score"].round(1)), "elsewhere").notices == ()


def test_each_fold_may_have_its_own_calibration(finished_run: RunTables) -> None:
    """Platt's calibration of each cell rises with its scores, though over all folds the order is another one."""
    assert evaluation_report(finished_run.predictions, "a run").notices == ()
    frame = scored(expit).assign(patient_id=np.arange(60), fold=np.arange(60) // 3 % 3)
    shifted = frame.assign(probability=expit(frame["score"] + 2 * frame["fold"]))
    assert evaluation_report(shifted, "elsewhere").notices == ()
    assert "order" in evaluation_report(shifted.drop(columns="fold"), "elsewhere").notices[0]


def decided(cut: float = 0.62) -> pd.DataFrame:
    """Probabilities, and decisions of their own that one half would not make."""
    frame = plain()
    return frame.assign(positive=(frame["probability"] >= cut).astype(int))


def shares(frame: pd.DataFrame) -> pd.Series:
    """Sensitivity and specificity of a test set."""
    summary = _evaluate_predictions(frame, SETTINGS)
    return summary[summary["at"].isna()].set_index("metric")["estimate"][["sensitivity", "specificity"]]


@pytest.mark.parametrize(
    "written",
    [lambda one: one, lambda one: one == 1, lambda one: one.map({0: "FALSE", 1: " True"}), lambda one: one / 1.0],
    ids=["0 and 1", "booleans", "words", "decimals"],
)
def test_decisions_given_are_the_decisions_judged(written: Callable[[pd.Series], pd.Series]) -> None:
    """Sensitivity and specificity are scikit-learn's recalls of the column, not those of a cut at one half."""
    frame = decided()
    recalls = [recall_score(frame["label"], frame["positive"], pos_label=label) for label in (1, 0)]
    at_half = [recall_score(frame["label"], frame["probability"] >= 0.5, pos_label=label) for label in (1, 0)]
    given = frame.assign(positive=written(frame["positive"]))

    assert shares(given).tolist() == pytest.approx(recalls)
    assert recalls != pytest.approx(at_half)
    assert shares(given.rename(columns={"probability": "score", "positive": "Positive"})).tolist() == pytest.approx(
        recalls
    )
    assert evaluation_report(given, "elsewhere").notices == ()


def test_a_run_with_its_decisions_written_out_is_the_same_run(finished_run: RunTables) -> None:
    """The column alone, and beside the thresholds that made it, gives every row of the run's own summary."""
    rows = finished_run.predictions
    rows = rows.assign(positive=rows["probability"] >= rows["threshold"])
    expected = _evaluate_predictions(finished_run.predictions, SETTINGS)

    pd.testing.assert_frame_equal(_evaluate_predictions(rows, SETTINGS), expected)
    pd.testing.assert_frame_equal(_evaluate_predictions(rows.drop(columns="threshold"), SETTINGS), expected)


def test_rounding_does_not_make_a_decision_contradict_its_threshold() -> None:
    """A probability and its threshold that are printed with the same digits may have been on either side."""
    frame = decided(0.5).assign(threshold=0.5)
    frame.loc[0, ["probability", "positive"]] = [0.5, 0]

    assert shares(frame).tolist() == pytest.approx(shares(frame.drop(columns="threshold")).tolist())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda frame: frame.assign(positive=frame["positive"].replace(1, 2)),
            r"`positive` must be 0 or 1, .*rows? \d.*the column holds .*2 \(\d+ times",
        ),
        (lambda frame: frame.astype({"positive": float}).assign(positive=np.nan), "60 times"),
        (lambda frame: frame.assign(positive="yes"), r"holds yes \(60 times\)"),
        (lambda frame: frame.assign(threshold=0.5), r"not what `probability` ≥ `threshold` says; delete .*row"),
        (
            lambda frame: pd.concat(
                [frame.assign(member=one, exam_id=frame.index, positive=frame["label"] * one) for one in (0, 1)]
            ),
            r"decide an exam differently.*rows 1, 4, 7",
        ),
        (lambda frame: frame.assign(positive=1 - frame["positive"]), r"`positive` falls as `probability` rises"),
    ],
    ids=["another number", "blank", "words", "another threshold", "members", "the other label"],
)
def test_decisions_that_cannot_be_meant_are_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    """What is no decision, not one an exam, or another column's opposite ends with the rows and a remedy."""
    with pytest.raises(StatisticsError, match=message):
        evaluation_report(change(decided(0.45 if "falls" in message else 0.62)), "elsewhere")


def test_decisions_of_an_ensemble_are_compared_with_the_ensemble() -> None:
    """Members on both sides of the threshold: the model's decision is that of their mean log odds, in both rows."""
    frame = plain().assign(exam_id=np.arange(60), threshold=0.5)
    odds = logit(frame["probability"].clip(0.01, 0.99))
    members = [frame.assign(member=one, probability=expit(odds + sign)) for one, sign in ((0, 1.0), (1, -1.0))]
    both = pd.concat(members).assign(positive=(odds >= 0).astype(int))

    assert ((both["probability"] >= 0.5) != (both["positive"] == 1)).sum() > 5
    assert shares(both).tolist() == pytest.approx(shares(both.drop(columns="positive")).tolist())
    with pytest.raises(StatisticsError, match="not what `probability` ≥ `threshold` says"):
        evaluation_report(both.assign(positive=1 - both["positive"]), "elsewhere")


def test_decisions_that_follow_no_threshold_are_a_notice() -> None:
    """A reader who decided for himself is judged, and the report says that the scores would have decided otherwise."""
    chance = np.random.default_rng(8).permutation(decided()["positive"])
    (notice,) = evaluation_report(decided().assign(positive=chance), "readers").notices

    assert notice.startswith("`positive` orders some exams otherwise than `probability`")
    assert notice.endswith("decisions are judged as they are given")


def test_several_other_models_are_one_family_of_questions() -> None:
    """Four comparisons with the first of five models are adjusted together, as statsmodels does it."""
    generator = np.random.default_rng(3)
    base = plain(80).drop(columns="probability").assign(patient_id=range(80))
    models = [
        base.assign(model=f"m{k}", score=base["label"] * (1.6 - 0.3 * k) + generator.normal(size=80)) for k in range(5)
    ]
    summary = _evaluate_predictions(pd.concat(models, ignore_index=True), SETTINGS)
    rows = summary[(summary["metric"] == "auc_difference") & summary["primary"] & (summary["subgroup"] == "all")]

    assert len(rows) == 4
    expected = multipletests(rows["p"].astype(float), method="holm")[1]
    assert rows["p_holm"].to_numpy(dtype=float) == pytest.approx(expected)
    assert rows["family"].str.contains("against other models").all()


def test_a_prevalence_that_no_value_is_given_for_is_said() -> None:
    """A cross-validation has no predictive values; who asked for them is told why."""
    folds = plain().assign(patient_id=range(60), repeat=0, fold=np.arange(60) % 5)

    assert any("no predictive values at 0.1" in one for one in evaluation_report(folds, "cv", prevalence=0.1).notices)
    assert not any("predictive" in one for one in evaluation_report(plain(), "test", prevalence=0.1).notices)


def test_equal_scores_are_not_called_unstable() -> None:
    """A model that gives everybody the same score has repeats that agree; the reason says what is the matter."""
    alike = plain().assign(patient_id=range(60), probability=0.3, fold=np.arange(60) % 5)
    folds = [alike.assign(repeat=repeat) for repeat in (0, 1)]
    row = leading(_evaluate_predictions(pd.concat(folds, ignore_index=True), SETTINGS), "auc")

    assert row["estimate"] == 0.5
    assert "same score" in row["reason"]
    assert "unstable" not in row["reason"]


def test_a_pair_that_cannot_be_parted_says_how_it_was_read() -> None:
    """Names with a dash: the refusal names the side that has no estimate, and the rule by which the pair was parted."""
    rows = pd.concat([plain().assign(inputs=name, patient_id=range(60)) for name in ("stress-only", "dual")])
    summary = evaluation_report(rows, "dash", noninferiority=("stress-only-dual", 0.1)).summary
    (row,) = summary[summary["metric"] == "auc_noninferiority"].to_dict("records")

    assert "stress and only-dual; a pair is parted at its first dash" in row["reason"]


@pytest.mark.parametrize(("level", "said"), [(0.95, "95%"), (0.975, "97.5%"), (0.999, "99.9%")])
def test_a_level_is_not_rounded(level: float, said: str) -> None:
    """97.5 % is not printed as 98 %, and nothing is printed as certain."""
    assert f" {said} interval" in export(evaluation_report(plain(), "level", level=level), "markdown")
