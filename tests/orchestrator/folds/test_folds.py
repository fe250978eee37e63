"""The fold plan, against what a person would check by hand on the table of patients."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mpi_model.errors import FoldsError
from orchestrator.experiment.settings import FoldSettings
from orchestrator.folds.draws import evaluated_patients, inner_parts
from orchestrator.folds.plan import plan_folds
from orchestrator.folds.strata import _merge_small, _patient_table, assign_folds


def exams_of(rows: list[tuple[str, str, int, str]]) -> pd.DataFrame:
    """A cohort's table from (patient, tracer, label, sex)."""
    frame = pd.DataFrame(rows, columns=["patient_id", "tracer", "label", "sex"])
    frame["exam_id"] = (
        frame["patient_id"]
        + ":"
        + frame["tracer"]
        + ":"
        + frame.groupby(["patient_id", "tracer"]).cumcount().astype(str)
    )
    frame["partition"] = "development"
    return frame


@st.composite
def cohorts(draw: st.DrawFn) -> pd.DataFrame:
    """Cohorts like real ones: mostly one tracer a patient, some with both, some with several exams."""
    seed = draw(st.integers(0, 2**32 - 1))
    patients = draw(st.integers(100, 160))
    both = draw(st.floats(0, 0.3))
    prevalence = draw(st.floats(0.3, 0.7))
    random = np.random.default_rng(seed)
    rows = []
    for number in range(patients):
        tracers = ["Tc-99m", "Tl-201"] if random.random() < both else [random.choice(["Tc-99m", "Tl-201"])]
        for tracer in tracers:
            for _ in range(1 + (random.random() < 0.1)):
                rows.append(
                    (f"P{number:03d}", str(tracer), int(random.random() < prevalence), random.choice(["F", "M", ""]))
                )
    exams = exams_of(rows)
    assume((exams.groupby(["tracer", "label"])["patient_id"].nunique() >= 18).all())
    return exams


def everything(exams: pd.DataFrame) -> dict:
    """Every exam is eligible for stress inputs."""
    return {"stress": np.ones(len(exams), dtype=bool)}


@given(exams=cohorts(), folds=st.integers(2, 5), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_every_patient_is_evaluated_once_per_repeat_and_every_fold_can_be_scored(exams, folds, seed):
    """Each repeat is a partition of the patients, of even sizes, with two of either class per tracer in each fold."""
    plan = plan_folds(exams, everything(exams), FoldSettings(folds=folds, repeats=2, seed=seed), inner_folds=1)

    assert set(plan.patients) == set(exams["patient_id"])
    for repeat in range(2):
        sizes = Counter(plan.folds[repeat].tolist())
        assert set(sizes) == set(range(folds))
        assert max(sizes.values()) - min(sizes.values()) <= 1
        fold_of = dict(zip(plan.patients, plan.folds[repeat].tolist(), strict=True))
        for _, group in exams.groupby(["tracer", exams["patient_id"].map(fold_of)]):
            for label in (0, 1):
                assert group.loc[group["label"] == label, "patient_id"].nunique() >= 2


@given(exams=cohorts(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_manifest_does_not_matter(exams, seed):
    """The same patients in another row order get the same plan, digest and inner splits."""
    shuffled = exams.sample(frac=1, random_state=seed).reset_index(drop=True)
    one, other = (
        plan_folds(table, everything(table), FoldSettings(repeats=2), inner_folds=3) for table in (exams, shuffled)
    )

    assert one.digest == other.digest
    assert np.array_equal(one.folds, other.folds)
    assert np.array_equal(inner_parts(one, 1, 3, 3), inner_parts(other, 1, 3, 3))


@given(exams=cohorts(), inner_folds=st.sampled_from([1, 2, 3]))
@settings(max_examples=15, deadline=None)
def test_inner_splits_never_touch_the_evaluated_fold_and_hold_both_classes(exams, inner_folds):
    """Inner validation parts lie inside the training patients, and each side has both classes of each tracer."""
    plan = plan_folds(exams, everything(exams), FoldSettings(folds=4, repeats=1), inner_folds=inner_folds)
    for fold in range(4):
        parts = inner_parts(plan, 0, fold, inner_folds)
        outside = evaluated_patients(plan, 0, fold)
        assert (parts[outside] == -1).all()
        for part in range(inner_folds):
            for members in (parts == part, (parts != part) & ~outside):
                chosen = exams[exams["patient_id"].isin(np.array(plan.patients)[members])]
                assert (chosen.groupby("tracer")["label"].nunique() == 2).all()
                assert set(chosen["tracer"]) == set(exams["tracer"])


def test_a_hold_out_is_a_fifth_of_the_training_patients():
    """`inner_folds = 1` validates on 20 % of a cell's training patients."""
    exams = exams_of([(f"P{number:03d}", "Tl-201", number % 2, "F") for number in range(125)])
    plan = plan_folds(exams, everything(exams), FoldSettings(folds=5, repeats=1), inner_folds=1)

    assert (inner_parts(plan, 0, 0, 1) == 0).sum() == 20


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=8), folds=st.integers(2, 10), seed=st.integers(0, 99))
def test_every_stratum_and_all_patients_are_spread_within_one_patient(sizes, folds, seed):
    """No fold gets two patients more of any stratum, or in all, than another (counted anew here)."""
    strata = [(f"s{number}",) for number, size in enumerate(sizes) for _ in range(size)]
    assigned = assign_folds(strata, folds, seed)

    for chosen in [None, *sorted(set(strata))]:
        counts = [
            sum(1 for place, fold in enumerate(assigned) if fold == each and chosen in (None, strata[place]))
            for each in range(folds)
        ]
        assert max(counts) - min(counts) <= 1


def test_folds_differ_between_repeats_and_seeds():
    """Repeats are different partitions, and the seed of `[folds]` changes them."""
    exams = exams_of([(f"P{number:03d}", "Tl-201", number % 2, "F") for number in range(60)])
    plan = plan_folds(exams, everything(exams), FoldSettings(repeats=3), inner_folds=1)
    other = plan_folds(exams, everything(exams), FoldSettings(repeats=3, seed=1), inner_folds=1)

    assert len({tuple(row) for row in np.concatenate([plan.folds, other.folds]).tolist()}) == 6


def test_one_tracer_and_label_is_spread_as_scikit_learn_spreads_patients():
    """For one tracer, class counts per fold equal those of RepeatedStratifiedKFold on the patient table."""
    sklearn = pytest.importorskip("sklearn.model_selection")
    labels = np.array([1] * 55 + [0] * 212)
    exams = exams_of([(f"P{number:03d}", "Tl-201", int(label), "") for number, label in enumerate(labels)])
    plan = plan_folds(exams, everything(exams), FoldSettings(repeats=1), inner_folds=3)

    mine = sorted(int(labels[plan.folds[0] == fold].sum()) for fold in range(5))
    theirs = sklearn.RepeatedStratifiedKFold(n_splits=5, n_repeats=1, random_state=0).split(labels, labels)
    assert mine == sorted(int(labels[test].sum()) for _, test in theirs)


def test_small_strata_give_up_their_last_column_first():
    """Merging drops sex before tracer and label last, and leaves large strata whole."""
    strata = [("Tl", "1", "F")] * 9 + [("Tl", "1", "M")] * 2 + [("Tl", "1", "X")] * 3 + [("Tc", "0", "F")] * 1

    merged = _merge_small(strata, ("tracer", "label", "sex"), min_size=5)

    assert merged == [("Tl", "1", "F")] * 9 + [("Tl", "1", "*")] * 5 + [("*", "*", "*")]


def test_a_patient_is_one_row_with_its_tracers_and_labels():
    """Both tracers of a patient make one stratum, and any positive exam makes a tracer positive."""
    exams = exams_of([("A", "Tl-201", 0, "F"), ("A", "Tc-99m", 1, "F"), ("B", "Tl-201", 0, ""), ("B", "Tl-201", 1, "")])

    table = _patient_table(exams, ("tracer", "label", "sex"))

    assert table.loc["A"].tolist() == ["Tc-99m+Tl-201", "10", "F"]
    assert table.loc["B"].tolist() == ["Tl-201", "1", "(blank)"]


def test_a_refusal_names_a_number_of_folds_that_works():
    """Six positives cannot serve five folds; the message names three, and three works."""
    exams = exams_of([(f"P{number:03d}", "Tl-201", int(number < 6), "F") for number in range(50)])

    with pytest.raises(FoldsError, match=r"6 positive and 44 negative .* folds = 3 would work") as refused:
        plan_folds(exams, everything(exams), FoldSettings(folds=5, repeats=2), inner_folds=1)

    assert refused.value.exit_code == 3
    assert plan_folds(exams, everything(exams), FoldSettings(folds=3, repeats=2), inner_folds=1).count == 3


def test_inner_splits_can_be_what_is_refused():
    """Enough patients for the folds but not for the inner folds: the message says so."""
    exams = exams_of([(f"P{number:03d}", "Tl-201", int(number < 4), "F") for number in range(40)])

    with pytest.raises(FoldsError, match=r"`search.inner_folds` = 3 within 2 folds"):
        plan_folds(exams, everything(exams), FoldSettings(folds=2, repeats=1), inner_folds=3)


def test_missing_default_strata_are_dropped_with_a_notice_and_declared_ones_refused():
    """A manifest without sex is served with a notice; a column the experiment names itself must exist."""
    exams = exams_of([(f"P{number:03d}", "Tl-201", number % 2, "F") for number in range(60)]).drop(columns="sex")

    assert "no column `sex`" in plan_folds(exams, everything(exams), FoldSettings(), inner_folds=1).notices[0]
    with pytest.raises(FoldsError, match="site"):
        plan_folds(exams, everything(exams), FoldSettings(stratify=("tracer", "label", "site")), inner_folds=1)


def test_another_label_is_another_plan():
    """The digest that seeds training depends on the labels: a permuted cohort draws its folds anew."""
    rows = [(f"P{number:03d}", "Tl-201", number % 2, "F") for number in range(60)]
    flipped = [(*rows[0][:2], 1 - rows[0][2], rows[0][3]), *rows[1:]]
    one, other = (
        plan_folds(exams_of(table), everything(exams_of(table)), FoldSettings(), inner_folds=1)
        for table in (rows, flipped)
    )

    assert one.digest != other.digest
