"""Seven defects that an outside verification found; each test fails on the code that had the defect."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.evaluate import _evaluate_predictions
from orchestrator.report.export import export
from orchestrator.report.records import Report

SETTINGS = StatisticsSettings(subgroups=())


def only(summary: pd.DataFrame, metric: str, **where: object) -> pd.Series:
    """The leading row of a metric."""
    rows = summary[(summary["metric"] == metric) & summary["primary"]]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    (row,) = (row for _, row in rows.iterrows())
    return row


def test_net_benefit_of_a_perfect_test_is_as_uncertain_as_the_prevalence() -> None:
    """Ten of thirty diseased, all found: the limits are those of a prevalence, not [.333, .333]."""
    frame = pd.DataFrame({"label": [1] * 10 + [0] * 20, "probability": [0.9] * 10 + [0.1] * 20})
    row = only(_evaluate_predictions(frame, SETTINGS), "net_benefit", at=0.3)

    assert row["estimate"] == pytest.approx(1 / 3)
    # Wilson's limits of 10 of 30, as R's binom::binom.wilson and statsmodels' proportion_confint print them. The
    # net benefit of a perfect test also loses by false positives that none of 20 showed, so its limit lies lower.
    assert row["low"] < 0.192
    assert row["high"] == pytest.approx(0.512, abs=0.01)


def test_members_that_disagree_are_one_model_for_auc_and_decision() -> None:
    """One member far off and two near: the exams that the AUC ranks last are not called positive as well."""
    rows = []
    for exam in range(20):
        positive = exam < 10
        for member, score in enumerate((-6.0, 2.5, 2.5) if positive else (6.0, -2.5, -2.5)):
            rows.append((exam, exam, member, int(positive), score, expit(score), 0.5))
    columns = ["patient_id", "exam_id", "member", "label", "score", "probability", "threshold"]
    summary = _evaluate_predictions(pd.DataFrame(rows, columns=columns), SETTINGS)

    assert only(summary, "auc")["estimate"] == 0
    decided = summary[(summary["metric"] == "sensitivity") & summary["at"].isna()]
    assert decided["estimate"].tolist() == [0.0]


def test_two_perfect_models_may_still_differ() -> None:
    """Six and six exams, both models perfect: a difference of zero with limits that six exams allow."""
    label = np.repeat([1, 0], 6)
    frames = [
        pd.DataFrame({"patient_id": np.arange(12), "inputs": name, "label": label, "score": scale * label + 0.01})
        for name, scale in (("stress", 1.0), ("dual", 2.0))
    ]
    row = only(_evaluate_predictions(pd.concat(frames), SETTINGS), "auc_difference")

    assert row["estimate"] == 0
    # Each model's own lower limit is .689 (Newcombe's method 5), so neither can be known to be within .3.
    assert row["low"] < -0.3
    assert row["high"] > 0.3
    assert row["p"] == pytest.approx(1.0)


def test_no_auc_compares_scores_of_different_folds() -> None:
    """Folds with large offsets, perfect within: every AUC that the summary gives is that of the folds."""
    generator = np.random.default_rng(0)
    label = np.tile([1, 0], 50)
    fold = np.arange(100) // 2 % 5
    frames = [
        pd.DataFrame(
            {
                "patient_id": np.arange(100),
                "label": label,
                "fold": fold,
                "repeat": repeat,
                "score": 50.0 * generator.permutation(5)[fold] + 1.5 * label + generator.normal(size=100),
            }
        )
        for repeat in range(3)
    ]
    frame = pd.concat(frames, ignore_index=True)
    within = np.mean([roc_auc_score(cell["label"], cell["score"]) for _, cell in frame.groupby(["repeat", "fold"])])
    summary = _evaluate_predictions(frame, SETTINGS)
    areas = summary[summary["metric"].str.startswith("auc") & summary["at"].isna() & (summary["state"] == "ok")]

    assert areas["estimate"].to_numpy() == pytest.approx(within)
    assert within > 0.8


def test_calibration_in_the_large_exists_wherever_its_maximum_does() -> None:
    """Six probabilities of which three are 0 or 1: one equation with one root, −4.24, and no refusal."""
    frame = pd.DataFrame({"probability": [1.0, 0.99, 0.98, 0.0, 0.0, 0.01], "label": [1, 1, 0, 0, 0, 0]})
    row = only(_evaluate_predictions(frame, SETTINGS), "calibration_intercept")

    assert row["state"] == "ok"
    assert row["estimate"] == pytest.approx(-4.24, abs=0.005)


def test_the_wanted_specificity_is_met_by_one_network() -> None:
    """Networks that differ as much as patients do: a threshold from one network's scores keeps .80, a mean's .73."""
    generator = np.random.default_rng(3)
    size, repeats = 3000, 10
    label = np.tile([1, 0, 0], size // 3)
    own = generator.normal(size=size) + 1.5 * label
    held_out = [
        pd.DataFrame(
            {
                "patient_id": np.arange(size),
                "label": label,
                "repeat": repeat,
                "fold": np.arange(size) // 3 % 5,
                "score": own + generator.normal(size=size),
            }
        )
        for repeat in range(repeats)
    ]
    test = pd.DataFrame({"patient_id": size + np.arange(size), "label": label})
    test["score"] = generator.normal(size=size) + 1.5 * label + generator.normal(size=size)
    frame = pd.concat([*held_out, test], ignore_index=True)
    frame["partition"] = np.where(frame["fold"].isna(), "test", "development")
    row = only(_evaluate_predictions(frame, SETTINGS), "specificity", partition="test", at=0.8)

    # 2,000 negatives: a standard error of .009.
    assert row["estimate"] == pytest.approx(0.80, abs=0.025)


@pytest.mark.parametrize("text_format", ["markdown", "html", "latex"])
def test_what_a_number_is_not_stands_beside_it(text_format: str) -> None:
    """A remark on a number, such as that an interaction is not adjusted for multiplicity, reaches the reader."""
    generator = np.random.default_rng(1)
    label = np.arange(120) % 2
    frame = pd.DataFrame({"label": label, "score": generator.normal(size=120) + label})
    frame["sex"] = np.where(np.arange(120) // 2 % 2, "F", "M")
    summary = _evaluate_predictions(frame, StatisticsSettings(subgroups=("sex",)))
    remarks = set(summary.loc[(summary["state"] == "ok") & (summary["reason"] != ""), "reason"])
    text = export(Report(name="remarks", summary=summary), text_format)

    assert any("not adjusted for multiplicity" in remark for remark in remarks)
    assert [remark for remark in remarks if remark not in text] == []
