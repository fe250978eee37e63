"""`evaluate` under changes that must change nothing, or something known, and at the edges of what it can judge."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from statsmodels.stats.proportion import proportion_confint

from orchestrator.experiment.settings import StatisticsSettings
from orchestrator.report.evaluate import _evaluate_predictions, evaluation_report

SETTINGS = StatisticsSettings(subgroups=(), prevalence=0.2)
SHARES = (
    *("auc", "partial_auc", "sensitivity", "specificity", "balanced_accuracy", "brier"),
    *("positive_predictive_value", "negative_predictive_value"),
)
KEY = ["partition", "tracer", "inputs", "metric", "method", "at"]


def _scored(patients: int, seed: int, first: int = 0) -> pd.DataFrame:
    """Two input configurations of one test set; every third patient is positive."""
    generator = np.random.default_rng(seed)
    label = (np.arange(patients) % 3 == 0).astype(int)
    shared = label + generator.normal(0, 0.8, patients)
    parts = []
    for inputs in ("stress", "dual"):
        score = shared + generator.normal(0, 0.6, patients)
        names = [f"P{first + number:03d}" for number in range(patients)]
        parts.append(
            pd.DataFrame(
                {
                    "patient_id": names, "tracer": "Tc-99m", "inputs": inputs, "label": label, "score": score,
                    "probability": expit(score - 0.4), "threshold": 0.45, "partition": "test",
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _both(patients: int = 60, repeats: int = 2) -> pd.DataFrame:
    """A cross-validation of five folds and a test set of other patients."""
    held_out = []
    for repeat in range(repeats):
        frame = _scored(patients, seed=10 + repeat)
        # Triples of patients, so that every fold has both classes.
        triples = np.random.default_rng(repeat).permutation(patients // 3) % 5
        fold = np.tile(np.repeat(triples, 3), 2)
        held_out.append(frame.assign(partition="development", repeat=repeat, fold=fold))
    return pd.concat([*held_out, _scored(patients, seed=1, first=patients)], ignore_index=True)


@pytest.fixture(scope="module")
def plain() -> pd.DataFrame:
    """The predictions that are changed."""
    return _both()


@pytest.fixture(scope="module")
def judged(plain: pd.DataFrame) -> pd.DataFrame:
    """Their summary."""
    return _evaluate_predictions(plain, SETTINGS)


def _renamed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(patient_id=[f"Z{999 - int(name[1:])}" for name in frame["patient_id"]])


CHANGES = {
    "rows in another order": lambda frame: frame.sample(frac=1, random_state=3),
    "patients by other names": _renamed,
    "an index that repeats": lambda frame: frame.set_index(np.zeros(len(frame), dtype=int)),
    "folds numbered through all repeats": lambda frame: frame.assign(fold=frame["fold"] + 5 * frame["repeat"]),
    "folds by letters": lambda frame: frame.assign(fold=frame["fold"].map(dict(enumerate("edcba")))),
    "scores on another scale": lambda frame: frame.assign(score=np.exp(frame["score"] / 2)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_says_the_same_is_judged_the_same(name: str, plain: pd.DataFrame, judged: pd.DataFrame) -> None:
    """Order, names, numbers of folds and the scale of scores carry nothing: every row of the summary stays."""
    changed = _evaluate_predictions(CHANGES[name](plain), SETTINGS)

    # Sums over patients in another order differ in their last digits, roots in the eighth.
    pd.testing.assert_frame_equal(changed, judged, rtol=1e-6)


def test_the_mirror_exchanges_sensitivity_and_specificity(plain: pd.DataFrame, judged: pd.DataFrame) -> None:
    """Labels exchanged, scores negated: the same AUC, slope and Brier score, the other rate, the other intercept."""
    mirrored = plain.assign(
        label=1 - plain["label"], score=-plain["score"], probability=1 - plain["probability"], threshold=0.55
    )
    other = {"sensitivity": "specificity", "specificity": "sensitivity"}
    other |= {f"{name}_difference": f"{value}_difference" for name, value in other.items()}
    before, after = (table[table["at"].isna()] for table in (judged, _evaluate_predictions(mirrored, SETTINGS)))
    after = after.assign(metric=after["metric"].replace(other))
    same = {"auc", "auc_difference", "balanced_accuracy", "brier", "calibration_slope", *other}
    # The permutation draws other swaps, and its p-value is one of a simulation.
    first, second = (
        table[table["metric"].isin(same) & ~table["method"].str.startswith("rank-swap")]
        .set_index(KEY[:-1])
        .sort_index()[["estimate", "low", "high", "p"]]
        for table in (before, after)
    )
    intercepts = [
        table.loc[table["metric"] == "calibration_intercept", "estimate"].to_numpy() for table in (before, after)
    ]

    pd.testing.assert_frame_equal(first, second, rtol=1e-6)
    assert intercepts[0] == pytest.approx(-intercepts[1])


def test_twice_the_patients_narrow_an_interval_by_the_root_of_two(judged: pd.DataFrame, plain: pd.DataFrame) -> None:
    """Every patient once more under a new name: estimates stay, errors fall by about √2, Wilson's limits are of 2 n."""
    twice = pd.concat([plain, plain.assign(patient_id="Q" + plain["patient_id"])], ignore_index=True)
    before, after = (
        table[table["primary"] & table["low"].notna() & table["at"].isna()].set_index(KEY[:-1]).sort_index()
        for table in (judged, _evaluate_predictions(twice, SETTINGS))
    )
    metrics = ["auc", "sensitivity", "specificity", "balanced_accuracy", "calibration_slope", "brier"]
    before, after = (table[table.index.get_level_values("metric").isin(metrics)] for table in (before, after))
    ratio = (before["high"] - before["low"]) / (after["high"] - after["low"])
    low, high = proportion_confint(round(after.loc[_of("sensitivity"), "estimate"] * 40), 40, method="wilson")

    assert after["estimate"].to_numpy() == pytest.approx(before["estimate"].to_numpy(), abs=1e-9)
    # Student's t, Wilson's centre and the training factor depend on the number of patients as well.
    assert ratio.between(1.25, 1.7).all()
    assert tuple(after.loc[_of("sensitivity"), ["low", "high"]]) == pytest.approx((low, high))


def _of(metric: str) -> tuple[str, ...]:
    return ("test", "Tc-99m", "stress", metric, "Wilson")


def test_an_exam_repeated_within_its_patient_tells_nothing(plain: pd.DataFrame, judged: pd.DataFrame) -> None:
    """Each exam stored twice for its patient: AUC, its interval and the differences are those of one exam a patient."""
    once = plain.assign(exam_id=plain["patient_id"])
    twice = pd.concat([once, once.assign(exam_id="again " + once["exam_id"])], ignore_index=True)
    tables = [
        table[table["metric"].isin(["auc", "auc_difference"]) & ~table["method"].str.startswith("rank-swap")]
        for table in (judged, _evaluate_predictions(twice, SETTINGS))
    ]
    first, second = (table.set_index(KEY[:-1]).sort_index()[["estimate", "low", "high"]] for table in tables)

    pd.testing.assert_frame_equal(first, second, rtol=1e-6)


def test_another_tracer_of_the_same_patients_changes_only_the_family(plain: pd.DataFrame, judged: pd.DataFrame) -> None:
    """Tracers are judged apart: with a second one only Holm's adjustment of the first one's rows is another."""
    second = plain.assign(tracer="Tl-201", score=plain["score"].to_numpy()[::-1])
    both = _evaluate_predictions(pd.concat([plain, second], ignore_index=True), SETTINGS)
    mine = both[both["tracer"] == "Tc-99m"].reset_index(drop=True)

    pd.testing.assert_frame_equal(
        mine.drop(columns=["p_holm", "family"]), judged.drop(columns=["p_holm", "family"]), rtol=1e-6
    )


@settings(max_examples=15)
@given(
    labels=st.lists(st.integers(0, 1), min_size=4, max_size=30).filter(
        lambda values: 2 <= sum(values) <= len(values) - 2
    ),
    levels=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_every_interval_holds_its_estimate_and_has_a_width(labels: list[int], levels: int, seed: int) -> None:
    """Few exams, ties, constants, probabilities of 0 and 1: no share leaves [0, 1], and no interval is a point."""
    values = np.linspace(0, 1, levels + 1)[np.random.default_rng(seed).integers(0, levels + 1, len(labels))]
    frame = pd.DataFrame({"label": labels, "probability": values})
    rows = _evaluate_predictions(frame, SETTINGS)
    limits = rows[rows["low"].notna()]
    shares = limits[limits["metric"].isin(SHARES)]
    found = rows.drop_duplicates("metric").set_index("metric")

    assert ((limits["low"] <= limits["estimate"]) & (limits["estimate"] <= limits["high"])).all()
    assert (limits["high"] - limits["low"] > 1e-6).all()
    assert ((shares["low"] >= 0) & (shares["high"] <= 1)).all()
    for metric, label in (("sensitivity", 1), ("specificity", 0)):
        chosen = values[np.array(labels) == label]
        right = int(((chosen >= 0.5) == label).sum())
        expected = proportion_confint(right, chosen.size, method="wilson")
        assert tuple(found.loc[metric, ["low", "high"]]) == pytest.approx(expected, abs=1e-9)
    assert found.loc["brier", "estimate"] == pytest.approx(((values - labels) ** 2).mean()) or (
        found.loc["brier", "state"] == "refused"
    )


@pytest.mark.parametrize(("probability", "result"), [(0.3, "positive"), (0.9, "negative")])
def test_a_result_that_nobody_had_has_no_meaning(probability: float, result: str) -> None:
    """All exams called alike: the other result has no likelihood ratio and no predictive value, least of all 1."""
    frame = pd.DataFrame({"label": [0, 1] * 15, "probability": probability})
    rows = _evaluate_predictions(frame, SETTINGS).set_index("metric")

    for metric in (f"likelihood_ratio_{result}", f"{result}_predictive_value"):
        assert rows.loc[metric, "state"] == "refused"
        assert f"no exam was called {result}" in rows.loc[metric, "reason"]


def test_models_that_decide_alike_may_still_differ(plain: pd.DataFrame) -> None:
    """The same decisions by other scores: the differences of sensitivity and specificity are 0 with a width."""
    stress = plain[plain["inputs"] == "stress"]
    dual = stress.assign(inputs="dual", score=stress["score"] + 0.3 * np.cos(np.arange(len(stress))))
    rows = _evaluate_predictions(pd.concat([stress, dual], ignore_index=True), SETTINGS)
    differences = rows[rows["metric"].isin(["sensitivity_difference", "specificity_difference"])]

    assert len(differences) == 4
    assert (differences["estimate"] == 0).all()
    assert (differences["high"] > 0.02).all()
    assert (differences["low"] < -0.02).all()


def test_decisions_passed_off_as_probabilities_are_not_called_calibrated() -> None:
    """Probabilities of 0 and 1 alone have no log odds: intercept and slope are refused, the Brier score is not."""
    label = np.tile([0, 1], 20)
    called = np.where(np.arange(40) < 3, 1 - label, label).astype(float)
    rows = _evaluate_predictions(pd.DataFrame({"label": label, "probability": called}), SETTINGS).set_index("metric")
    # A single one, as of a softmax in single precision, is moved inside, and said.
    some = _evaluate_predictions(
        pd.DataFrame({"label": label, "probability": np.where(np.arange(40) == 5, 1 + 5e-8, expit(called - 0.4))}),
        SETTINGS,
    ).set_index("metric")

    assert rows.loc["brier", "estimate"] == pytest.approx(3 / 40)
    assert set(rows.loc[["calibration_intercept", "calibration_slope"], "state"]) == {"refused"}
    assert "1 of 40 probabilities are 0 or 1" in some.loc["calibration_slope", "reason"]
    assert some.loc["brier", "reason"] == ""


def test_a_separated_cross_validation_does_not_pin_its_intercept(plain: pd.DataFrame) -> None:
    """Where no exam contradicts its probability, residuals are nearly 0, and how far off they are is not known."""
    held_out = plain[plain["partition"] == "development"]
    certain = held_out.assign(probability=np.where(held_out["label"] == 1, 0.999, 0.05 + 0.001 * held_out["score"]))
    rows = _evaluate_predictions(certain, SETTINGS).set_index(["inputs", "metric"])
    low, high = rows.loc[("stress", "calibration_intercept"), ["low", "high"]]

    assert high - low > 2


def test_columns_that_contradict_each_other_are_named(plain: pd.DataFrame) -> None:
    """A threshold that follows the label, and probabilities called scores, are judged with a notice."""
    plain = plain[(plain["partition"] == "test") & (plain["inputs"] == "stress")]
    cheated = evaluation_report(plain.assign(threshold=1.0 - plain["label"]), "cheated")

    assert any("threshold differs from exam to exam" in notice for notice in cheated.notices)
    assert evaluation_report(plain, "sound").notices == ()
    renamed = plain.drop(columns=["score", "threshold"]).rename(columns={"probability": "score"})
    assert any("call the column `probability`" in notice for notice in evaluation_report(renamed, "named").notices)


def test_other_folds_of_another_model_are_no_leakage(plain: pd.DataFrame) -> None:
    """Two models cross-validated over folds of their own are both judged; only their difference is refused."""
    held_out = plain[(plain["partition"] == "development") & (plain["inputs"] == "stress")]
    others = held_out.assign(fold=held_out["fold"].to_numpy()[np.roll(np.arange(len(held_out)), 3)], model="theirs")
    rows = _evaluate_predictions(pd.concat([held_out.assign(model="mine"), others]), SETTINGS)
    leading = rows[rows["primary"]].drop_duplicates(["model", "metric"]).set_index(["model", "metric"])

    assert set(leading.loc[[("mine", "auc"), ("theirs", "auc")], "state"]) == {"ok"}
    assert "same folds" in leading.loc[("mine-theirs", "auc_difference"), "reason"]
